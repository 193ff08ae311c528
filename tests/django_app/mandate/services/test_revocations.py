import pytest
from django.contrib.auth.models import Group

from mandate import exceptions, models, testing
from mandate.selectors import audit
from mandate.selectors import runs as selectors
from mandate.services import approvals, revocations, runs, tool_calls
from mandate.tokens import hash_run_token
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision
from shared_schemas.tools import ToolCallRequest

pytestmark = pytest.mark.django_db(transaction=True)

TRIALS = 5


def test_the_next_call_of_a_run_without_mandate_is_refused(start_run, add_tool, user):
    run = start_run(add_tool)
    token = testing.token_of(run)

    revocations.revoke(run.pk, by=user)

    with pytest.raises(exceptions.RequestRefused) as refused:
        _call(token, add_tool)()
    assert refused.value.code is ErrorCode.TOOL_NOT_GRANTED
    assert not Group.objects.exists()


@pytest.mark.parametrize("trial", range(TRIALS))
def test_after_a_revocation_no_effect_commits(at_once, start_run, add_tool, user, trial):
    run = start_run(add_tool)
    call = _call(testing.token_of(run), add_tool)

    def revoke():
        revocations.revoke(run.pk, by=user)
        return Group.objects.count()

    outcome, effects_at_return = at_once(call, revoke)

    assert Group.objects.count() == effects_at_return
    assert (outcome == ErrorCode.TOOL_NOT_GRANTED) == (effects_at_return == 0)


def test_what_waits_can_be_rejected_and_not_approved(start_run, approved_tool, make_user):
    run = start_run(approved_tool)
    testing.call_tool(approved_tool, {"name": "red"}, run=run)
    approval, person = models.Approval.objects.get(), make_user(is_superuser=True)

    revocations.revoke(run.pk, by=person)

    with pytest.raises(exceptions.RequestRefused) as refused:
        approvals.decide(approval.pk, Decision(decision="approve"), by=person)
    assert refused.value.code is ErrorCode.TOOL_NOT_GRANTED
    assert approvals.decide(approval.pk, Decision(decision="reject"), by=person).status == "rejected"


def test_a_mandate_ends_with_its_run(start_run, add_tool, user):
    run = start_run(add_tool)
    runs.cancel(run.pk)

    with pytest.raises(exceptions.RequestRefused) as refused:
        revocations.revoke(run.pk, by=user)

    assert refused.value.code is ErrorCode.ILLEGAL_TRANSITION


def test_the_story_keeps_what_the_run_had_and_who_took_it(start_run, add_tool, user):
    run = start_run(add_tool)

    revocations.revoke(run.pk, by=user)

    story = audit.story(selectors.find(run.pk, user=user))
    told = {entry.event: entry for entry in story.entries}
    assert told["created"].details["tools"] == [add_tool]
    assert (told["mandate_revoked"].by, told["mandate_revoked"].details) == ("anna", {"tools": [add_tool]})


def _call(token, tool):
    call = tool_calls.Call(
        token_hash=hash_run_token(token),
        tool=tool,
        key=testing.new_key(),
        request=ToolCallRequest(arguments={"name": "red"}),
    )
    return lambda: tool_calls.answer(call)
