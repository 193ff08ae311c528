"""The ledger's laws, one connection at a time; `test_races` has several."""

import uuid

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pydantic import BaseModel

from mandate import exceptions, models, testing, tools
from mandate.services import limits, runs
from practice.models import Module, Task
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import LimitsChange
from shared_schemas.tools import ToolCallStatus

pytestmark = pytest.mark.django_db


class Text(BaseModel):
    text: str


class Ask(tools.Schema):
    text: str = ""


@pytest.fixture
def refusal():
    """Calls a tool and returns the code that it is refused with."""

    def refused(*args, **options):
        with pytest.raises(exceptions.MandateError) as caught:
            testing.call_tool(*args, **options)
        return caught.value.code

    return refused


@pytest.fixture
def raising(declare):
    """Declares a tool that writes and then raises."""

    def make(error):
        def write_and_raise(_context: tools.Context, _call: Ask) -> Text:
            """Write, then raise."""
            Group.objects.create(name="red")
            raise error

        return declare(write_and_raise)

    return make


@pytest.mark.parametrize("arguments", [{"name": "blue"}, {"name": "red", "size": 2}])
def test_a_key_never_means_two_calls(start_run, add_tool, refusal, arguments):
    run, key = start_run(add_tool), testing.new_key()
    testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)

    assert refusal(add_tool, arguments, run=run, key=key) == ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert list(Group.objects.values_list("name", flat=True)) == ["red"]


def test_a_default_that_is_spelled_out_is_the_same_call(start_run, add_tool):
    run, key = start_run(add_tool), testing.new_key()
    first = testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)

    second = testing.call_tool(add_tool, {"size": 1, "name": "red"}, run=run, key=key)

    assert second == first


def test_a_newer_worker_is_given_the_older_ones_answer(start_run, add_tool):
    run, key = start_run(add_tool), testing.new_key()
    first = testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)
    models.Run.objects.update(epoch=2)
    run.refresh_from_db()

    assert testing.call_tool(add_tool, {"name": "red"}, run=run, key=key) == first


def test_a_deletion_is_answered_again_after_its_record_is_gone(start_run, declare):
    def drop_group(context: tools.Context, call: Ask) -> Text:
        """Delete a group."""
        group = Group.objects.get(name=call.text)
        context.link(group)
        group.delete()
        return Text(text="gone")

    Group.objects.create(name="red")
    tool = declare(drop_group)
    run, key = start_run(tool), testing.new_key()
    first = testing.call_tool(tool, {"text": "red"}, run=run, key=key)

    assert testing.call_tool(tool, {"text": "red"}, run=run, key=key) == first


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(tools.ToolRejected("No."), id="the tool"),
        pytest.param(ValidationError("No."), id="a validator"),
        pytest.param(PermissionDenied("No."), id="a permission"),
        pytest.param(Group.DoesNotExist("No."), id="a record that is not there"),
    ],
)
def test_a_business_rule_refuses_and_nothing_is_kept(start_run, raising, error):
    tool = raising(error)

    with pytest.raises(exceptions.ToolRejected, match=r"^No\.$"):
        testing.call_tool(tool, {}, run=start_run(tool))

    assert (Group.objects.count(), models.ToolCall.objects.count()) == (0, 0)


def test_a_refusal_is_told_whatever_text_is_in_it(start_run, raising, post_call):
    tool = raising(ValidationError("Not a name: \udcff\x00"))

    answer = post_call(start_run(tool), tool, {})

    assert (answer.status_code, answer.json()["detail"]) == (422, "Not a name: ?")
    assert models.RunNote.objects.get().data["detail"] == "Not a name: ?"


def test_a_refused_call_may_be_sent_again_with_its_key(start_run, declare, refusal):
    def rename(_context: tools.Context, call: Ask) -> Text:
        """Name the only group."""
        Group.objects.get(name="red")
        return Text(text=call.text)

    tool = declare(rename)
    run, key = start_run(tool), testing.new_key()
    assert refusal(tool, {"text": "a"}, run=run, key=key) == ErrorCode.REJECTED
    Group.objects.create(name="red")

    assert testing.call_tool(tool, {"text": "a"}, run=run, key=key).result == {"text": "a"}


@pytest.mark.parametrize(
    "answer", [pytest.param("a\x00", id="NUL"), pytest.param("\ud800", id="half a character")]
)
def test_an_answer_that_cannot_be_kept_undoes_its_effect(start_run, declare, refusal, answer):
    def write(_context: tools.Context, _call: Ask) -> Text:
        """Write."""
        Group.objects.create(name="red")
        return Text(text=answer)

    tool = declare(write)

    assert refusal(tool, {}, run=start_run(tool)) == ErrorCode.TOOL_FAILED
    assert not Group.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_reference_to_nothing_fails_the_tool_at_its_commit(start_run, declare, refusal, caplog):
    def refer(_context: tools.Context, _call: Ask) -> Text:
        """Refer to a module that is not there."""
        Task.objects.create(module_id=999, title="x", text="y")
        return Text(text="done")

    tool = declare(refer)
    run = start_run(tool)

    assert refusal(tool, {}, run=run) == ErrorCode.TOOL_FAILED
    assert (Task.objects.count(), models.ToolCall.objects.count()) == (0, 0)
    assert str(run.pk) in caplog.text


def test_a_reading_tool_cannot_write(start_run, declare, refusal):
    def write(_context: tools.Context, _call: Ask) -> Text:
        """Say that it reads."""
        return Text(text=Group.objects.create(name="red").name)

    tool = declare(write, effect=tools.Effect.READ)
    run = start_run(tool)

    assert refusal(tool, {}, run=run) == ErrorCode.TOOL_FAILED
    assert not Group.objects.exists()
    Group.objects.create(name="the connection writes again")


def test_a_long_reading_is_cut_and_says_so(start_run, declare, settings):
    def read(_context: tools.Context, _call: Ask) -> Text:
        """Read much."""
        return Text(text="ä" * 100)

    settings.MANDATE = settings.MANDATE | {"READ_RESULT_BYTES": 20}
    tool = declare(read, effect=tools.Effect.READ)

    answer = testing.call_tool(tool, {}, run=start_run(tool))

    assert (answer.result, answer.truncated) == ('{"text":"äääää', True)
    assert "211 bytes" in str(answer.note)


def test_a_tool_reaches_only_what_its_agent_made(start_run, declare, refusal):
    def look_at_task(context: tools.Context, call: Ask) -> Text:
        """Read a task."""
        return Text(text=context.owned(Task).get(pk=call.text).title)

    module = Module.objects.create(slug="m", title="M", language="python", body="b")
    tool = declare(look_at_task, effect=tools.Effect.READ)
    run = start_run(tool)
    theirs = Task.objects.create(module=module, title="a", text="a", ai_user=run.started_by)
    own = Task.objects.create(module=module, title="b", text="b", ai_user=run.agent.user)

    assert testing.call_tool(tool, {"text": str(own.pk)}, run=run).result == {"text": "b"}
    assert refusal(tool, {"text": str(theirs.pk)}, run=run) == ErrorCode.REJECTED


def test_a_repeating_model_gets_the_earlier_answer_then_is_refused_then_stopped(start_run, add_tool, refusal):
    run = start_run(add_tool)
    first = testing.call_tool(add_tool, {"name": "red"}, run=run)

    repeats = [testing.call_tool(add_tool, {"name": "red"}, run=run) for _ in range(2)]
    refusals = [refusal(add_tool, {"name": "red"}, run=run) for _ in range(3)]

    assert [repeat.result for repeat in repeats] == [first.result] * 2
    assert "nothing was done again" in str(repeats[0].note)
    assert refusals == [ErrorCode.REPEATED_CALL, ErrorCode.REPEATED_CALL, ErrorCode.LOOP_DETECTED]
    assert Group.objects.count() == 1


def test_a_refused_repeat_sent_again_counts_once(start_run, add_tool, refusal):
    run = start_run(add_tool)
    for _ in range(3):
        testing.call_tool(add_tool, {"name": "red"}, run=run)
    key = testing.new_key()

    refusals = [refusal(add_tool, {"name": "red"}, run=run, key=key) for _ in range(5)]

    assert set(refusals) == {ErrorCode.REPEATED_CALL}


def test_a_tool_may_allow_repeats(start_run, declare):
    def count(_context: tools.Context, _call: Ask) -> Text:
        """Count."""
        Group.objects.create(name=str(uuid.uuid4()))
        return Text(text=str(Group.objects.count()))

    tool = declare(count, repeat=tools.Repeat.ALLOW)
    run = start_run(tool)

    assert [testing.call_tool(tool, {}, run=run).result["text"] for _ in range(4)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"tool_calls": 2}, id="calls"),
        pytest.param({"writes": 2}, id="writes"),
        pytest.param({"calls_per_tool": {"add_group": 2}}, id="calls of the tool"),
    ],
)
def test_a_spent_limit_refuses_the_next_call_and_not_a_replay(start_run, add_tool, refusal, limits):
    run, key = start_run(add_tool, **limits), testing.new_key()
    testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)
    testing.call_tool(add_tool, {"name": "blue"}, run=run)

    assert refusal(add_tool, {"name": "green"}, run=run) == ErrorCode.LIMIT_SPENT
    assert testing.call_tool(add_tool, {"name": "red"}, run=run, key=key).result["name"] == "red"
    assert Group.objects.count() == 2


def test_a_limit_of_nothing_allows_nothing(start_run, list_tool, refusal):
    run = start_run(list_tool, tool_calls=0)

    assert refusal(list_tool, {}, run=run) == ErrorCode.LIMIT_SPENT


def test_reads_do_not_spend_the_limit_of_writes(start_run, add_tool, list_tool):
    run = start_run(add_tool, list_tool, writes=1)
    testing.call_tool(add_tool, {"name": "red"}, run=run)

    assert testing.call_tool(list_tool, {}, run=run).result == {"names": ["red"]}


def test_a_call_that_failed_spends_nothing(start_run, raising, add_tool, refusal):
    tool = raising(tools.ToolRejected("No."))
    run = start_run(tool, add_tool, tool_calls=1)

    assert refusal(tool, {}, run=run) == ErrorCode.REJECTED
    assert testing.call_tool(add_tool, {"name": "red"}, run=run).status is ToolCallStatus.SUCCEEDED


def test_a_reading_that_failed_spends_nothing(start_run, declare, refusal, list_tool):
    def look(_context: tools.Context, _call: Ask) -> Text:
        """Look for a group."""
        return Text(text=Group.objects.get().name)

    tool = declare(look, effect=tools.Effect.READ)
    run = start_run(tool, list_tool, tool_calls=1)

    assert refusal(tool, {}, run=run) == ErrorCode.REJECTED
    assert testing.call_tool(list_tool, {}, run=run).status is ToolCallStatus.SUCCEEDED


@pytest.fixture
def prepared_tool(declare):
    """A tool with a slow step, and the list of what the step was asked."""
    asked = []

    def prepare(_context, call):
        asked.append((call.text, connection.in_atomic_block))
        return f"prepared {call.text}"

    def use(_context: tools.Context, _call: Ask, prepared: str) -> Text:
        """Use what was prepared."""
        return Text(text=prepared)

    return declare(use, prepare=prepare), asked


@pytest.mark.django_db(transaction=True)
def test_the_slow_step_is_done_before_the_transaction_and_not_for_a_replay(start_run, prepared_tool):
    tool, asked = prepared_tool
    run, key = start_run(tool), testing.new_key()

    answers = [testing.call_tool(tool, {"text": "a"}, run=run, key=key) for _ in range(2)]

    assert [answer.result for answer in answers] == [{"text": "prepared a"}] * 2
    assert asked == [("a", False)]


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_cancelled_during_the_slow_step_gets_no_effect(start_run, declare, refusal):
    def use(_context: tools.Context, _call: Ask, _prepared: None) -> Text:
        """Write."""
        return Text(text=Group.objects.create(name="red").name)

    tool = declare(use, prepare=lambda context, _call: runs.cancel(context.run_id) and None)
    run = start_run(tool)

    assert refusal(tool, {}, run=run) == ErrorCode.RUN_NOT_ACTIVE
    assert not Group.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_limit_that_is_lowered_during_the_slow_step_holds(start_run, declare, refusal, user):
    def use(_context: tools.Context, _call: Ask, _prepared: models.Run) -> Text:
        """Write."""
        return Text(text=Group.objects.create(name="red").name)

    def lower(context, _call):
        return limits.change(context.run_id, LimitsChange(writes=0), by=user)

    tool = declare(use, prepare=lower)
    run = start_run(tool, writes=5)

    assert refusal(tool, {}, run=run) == ErrorCode.LIMIT_SPENT
    assert not Group.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("tool", "repeat", "queries"),
    [
        pytest.param("add_tool", False, 7, id="a write: BEGIN, grant, claim, two of the tool, store, COMMIT"),
        pytest.param("add_tool", True, 2, id="a replay: grant and what is known, count"),
        pytest.param("list_tool", False, 5, id="a read: grant, BEGIN, read only, one of the tool, ROLLBACK"),
    ],
)
def test_a_call_takes_few_queries(request, start_run, post_call, declare, tool, repeat, queries):
    def add(_context: tools.Context, call: Ask) -> Text:
        """Write with two queries."""
        Group.objects.create(name=call.text)
        return Text(text=str(Group.objects.count()))

    name = declare(add) if tool == "add_tool" else request.getfixturevalue(tool)
    arguments = {"text": "red"} if tool == "add_tool" else {}
    key = testing.new_key()
    token = testing.token_of(start_run(name))
    if repeat:
        post_call(token, name, arguments, key=key)

    with CaptureQueriesContext(connection) as captured:
        response = post_call(token, name, arguments, key=key)

    assert response.status_code == 200
    assert len(captured) == queries
