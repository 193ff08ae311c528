"""A run's story; nothing here starts an agent service, and none is asked."""

import pytest

from mandate import exceptions, models, testing, tokens, tools
from mandate.selectors import audit
from mandate.services import approvals, drafts, runs, sessions, undo
from practice.models import Module, Task
from shared_schemas.audit import Event
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.runs import Decision, RunStatus
from shared_schemas.tools import SessionCreate

pytestmark = pytest.mark.django_db


@pytest.fixture
def story():
    """Returns a run's entries, or those of some events."""

    def read(run, *events):
        found = audit.story(audit.detailed(models.Run.objects.filter(pk=run.pk)).get())
        return [entry for entry in found.entries if not events or entry.event in events]

    return read


@pytest.fixture
def work(start, user):
    """Takes a started run up, as a worker does."""

    def begin(run, *, epoch=1):
        sessions.open_or_renew(SessionCreate(run_id=run.pk, thread_id=str(run.thread_id), epoch=epoch))
        run.refresh_from_db()
        return run

    return begin


@pytest.fixture
def boss(make_user):
    return make_user("boss", is_superuser=True)


def test_a_story_is_told_in_order(start, work, agent, approved_tool, user, boss, story):
    models.Agent.objects.update(tools=[approved_tool])
    run = work(start())
    testing.call_tool(approved_tool, {"name": "red"}, run=run)
    approval = models.Approval.objects.get()
    approvals.decide(approval.pk, Decision(decision="edit", arguments={"name": "blue"}), by=boss)
    runs.cancel(run.pk, by=user)

    told = [(entry.event, entry.by) for entry in story(run)]

    assert told == [
        (Event.CREATED, user.username),
        (Event.MESSAGE_WRITTEN, None),
        (Event.MOVED, None),
        (Event.SESSION_OPENED, None),
        (Event.CALLED, agent.user.username),
        (Event.APPROVAL_ASKED, None),
        (Event.APPROVAL_DECIDED, "boss"),
        (Event.ANSWERED, None),
        (Event.MOVED, None),
        (Event.SESSION_CLOSED, None),
        (Event.CANCELLED, user.username),
        (Event.MESSAGE_WRITTEN, None),
    ]


def test_an_edit_is_told_with_what_was_asked_and_what_was_done(start_run, approved_tool, user, boss, story):
    run = start_run(approved_tool)
    testing.call_tool(approved_tool, {"name": "red"}, run=run)
    approval = models.Approval.objects.get()
    decision = Decision(decision="edit", arguments={"name": "blue"}, comment="Blue!")
    approvals.decide(approval.pk, decision, by=boss)

    (asked,), (decided,) = story(run, Event.APPROVAL_ASKED), story(run, Event.APPROVAL_DECIDED)

    assert asked.details["arguments"]["name"] == "red"
    assert decided.details["edited_arguments"]["name"] == "blue"
    assert decided.details["comment"] == "Blue!"


def test_replays_are_told_with_the_workers_that_asked(start_run, add_tool, story):
    run, key = start_run(add_tool), testing.new_key()
    for _ in range(3):
        testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)
    models.Run.objects.update(epoch=2)
    run.refresh_from_db()
    testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)

    replays, (answered,) = story(run, Event.REPLAYED), story(run, Event.ANSWERED)

    assert answered.details["replays"] == 3
    assert [(entry.details["tool"], entry.details["epoch"]) for entry in replays] == [
        (add_tool, 1),
        (add_tool, 2),
    ]


def test_repeats_of_a_model_are_told_down_to_the_refused_one(start_run, add_tool, story):
    run = start_run(add_tool)
    for _ in range(3):
        testing.call_tool(add_tool, {"name": "red"}, run=run)
    with pytest.raises(exceptions.RequestRefused):
        testing.call_tool(add_tool, {"name": "red"}, run=run)

    first, *repeats = story(run, Event.CALLED)

    assert {entry.details["repeat_of"] for entry in repeats} == {str(first.tool_call)}
    assert [entry.details["status"] for entry in story(run, Event.ANSWERED)] == [
        "succeeded",
        "repeated",
        "repeated",
        "refused",
    ]
    assert story(run, Event.REFUSED) == []


@pytest.mark.parametrize(
    ("arguments", "limits", "code"),
    [
        pytest.param({"colour": "red"}, {}, ErrorCode.INVALID_ARGUMENTS, id="wrong arguments"),
        pytest.param({"name": "red"}, {"writes": 0}, ErrorCode.LIMIT_SPENT, id="a limit"),
    ],
)
def test_a_refused_call_is_told(start_run, add_tool, story, arguments, limits, code):
    run = start_run(add_tool, **limits)
    with pytest.raises(exceptions.RequestRefused):
        testing.call_tool(add_tool, arguments, run=run)

    (refused,) = story(run, Event.REFUSED)

    told = {name: refused.details[name] for name in ("tool", "arguments", "code", "epoch")}
    assert told == {"tool": add_tool, "arguments": arguments, "code": code, "epoch": 1}


def test_a_call_after_a_cancel_is_told_as_refused(start_run, add_tool, story):
    run = start_run(add_tool)
    token = testing.token_of(run)
    runs.cancel(run.pk)
    session = models.ToolSession.objects.get(token_hash=tokens.hash_run_token(token))

    with pytest.raises(exceptions.RequestRefused):
        testing.call_tool(add_tool, {"name": "red"}, run=run)

    (refused,) = story(run, Event.REFUSED)
    assert session.revoked_at < refused.at
    assert refused.details["code"] == ErrorCode.RUN_NOT_ACTIVE


def test_a_call_that_does_not_get_as_far_as_its_tool_is_told(start_run, add_tool, post_call, story):
    run = start_run(add_tool)

    post_call(run, add_tool, b"{")
    post_call("djr_unknown", add_tool, {})

    assert [entry.details["code"] for entry in story(run, Event.REFUSED)] == [ErrorCode.MALFORMED_BODY]


def test_a_decision_that_could_not_be_done_is_told(start_run, declare, boss, story):
    def refuse(_context: tools.Context, _call: tools.Schema) -> tools.Schema:
        """Refuse."""
        raise tools.ToolRejected("No.")

    tool = declare(refuse, approval=tools.ApprovalRule(permission="auth.add_group"))
    run = start_run(tool)
    testing.call_tool(tool, {}, run=run)
    with pytest.raises(tools.ToolRejected):
        approvals.decide(models.Approval.objects.get().pk, Decision(decision="approve"), by=boss)

    (refused,) = story(run, Event.DECISION_REFUSED)

    assert (refused.by, refused.details["detail"]) == ("boss", "No.")
    assert story(run, Event.APPROVAL_DECIDED) == []


def test_a_takeover_is_told(start, work, story):
    run = start()

    work(work(run), epoch=2)

    opened = [
        (entry.details["epoch"], entry.details["takeover"]) for entry in story(run, Event.SESSION_OPENED)
    ]
    closed = [entry.details["epoch"] for entry in story(run, Event.SESSION_CLOSED)]
    assert (opened, closed) == ([(1, False), (2, True)], [1])


def test_every_failure_of_a_run_that_was_resumed_is_told(start, work, user, story):
    run = work(start())
    for message in ("Once.", "Twice."):
        run.refresh_from_db()
        runs.move(run, RunStatus.FAILED, failure=Failure(code=ErrorCode.MODEL_FAILED, message=message))
        runs.resume(run.pk, by=user)

    failures = [entry.details["message"] for entry in story(run, Event.MOVED) if "message" in entry.details]

    assert failures == ["Once.", "Twice."]
    assert [entry.by for entry in story(run, Event.RESUMED)] == [user.username] * 2


def test_the_way_of_a_run_over_the_wire_is_told(submitted, agent_service, report, story):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1})
    report(fake_run)

    events = [entry.event for entry in story(run)]

    assert events[:3] == [Event.CREATED, Event.MESSAGE_WRITTEN, Event.MESSAGE_DELIVERED]
    assert set(events[3:]) == {Event.WEBHOOK_RECEIVED, Event.MOVED}


def test_what_was_undone_and_reviewed_is_told(start_run, boss, story):
    module = Module.objects.create(slug="m", title="M", language="python", body="b", published=True)
    run = start_run("add_tasks")
    for title in ("One", "Two"):
        drafted = {"title": title, "text": "Write a function that adds."}
        testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": [drafted]}, run=run)
    drafts.review(Task.objects.get(title="One"), by=boss, approve=False, comment="No.")
    undo.undo(models.ToolCall.objects.latest("created_at").pk, by=boss)

    reviewed, undone = story(run, Event.DRAFT_REVIEWED, Event.UNDONE)

    assert (reviewed.by, reviewed.details["comment"]) == ("boss", "No.")
    assert (undone.by, undone.details["tool"]) == ("boss", "add_tasks")
    assert [task.title for task in Task.objects.all()] == ["One"]


def test_a_longer_story_takes_no_more_queries(start_run, add_tool, django_assert_max_num_queries):
    run = start_run(add_tool)
    for name in "abcdefgh":
        testing.call_tool(add_tool, {"name": name}, run=run)

    with django_assert_max_num_queries(13):
        audit.story(audit.detailed(models.Run.objects.all()).get())
