import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.utils import timezone
from pydantic import BaseModel

from mandate import models, testing, tools
from mandate.services import approvals, runs
from shared_schemas.runs import RunStatus
from shared_schemas.tools import ToolCallAnswer, ToolCallStatus


@pytest.fixture
def run(start_run, approved_tool):
    return start_run(approved_tool)


@pytest.fixture
def ask(post_call, run, approved_tool):
    """Calls the tool that needs an approval; the same request each time."""
    token, key = testing.token_of(run), testing.new_key()

    def call():
        return post_call(token, approved_tool, {"name": "red"}, key=key, tool_call_id="call_1")

    return call


@pytest.fixture
def approval(ask):
    return models.Approval.objects.get(pk=ask().json()["approval"]["approval_id"])


@pytest.fixture
def approver(make_user):
    person = make_user("bert")
    person.user_permissions.add(Permission.objects.get(codename="add_group"))
    return person


@pytest.fixture
def decide(client, approver):
    """Decides over HTTP."""

    def post(approval, decision="approve", *, by=approver, **fields):
        client.force_login(by)
        path = f"/api/agents/approvals/{approval.pk}/decision/"
        return client.post(path, {"decision": decision} | fields, content_type="application/json")

    return post


def test_a_call_that_needs_a_person_waits_and_shows_what_it_wants(ask, run):
    response = ask()

    shown = response.json()["approval"]
    approval = models.Approval.objects.get()
    assert (response.status_code, response.json()["status"]) == (202, "pending_approval")
    assert shown["arguments"] == approval.arguments == {"name": "red", "size": 1}
    assert (shown["toolCallId"], shown["type"]) == ("call_1", "approval")
    assert {"message", "expiresAt", "responseSchema"} <= set(shown)
    assert run.agent.name in shown["message"]
    assert not Group.objects.exists()


def test_asking_again_meanwhile_asks_nobody_twice(ask, approval):
    response = ask()

    assert response.status_code == 202
    assert response.json()["approval"]["approval_id"] == str(approval.pk)
    assert models.Approval.objects.count() == 1


def test_an_approval_runs_the_call_and_its_answer_waits_under_the_key(ask, approval, decide, approver):
    decided = decide(approval)

    answer = ask()
    assert (decided.status_code, decided.json()["status"], decided.json()["decided_by"]) == (
        200,
        "approved",
        "bert",
    )
    assert (answer.status_code, answer["Idempotent-Replayed"]) == (200, "true")
    assert answer.json()["result"] == {"name": "red", "groups": 1}
    assert Group.objects.count() == 1


def test_the_tool_knows_who_approved_and_acts_as_the_agent(declare, start_run, decide, approver):
    class Who(BaseModel):
        acting: str
        acting_for: str
        approved_by: str

    class Nothing(tools.Schema):
        pass

    def tell(context: tools.Context, _call: Nothing) -> Who:
        """Tell who it is."""
        users = (context.agent_user, context.acting_for, context.approved_by)
        return Who(**dict(zip(Who.model_fields, [user.get_username() for user in users], strict=True)))

    tool = declare(tell, approval=tools.ApprovalRule(permission="auth.add_group"))
    run = start_run(tool)
    testing.call_tool(tool, {}, run=run)

    decide(models.Approval.objects.get())

    told = models.ToolCall.objects.get().response["result"]
    assert told == {"acting": run.agent.user.username, "acting_for": "anna", "approved_by": "bert"}


def test_an_edit_runs_the_edited_arguments_and_keeps_both(ask, approval, decide):
    decide(approval, "edit", arguments={"name": "blue"})

    approval.refresh_from_db()
    assert (approval.arguments["name"], approval.edited_arguments) == ("red", {"name": "blue", "size": 1})
    assert ask().json()["result"]["name"] == "blue"
    assert "A person changed the arguments" in ask().json()["note"]


def test_a_model_that_repeats_an_edited_call_is_told_of_the_edit(approval, decide, run, approved_tool):
    decide(approval, "edit", arguments={"name": "blue"})

    answer = testing.call_tool(approved_tool, {"name": "red"}, run=run)

    assert answer.result["name"] == "blue"
    assert all(told in answer.note for told in ("made before", '"blue"'))


def test_an_edit_that_does_not_fit_the_schema_leaves_the_question_open(approval, decide, problem_of):
    response = decide(approval, "edit", arguments={"name": 1})

    approval.refresh_from_db()
    assert problem_of(response) == (422, "invalid_arguments")
    assert (approval.status, Group.objects.count()) == ("pending", 0)


def test_a_rejection_is_told_to_the_model_with_its_comment(ask, approval, decide):
    decide(approval, "reject", comment="Not in blue.")

    answer = ask()
    assert (answer.status_code, answer.json()["status"]) == (200, "declined")
    assert "Not in blue." in answer.json()["note"]
    assert not Group.objects.exists()


def test_a_rejected_call_may_be_asked_for_anew(approval, decide, run, approved_tool):
    decide(approval, "reject")

    answer = testing.call_tool(approved_tool, {"name": "red"}, run=run)

    assert answer.status is ToolCallStatus.PENDING_APPROVAL
    assert answer.approval is not None
    assert answer.approval.approval_id != approval.pk


def test_a_model_that_asks_again_for_what_waits_is_told_so(approval, run, approved_tool):
    answer = testing.call_tool(approved_tool, {"name": "red"}, run=run)

    assert answer == ToolCallAnswer(status=ToolCallStatus.DECLINED, note=answer.note)
    assert "already waits" in str(answer.note)
    assert models.Approval.objects.count() == 1


def test_a_tool_that_fails_leaves_the_question_open(approval, decide, problem_of):
    Group.objects.create(name="red")

    response = decide(approval)

    approval.refresh_from_db()
    assert problem_of(response) == (500, "tool_failed")
    assert (approval.status, approval.tool_call.status) == ("pending", "pending_approval")
    Group.objects.all().delete()
    assert decide(approval).status_code == 200


def test_the_permission_is_asked_for_at_the_decision(approval, decide, approver, user, problem_of):
    assert problem_of(decide(approval, by=user)) == (403, "forbidden")
    approver.user_permissions.clear()

    assert problem_of(decide(approval)) == (404, "not_found")
    assert not Group.objects.exists()


def test_an_agent_decides_nothing(approval, decide, run, problem_of):
    run.agent.user.user_permissions.add(Permission.objects.get(codename="add_group"))

    assert problem_of(decide(approval, by=run.agent.user)) == (403, "forbidden")


def test_a_decision_is_final(approval, decide, make_user, problem_of):
    decide(approval)

    assert decide(approval).status_code == 200
    assert problem_of(decide(approval, "reject")) == (409, "already_decided")
    assert problem_of(decide(approval, by=make_user(is_superuser=True))) == (409, "already_decided")
    assert Group.objects.count() == 1


def test_nobody_decides_too_late(approval, decide, problem_of):
    models.Approval.objects.update(expires_at=timezone.now())

    assert problem_of(decide(approval)) == (409, "approval_expired")
    assert not Group.objects.exists()


def test_what_nobody_decided_is_declined_in_time(ask, approval):
    early = approvals.expire(now=approval.expires_at - timedelta(seconds=1))

    late = approvals.expire(now=approval.expires_at)

    assert (early, late) == (0, 1)
    assert ask().json()["status"] == "declined"


def test_a_cancelled_run_takes_its_questions_along(approval, decide, run, problem_of):
    runs.cancel(run.pk)

    assert problem_of(decide(approval)) == (409, "already_decided")
    assert not Group.objects.exists()


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        pytest.param(
            lambda: models.Agent.objects.update(is_paused=True), 403, "agent_paused", id="agent paused"
        ),
        pytest.param(
            lambda: models.Agent.objects.update(tools=[]), 403, "tool_not_granted", id="tool taken away"
        ),
        pytest.param(
            lambda: models.Approval.objects.update(arguments={"name": "red"}),
            409,
            "conflict",
            id="tool changed",
        ),
    ],
)
def test_what_changed_meanwhile_stops_an_approval(approval, decide, problem_of, change, status, code):
    change()

    assert problem_of(decide(approval)) == (status, code)
    assert not Group.objects.exists()


def test_a_paused_agents_call_can_still_be_rejected(approval, decide):
    models.Agent.objects.update(is_paused=True)

    assert decide(approval, "reject").json()["status"] == "rejected"


def test_a_parked_run_goes_on_with_the_decision(approval, decide, run):
    models.Run.objects.update(status=RunStatus.AWAITING_APPROVAL, agent_run_id=uuid.uuid4())
    models.Approval.objects.update(interrupt_id="interrupt-1")

    decide(approval)

    message = models.OutboxMessage.objects.get(run=run)
    assert message.payload["resume"] == {"interrupt-1": "decided"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"decision": "maybe"}, "invalid_request", id="unknown decision"),
        pytest.param({"arguments": {}}, "invalid_request", id="arguments without an edit"),
        pytest.param({"decision": "edit"}, "invalid_request", id="an edit without arguments"),
        pytest.param({"more": 1}, "invalid_request", id="unknown field"),
        pytest.param({"comment": "a\x00"}, "unstorable_value", id="NUL"),
    ],
)
def test_a_decision_that_is_none_is_refused(approval, decide, problem_of, fields, code):
    assert problem_of(decide(approval, **fields)) == (422, code)


def test_people_see_their_own_questions_and_those_they_may_decide(
    client, approval, user, approver, make_user
):
    seen = {}
    for person in (user, approver, make_user("carl"), make_user("dora", is_superuser=True)):
        client.force_login(person)
        seen[person.username] = len(client.get("/api/agents/approvals/").json()["results"])

    assert seen == {"anna": 1, "bert": 1, "carl": 0, "dora": 1}


def test_a_question_shows_everything_to_decide_by(client, approval, user, run):
    client.force_login(user)

    shown = client.get(f"/api/agents/approvals/{approval.pk}/").json()

    assert (shown["run_id"], shown["requested_by"], shown["agent"]) == (str(run.pk), "anna", run.agent.slug)
    assert shown["arguments"] == {"name": "red", "size": 1}
    assert shown["input_schema"]["required"] == ["name"]


@pytest.mark.parametrize(
    ("query", "found"),
    [("status=pending", 1), ("status=approved", 0), (f"run={uuid.UUID(int=1)}", 0)],
)
def test_questions_are_found_by_status_and_run(client, approval, user, query, found):
    client.force_login(user)

    assert len(client.get(f"/api/agents/approvals/?{query}").json()["results"]) == found


@pytest.mark.parametrize("query", ["status=x", "run=x"])
def test_a_filter_that_means_nothing_is_refused(client, user, problem_of, query):
    client.force_login(user)

    assert problem_of(client.get(f"/api/agents/approvals/?{query}")) == (422, "invalid_request")


def test_another_persons_question_is_not_there(client, approval, make_user, problem_of):
    client.force_login(make_user())

    assert problem_of(client.get(f"/api/agents/approvals/{approval.pk}/")) == (404, "not_found")


def test_nobody_unknown_is_let_in(client, db, problem_of):
    assert problem_of(client.get("/api/agents/approvals/")) == (401, "unauthenticated")


def test_listing_takes_the_same_queries_for_many(
    client, make_user, start_run, approved_tool, django_assert_num_queries
):
    run = start_run(approved_tool)
    for number in range(5):
        testing.call_tool(approved_tool, {"name": str(number)}, run=run)
    client.force_login(make_user(is_superuser=True))

    with django_assert_num_queries(3):
        response = client.get("/api/agents/approvals/")

    assert [approval["arguments"]["name"] for approval in response.json()["results"]] == list("01234")
