import uuid

import pytest
from django.contrib.auth.models import Permission

from mandate import exceptions, models
from mandate.services import runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus
from shared_schemas.tools import Limits

pytestmark = pytest.mark.django_db


def test_a_started_run_is_kept_with_its_message(start, user):
    run = start()

    message = models.OutboxMessage.objects.get(run=run)
    assert (run.status, run.started_by, run.thread_id) == (RunStatus.PENDING, user, run.pk)
    assert message.key == f"{run.pk}:1"
    assert message.payload == {"segment": 1, "graph": "practice_author", "input": {"topic": "lists"}}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"agent": "nobody"}, ErrorCode.UNKNOWN_AGENT, id="unknown agent"),
        pytest.param({"input": {"text": "a\x00"}}, ErrorCode.UNSTORABLE_VALUE, id="NUL"),
        pytest.param({"input": {"text": "a" * 300_000}}, ErrorCode.BODY_TOO_LARGE, id="large"),
        pytest.param({"tools": ["drop_tables"]}, ErrorCode.INVALID_REQUEST, id="wider tools"),
        pytest.param({"limits": Limits(writes=9)}, ErrorCode.INVALID_REQUEST, id="wider limits"),
        pytest.param({"thread_id": uuid.uuid4()}, ErrorCode.NOT_FOUND, id="another's conversation"),
    ],
)
def test_a_bad_request_starts_nothing(start, agent, fields, code):
    agent.limits = {"writes": 8}
    agent.save()

    with pytest.raises(exceptions.RequestRefused) as refusal:
        start(**fields)

    assert refusal.value.code == code
    assert not models.Run.objects.exists()
    assert not models.OutboxMessage.objects.exists()


def test_a_paused_agent_starts_nothing(start, agent):
    agent.is_paused = True
    agent.save()

    with pytest.raises(exceptions.RequestRefused) as refusal:
        start()

    assert refusal.value.code == ErrorCode.AGENT_PAUSED


def test_a_run_narrows_its_agents_mandate(start, agent):
    agent.tools, agent.limits = ["read", "write"], {"writes": 8, "tool_calls": 50}
    agent.save()

    run = start(tools=["read"], limits=Limits(writes=2))

    assert run.tools == ["read"]
    assert Limits.model_validate(run.limits) == Limits(writes=2, tool_calls=50)


def test_a_repeated_request_finds_its_run(start):
    first = start(idempotency_key="key-00001")

    second = start(idempotency_key="key-00001")

    assert (second.pk, second.replayed) == (first.pk, True)
    assert models.OutboxMessage.objects.count() == 1


def test_a_key_never_means_two_requests(start):
    start(idempotency_key="key-00001")

    with pytest.raises(exceptions.RequestRefused) as refusal:
        start(idempotency_key="key-00001", input={"topic": "functions"})

    assert refusal.value.code == ErrorCode.IDEMPOTENCY_KEY_REUSED


def test_keys_of_two_people_are_two_keys(start, make_user):
    first = start(idempotency_key="key-00001")

    second = start(idempotency_key="key-00001", by=make_user())

    assert second.pk != first.pk


def test_a_conversation_has_one_run_at_a_time(start):
    first = start()

    with pytest.raises(exceptions.RequestRefused) as refusal:
        start(thread_id=first.thread_id)

    assert refusal.value.code == ErrorCode.THREAD_BUSY


def test_a_conversation_goes_on_after_its_run_has_ended(start):
    first = start()
    runs.cancel(first.pk)

    second = start(thread_id=first.thread_id)

    assert second.thread_id == first.thread_id


def test_cancelling_takes_everything_away(start, ask):
    run = start()
    approval = ask(run)
    session = models.ToolSession.objects.create(
        run=run, epoch=1, token_hash="x", expires_at=approval.expires_at
    )

    cancelled = runs.cancel(run.pk)

    approval.refresh_from_db()
    session.refresh_from_db()
    assert cancelled.status == RunStatus.CANCELLED
    assert approval.status == approval.Status.CANCELLED
    assert session.revoked_at is not None
    assert models.OutboxMessage.objects.filter(run=run, topic=runs.CANCEL).count() == 1


def test_cancelling_twice_is_cancelling_once(start):
    run = start()
    runs.cancel(run.pk)

    runs.cancel(run.pk)

    assert models.OutboxMessage.objects.filter(topic=runs.CANCEL).count() == 1


@pytest.mark.parametrize("act", [runs.cancel, runs.resume], ids=["cancel", "resume"])
def test_a_completed_run_changes_no_more(submitted, agent_service, report, act):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": 1})
    report(fake_run)

    with pytest.raises(exceptions.RequestRefused) as refusal:
        act(run.pk)

    assert refusal.value.code == ErrorCode.ILLEGAL_TRANSITION


@pytest.mark.parametrize("act", [runs.cancel, runs.resume], ids=["cancel", "resume"])
def test_a_run_that_was_pruned_meanwhile_is_not_found(start, act):
    run = start()
    models.Run.objects.all().delete()

    with pytest.raises(exceptions.RequestRefused) as refused:
        act(run.pk)

    assert refused.value.code == ErrorCode.NOT_FOUND


def test_a_run_at_work_is_not_resumed(submitted):
    run, _ = submitted

    with pytest.raises(exceptions.RequestRefused) as refusal:
        runs.resume(run.pk)

    assert refusal.value.code == ErrorCode.ILLEGAL_TRANSITION


def test_a_failed_run_goes_on_from_its_state(submitted, agent_service, report, deliver):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.MODEL_FAILED, values={"messages": []})
    report(fake_run)

    resumed = runs.resume(run.pk)
    deliver()

    second = agent_service.runs[-1]
    assert (resumed.status, resumed.segment, resumed.error_code) == (RunStatus.PENDING, 2, "")
    assert second.key == f"{run.pk}:2"
    assert "input" not in second.body
    assert second.thread_id == fake_run.thread_id


def test_a_run_whose_input_never_arrived_gets_it_again(submitted, agent_service, report, deliver):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.ATTEMPTS_EXHAUSTED, values=None)
    report(fake_run)

    runs.resume(run.pk)
    deliver()

    assert agent_service.runs[-1].body["input"] == {"topic": "lists"}


def test_in_a_conversation_an_unchanged_state_means_the_input_never_arrived(
    submitted, agent_service, report, start, deliver
):
    first, fake_run = submitted
    agent_service.finish(fake_run, {"result": "first"})
    report(fake_run)
    second = start(thread_id=first.thread_id, input={"topic": "second"})
    deliver()
    agent_service.fail(agent_service.runs[-1], ErrorCode.ATTEMPTS_EXHAUSTED, values={"result": "first"})
    report(agent_service.runs[-1])

    runs.resume(second.pk)
    deliver()

    assert agent_service.runs[-1].body["input"] == {"topic": "second"}


def test_a_conversation_that_went_on_is_not_resumed_from_before(submitted, agent_service, report, start):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.GRAPH_FAILED)
    report(fake_run)
    runs.cancel(start(thread_id=run.thread_id).pk)

    with pytest.raises(exceptions.RequestRefused) as refusal:
        runs.resume(run.pk)

    assert refusal.value.code == ErrorCode.CONFLICT


def test_an_undelivered_segment_is_submitted_again_under_its_own_key(start, agent_service, deliver):
    agent_service.refusing = (404, ErrorCode.UNKNOWN_GRAPH)
    run = start()
    deliver()
    agent_service.refusing = None
    assert models.Run.objects.get().status == RunStatus.FAILED

    resumed = runs.resume(run.pk)
    deliver()

    assert resumed.segment == 1
    assert [one.key for one in agent_service.runs] == [f"{run.pk}:1"]


def test_a_decision_lets_a_parked_run_go_on(parked, decide, agent_service, deliver):
    run, (approval,) = parked("a")

    decide(approval)
    deliver()

    run.refresh_from_db()
    assert (run.status, run.segment) == (RunStatus.PENDING, 2)
    assert agent_service.runs[-1].body["command"] == {"resume": {"interrupt-a": "decided"}}


def test_a_run_goes_on_with_each_decision(parked, decide, agent_service, report, deliver, ask_for):
    run, (first, second) = parked("a", "b")
    decide(second)
    deliver()
    assert agent_service.runs[-1].body["command"] == {"resume": {"interrupt-b": "decided"}}
    agent_service.park(agent_service.runs[-1], ask_for(first))
    report(agent_service.runs[-1])

    decide(first)
    deliver()

    assert agent_service.runs[-1].body["command"] == {"resume": {"interrupt-a": "decided"}}
    assert models.Run.objects.get(pk=run.pk).segment == 3


def test_a_decision_while_a_resume_is_on_its_way_is_found_when_the_run_parks_again(
    parked, decide, agent_service, report, deliver, ask_for
):
    _, (first, second) = parked("a", "b")
    decide(first)
    decide(second)
    deliver()
    agent_service.park(agent_service.runs[-1], ask_for(second))

    report(agent_service.runs[-1])
    deliver()

    assert agent_service.runs[-1].body["command"] == {"resume": {"interrupt-b": "decided"}}


def test_a_decision_before_the_news_of_parking_is_found_with_it(
    submitted, ask, ask_for, decide, agent_service, report, deliver
):
    run, fake_run = submitted
    approval = ask(run)
    agent_service.park(fake_run, ask_for(approval))
    decide(approval)

    report(fake_run)
    deliver()

    assert agent_service.runs[-1].body["command"] == {"resume": {"interrupt-a": "decided"}}


def test_an_undecided_run_stays_parked(parked):
    run, _ = parked("a")

    went_on = runs.continue_after_decision(run)

    assert not went_on
    assert run.status == RunStatus.AWAITING_APPROVAL


def test_an_agent_with_a_permission_is_started_by_those_who_hold_it(start, agent, make_user):
    agent.start_permission = "practice.add_task"
    agent.save()
    allowed = make_user()
    allowed.user_permissions.add(Permission.objects.get(codename="add_task"))

    with pytest.raises(exceptions.RequestRefused) as refused:
        start(by=make_user())
    run = start(by=allowed)

    assert refused.value.code is ErrorCode.FORBIDDEN
    assert list(models.Run.objects.all()) == [run]


def test_a_backend_may_grant_the_start_of_one_agent(start, agent, user, settings):
    settings.AUTHENTICATION_BACKENDS = ["tests.django_app.mandate.record_permissions.RecordPermissions"]
    agent.start_permission = "practice.add_task"
    agent.save()
    user.groups.create(name=agent.slug)

    assert start().agent == agent
