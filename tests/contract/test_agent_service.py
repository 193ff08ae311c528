"""The law of the agent service as Django relies on it, for the fake and the real one.

Everything that is said goes through a passage, which holds it against the agent service's document.
"""

import asyncio
import json
import uuid

import pytest

from mandate import agent_client, exceptions, models
from mandate.services import approvals, dispatcher, runs, webhooks
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision, RunStatus
from tests.contract import exchanges

pytestmark = pytest.mark.django_db(transaction=True)

WEBHOOKS = "/api/agents/webhooks/"


class Fake:
    """Runs end as the real graphs would let them."""

    def __init__(self, fake):
        self.fake = fake

    def wait_for_worker(self, run):
        """There is none."""

    def settle(self, run):
        submitted = self.fake.runs[-1]
        body = submitted.body
        match body["assistant_id"], body.get("command"):
            case "asking", None:
                asked = {"type": "approval", "approval_id": body["input"]["approval_id"]}
                self.fake.park(submitted, {"interrupt-1": asked}, values=body["input"])
            case "failing", _:
                self.fake.fail(submitted, ErrorCode.GRAPH_FAILED)
            case "endless", _:
                self.fake.interrupt(submitted)
            case _:
                self.tell(submitted)
        webhooks.receive(*self.fake.webhook(submitted))

    def webhook_of(self, run):
        (submitted,) = (known for known in self.fake.runs if str(known.run_id) == str(run.agent_run_id))
        return self.fake.webhook(submitted)[1]

    def tell(self, submitted):
        self.fake.emit(submitted, "custom", {"thinking": 0.5})
        self.fake.emit(submitted, "updates", {"chat": {"result": 3}})
        self.fake.finish(submitted, {"result": "HELLO"})


class Real:
    """Runs end by themselves; their webhook says so."""

    def __init__(self, django_side):
        self.django_side = django_side

    def wait_for_worker(self, run):
        self.django_side.passage.wait_for("POST", "/agent-api/sessions/", holding=str(run.pk))

    def settle(self, run):
        run.refresh_from_db()
        self.django_side.passage.wait_for("POST", WEBHOOKS, holding=str(run.agent_run_id))

    def webhook_of(self, run):
        return self.django_side.passage.wait_for("POST", WEBHOOKS, holding=str(run.agent_run_id))


@pytest.fixture(params=["fake", "real"])
def subject(request, believed):
    if request.param == "fake":
        fake, side = request.getfixturevalue("fake_agent_side")
        believed(side)
        return Fake(fake)
    _, django_side = request.getfixturevalue("both_sides")
    return Real(django_side)


@pytest.fixture
def submitted(subject, start):
    """Start a run and have it delivered."""

    def submit(graph, **given):
        run = start(graph, **given)
        dispatcher.deliver_due()
        run.refresh_from_db()
        return run

    return submit


@pytest.fixture
def settled(subject, submitted):
    """The same, to the end of its first segment."""

    def settle(graph, **given):
        run = submitted(graph, **given)
        subject.settle(run)
        run.refresh_from_db()
        return run

    return settle


@pytest.fixture
def parked(subject, start, ask):
    approval_id = uuid.uuid4()
    run = start("asking", approval_id=str(approval_id))
    ask(run, approval_id)
    dispatcher.deliver_due()
    subject.settle(run)
    run.refresh_from_db()
    return run


async def followed(run, *, acting_for, after=agent_client.FROM_THE_START):
    stream = agent_client.events(
        thread_id=run.thread_id, agent_run_id=run.agent_run_id, acting_for=acting_for, after=after
    )
    async with asyncio.timeout(20):
        return [part async for part in stream if part.event in {"custom", "updates", "error"}]


def test_a_run_is_completed_with_what_its_graph_answers(settled):
    run = settled("echo")

    assert (run.status, run.result) == (RunStatus.COMPLETED, "HELLO")


def test_a_segment_delivered_twice_is_one_run_of_the_agent_service(subject, submitted):
    run = submitted("endless")
    again = {"key": runs.segment_key(run), "segment": 1, "graph": "endless", "given": {"text": "hello"}}

    second = agent_client.submit(run, **again)
    with pytest.raises(exceptions.DeliveryFailed) as refusal:
        agent_client.submit(run, **again | {"given": {"text": "other"}})
    agent_client.cancel(run, second)
    subject.settle(run)

    assert second == run.agent_run_id
    assert refusal.value.code is ErrorCode.IDEMPOTENCY_KEY_REUSED


def test_a_parked_run_says_for_what_it_waits(parked):
    outcome = agent_client.pull(parked, parked.agent_run_id)

    assert (outcome.status, outcome.parked) == ("success", True)
    assert [value["type"] for value in outcome.interrupts.values()] == ["approval"]
    assert parked.status == RunStatus.AWAITING_APPROVAL


def test_a_decision_lets_a_parked_run_go_on(subject, parked, person):
    approvals.decide(parked.approvals.get().pk, Decision(decision="reject"), by=person)

    dispatcher.deliver_due()
    subject.settle(parked)
    parked.refresh_from_db()

    assert (parked.status, parked.segment) == (RunStatus.COMPLETED, 2)


def test_a_failed_run_says_why_and_is_resumed_where_it_stopped(subject, settled):
    run = settled("failing")
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.GRAPH_FAILED)

    runs.resume(run.pk)
    dispatcher.deliver_due()
    subject.settle(run)
    run.refresh_from_db()

    assert (run.status, run.segment) == (RunStatus.FAILED, 2)


def test_a_cancelled_run_is_interrupted(subject, submitted):
    run = submitted("endless")
    subject.wait_for_worker(run)

    runs.cancel(run.pk)
    dispatcher.deliver_due()
    subject.settle(run)

    assert agent_client.pull(run, run.agent_run_id).status == "interrupted"


def test_an_ended_run_may_be_cancelled_again(settled):
    run = settled("echo")

    agent_client.cancel(run, run.agent_run_id)

    assert agent_client.pull(run, run.agent_run_id).status == "success"


def test_a_run_that_nobody_knows_is_not_found(settled):
    run = settled("echo")

    with pytest.raises(exceptions.DeliveryFailed) as refusal:
        agent_client.pull(run, uuid.uuid4())

    assert refusal.value.code is ErrorCode.NOT_FOUND


def test_events_are_followed_from_any_place(settled, person):
    run = settled("telling")

    events = asyncio.run(followed(run, acting_for=person))
    rest = asyncio.run(followed(run, acting_for=person, after=events[0].id))

    assert [event.event for event in events] == ["custom", "updates"]
    assert rest == events[1:]


def test_a_webhook_is_what_the_schema_says(subject, settled):
    run = settled("echo")
    schema = exchanges.Document("webhooks.schema.json")

    sent = json.loads(subject.webhook_of(run))

    assert list(schema.faults(sent)) == []
    assert models.WebhookReceipt.objects.filter(run=run).count() == 1
    assert sent["data"]["run_id"] == str(run.agent_run_id)
