"""A run that was stopped goes on where it stood when a person has mended the cause, over both sides."""

import pytest
from django.contrib.auth.models import Group
from pydantic import BaseModel

from mandate import models, testing, tools
from mandate.selectors import usage
from mandate.services import agents, dispatcher, limits, runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import LimitsChange, RunStatus
from shared_schemas.tools import Limits
from tests.contract import conftest

pytestmark = pytest.mark.django_db(transaction=True)


class Note(tools.Schema):
    text: str


class Kept(BaseModel):
    text: str


def keep(context: tools.Context, call: Note) -> Kept:
    """Keep a note, unless the book is closed."""
    if call.text == "two" and Group.objects.filter(name="closed").exists():
        raise tools.ToolRejected("The book is closed.")
    return Kept(text=Group.objects.create(name=call.text).name)


@pytest.fixture
def perform(both_sides, person):
    """Start or resume a run of the graph that consults, writes twice and consults, and wait for its end."""
    _, django_side = both_sides

    def until_its_end(run=None, **given):
        if run is None:
            agent = agents.ensure("writer", graph="writing", default_model="gpt-5-mini", tools=["keep"])
            run = runs.start(agent=agent, input={"text": "hello"}, by=person, limits=Limits(**given))
        else:
            runs.resume(run.pk, by=person)
        dispatcher.deliver_due()
        run.refresh_from_db()
        django_side.passage.wait_for("POST", conftest.WEBHOOKS, holding=str(run.agent_run_id))
        run.refresh_from_db()
        return run

    with testing.temporary_tools():
        tools.tool(scope="notes:write", effect=tools.Effect.WRITE)(keep)
        yield until_its_end


def replays():
    calls = models.ToolCall.objects.order_by("created_at")
    return [(call.arguments["text"], call.status, call.replay_count) for call in calls]


def test_after_the_data_is_mended_a_finished_call_replays(perform):
    closed = Group.objects.create(name="closed")
    run = perform()
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.REJECTED)
    closed.delete()

    perform(run)

    assert (run.status, run.result) == (RunStatus.COMPLETED, "written")
    assert replays() == [("one", "succeeded", 1), ("two", "succeeded", 0)]
    assert Group.objects.count() == 2


def test_after_a_limit_of_calls_is_raised_the_run_goes_on(perform, person):
    run = perform(writes=1)
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.LIMIT_SPENT)
    assert "1 of 1 writes" in run.error_message

    limits.change(run.pk, LimitsChange(writes=2), by=person)
    perform(run)

    assert run.status == RunStatus.COMPLETED
    assert replays() == [("one", "succeeded", 1), ("two", "succeeded", 0)]


def test_after_a_limit_of_tokens_is_raised_the_run_goes_on_and_asks_nothing_twice(perform, person):
    run = perform(model_tokens=119)
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.LIMIT_SPENT)
    assert "60 of 119 model tokens are used" in run.error_message

    limits.change(run.pk, LimitsChange(model_tokens=200), by=person)
    perform(run)

    [used] = usage.by_model(run)
    assert run.status == RunStatus.COMPLETED
    assert (used.calls, used.output_tokens) == (2, 120)
    assert replays() == [("one", "succeeded", 0), ("two", "succeeded", 0)]


def test_a_limit_that_was_not_raised_stops_the_run_again_at_once(perform):
    run = perform(model_tokens=119)

    perform(run)

    assert (run.status, run.segment, run.error_code) == (RunStatus.FAILED, 2, ErrorCode.LIMIT_SPENT)
    assert sum(used.calls for used in usage.by_model(run)) == 1
