from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from mandate import exceptions, models, testing
from mandate.selectors import usage
from mandate.services import agents, limits, runs, sessions
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import LimitsChange, RunStatus
from shared_schemas.tools import Limits, SessionCreate

pytestmark = pytest.mark.django_db


@pytest.fixture
def priced(settings):
    settings.MANDATE = {**settings.MANDATE, "MODEL_PRICES": {"any": {"input": "1", "output": "2"}}}


@pytest.fixture
def stopped(start_run, add_tool):
    """A run that has used up its one call, of an agent that may now make three."""
    run = start_run(add_tool, tool_calls=1)
    testing.call_tool(add_tool, {"name": "red"}, run=run)
    raised = Limits(tool_calls=3)
    agents.ensure(run.agent.slug, graph="any", default_model="any", tools=[add_tool], limits=raised)
    run.agent.refresh_from_db()
    return run


@pytest.fixture
def held(start_run):
    """A run that workers held for so many seconds each, one after the other."""

    def make(*seconds, **given):
        run = start_run(**given)
        moment = timezone.now() - timedelta(days=1)
        for epoch, length in enumerate(seconds, start=1):
            session = models.ToolSession.objects.create(
                run=run, epoch=epoch, token_hash=str(epoch), expires_at=moment
            )
            ended = moment + timedelta(seconds=length)
            models.ToolSession.objects.filter(pk=session.pk).update(created_at=moment, revoked_at=ended)
        return run

    return make


def test_a_raised_limit_lets_the_next_call_through(stopped, add_tool, user):
    limits.change(stopped.pk, LimitsChange(tool_calls=2), by=user)

    stopped.refresh_from_db()
    testing.call_tool(add_tool, {"name": "blue"}, run=stopped)

    assert Group.objects.count() == 2


def test_a_limit_is_not_raised_beyond_the_agents(stopped, user):
    with pytest.raises(exceptions.RequestRefused) as refused:
        limits.change(stopped.pk, LimitsChange(tool_calls=4), by=user)

    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_limits_that_are_not_named_stay(start_run, user):
    run = start_run(tool_calls=5, writes=2)

    changed = limits.change(run.pk, LimitsChange(writes=1), by=user)

    assert changed.limits == {"calls_per_tool": {}, "tool_calls": 5, "writes": 1}


def test_null_is_the_agents_own_limit(stopped, user):
    changed = limits.change(stopped.pk, LimitsChange(tool_calls=None), by=user)

    assert changed.limits["tool_calls"] == 3


def test_a_run_may_be_given_all_that_its_agent_may_use(stopped, user):
    changed = limits.raise_to_agents(stopped.pk, by=user)

    assert changed.limits == {"calls_per_tool": {}, "tool_calls": 3}


def test_who_changed_a_limit_and_how_is_kept(stopped, user):
    limits.change(stopped.pk, LimitsChange(tool_calls=2), by=user)

    note = models.RunNote.objects.get(kind="limits_raised")
    assert (note.run, note.by) == (stopped, user)
    assert (note.data["before"]["tool_calls"], note.data["after"]["tool_calls"]) == (1, 2)


def test_a_run_that_is_over_keeps_its_limits(stopped, user):
    runs.cancel(stopped.pk)

    with pytest.raises(exceptions.RequestRefused) as refused:
        limits.change(stopped.pk, LimitsChange(tool_calls=2), by=user)

    assert refused.value.code is ErrorCode.ILLEGAL_TRANSITION


def test_money_is_limited_only_where_the_model_has_a_price(agent, user, start):
    agent.limits = {"money": "1"}
    agent.save()

    with pytest.raises(exceptions.RequestRefused, match="needs the price"):
        start()


def test_the_time_of_every_worker_counts_and_that_between_them_does_not(held):
    assert usage.worked(held(10, 20)) == timedelta(seconds=30)


def test_the_time_of_the_worker_at_work_counts(start_run):
    run = start_run()
    testing.token_of(run)

    assert timedelta(0) < usage.worked(run) < timedelta(minutes=1)


def test_a_call_after_the_time_is_up_is_refused(held, add_tool):
    run = held(20, 10, wall_clock=30)
    run.tools = run.agent.tools = [add_tool]
    run.agent.save()
    run.epoch = 3
    run.save()

    with pytest.raises(exceptions.RequestRefused, match="has worked 30 of 30 seconds"):
        testing.call_tool(add_tool, {"name": "red"}, run=run)

    assert not Group.objects.exists()


def test_a_replay_is_given_after_a_limit_is_spent(start_run, add_tool):
    run, key = start_run(add_tool, tool_calls=1), testing.new_key()
    first = testing.call_tool(add_tool, {"name": "red"}, run=run, key=key)

    assert testing.call_tool(add_tool, {"name": "red"}, run=run, key=key) == first


def test_a_worker_is_told_what_earlier_segments_used(priced, held):
    run = held(20, 10, money="3")
    for segment in (1, 2):
        models.ModelUsage.objects.create(
            run=run, segment=segment, model="any", calls=1, input_tokens=5, output_tokens=segment
        )
    run.segment = 2

    told = usage.used(run)

    assert [(item.model, item.input_tokens, item.output_tokens) for item in told.models] == [("any", 5, 1)]
    assert told.seconds == 30


def test_prices_are_told_where_money_is_limited(priced):
    assert usage.prices(Limits(money=Decimal(1)))["any"].output == 2
    assert usage.prices(Limits()) == {}


def test_a_worker_that_takes_over_does_not_begin_the_time_anew(held):
    run = held(20, wall_clock=30)

    sessions.open_or_renew(SessionCreate(run_id=run.pk, thread_id=str(run.thread_id), epoch=2))

    assert usage.used(run).seconds >= 20
    assert run.status == RunStatus.RUNNING


@pytest.mark.parametrize("figure", [2**31, 2**62])
def test_a_limit_may_be_larger_than_any_count(start_run, add_tool, figure):
    run = start_run(add_tool, tool_calls=figure, writes=figure, calls_per_tool={add_tool: figure})

    testing.call_tool(add_tool, {"name": "red"}, run=run)

    assert Group.objects.count() == 1
