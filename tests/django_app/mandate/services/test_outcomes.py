from decimal import Decimal

import pytest

from mandate import models
from mandate.services import runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("values", "result"),
    [
        pytest.param({"result": {"tasks": 3}, "messages": []}, {"tasks": 3}, id="the graph's own"),
        pytest.param(
            {
                "messages": [
                    {"type": "ai", "content": "first"},
                    {
                        "type": "ai",
                        "content": [{"type": "text", "text": "la"}, {"type": "text", "text": "st"}],
                    },
                    {"type": "tool", "content": "later"},
                ]
            },
            "last",
            id="the model's last text",
        ),
        pytest.param({"sum": 3}, {"sum": 3}, id="all of the state"),
        pytest.param([1, 2], [1, 2], id="a state that is no object"),
    ],
)
def test_a_successful_run_keeps_its_result(submitted, agent_service, report, values, result):
    run, fake_run = submitted
    agent_service.finish(fake_run, values)

    report(fake_run)

    run.refresh_from_db()
    assert (run.status, run.result, run.final_state) == (RunStatus.COMPLETED, result, values)
    assert run.ended_at is not None


def test_usage_is_kept_and_priced(submitted, agent_service, report, settings):
    settings.MANDATE = {**settings.MANDATE, "MODEL_PRICES": {"gpt-test": {"input": "1", "output": "10"}}}
    run, fake_run = submitted
    used = {"model": "gpt-test", "calls": 2, "input_tokens": 1_000_000, "output_tokens": 50_000}
    agent_service.finish(fake_run, {}, usage=[used])

    report(fake_run)

    run.refresh_from_db()
    assert run.cost == Decimal("1.5")
    assert run.usage.get().calls == 2


def test_a_run_with_a_model_of_unknown_price_has_no_cost(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.finish(fake_run, {}, usage=[{"model": "new", "input_tokens": 1}])

    report(fake_run)

    run.refresh_from_db()
    assert run.cost is None


def test_a_failed_run_says_why(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.MODEL_FAILED, values={"messages": []})

    report(fake_run)

    run.refresh_from_db()
    assert (run.status, run.error_code, run.error_message) == (
        RunStatus.FAILED,
        ErrorCode.MODEL_FAILED,
        "made to fail",
    )


def test_a_state_that_cannot_be_stored_fails_the_run(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": "a\x00b"})

    report(fake_run)

    run.refresh_from_db()
    assert (run.status, run.error_code, run.final_state) == (RunStatus.FAILED, "unstorable_value", None)


def test_a_run_that_was_cancelled_elsewhere_is_cancelled(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.interrupt(fake_run)

    report(fake_run)

    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED


def test_a_graph_that_waits_for_something_else_fails(submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.park(fake_run, {"interrupt-x": "Shall I?"})

    report(fake_run)

    run.refresh_from_db()
    assert (run.status, run.error_code) == (RunStatus.FAILED, ErrorCode.GRAPH_FAILED)


def test_a_parked_run_has_no_live_token(submitted, ask, ask_for, agent_service, report):
    run, fake_run = submitted
    approval = ask(run)
    models.ToolSession.objects.create(run=run, epoch=1, token_hash="x", expires_at=approval.expires_at)
    agent_service.park(fake_run, ask_for(approval))

    report(fake_run)

    assert not run.sessions.filter(revoked_at=None).exists()


def test_news_of_an_earlier_segment_change_nothing(parked, decide, agent_service, report):
    run, (approval,) = parked("a")
    decide(approval)

    report(agent_service.runs[0])

    run.refresh_from_db()
    assert (run.status, run.segment, run.agent_run_id) == (RunStatus.PENDING, 2, None)


def test_a_cancelled_run_stays_cancelled_and_keeps_what_it_used(submitted, agent_service, report):
    run, fake_run = submitted
    runs.cancel(run.pk)
    agent_service.finish(fake_run, {"result": 1}, usage=[{"model": "gpt-test", "output_tokens": 7}])

    report(fake_run)

    run.refresh_from_db()
    assert (run.status, run.result) == (RunStatus.CANCELLED, None)
    assert run.usage.get().output_tokens == 7


def test_a_completed_run_withdraws_its_questions(submitted, ask, agent_service, report):
    run, fake_run = submitted
    approval = ask(run)
    agent_service.finish(fake_run, {})

    report(fake_run)

    approval.refresh_from_db()
    assert approval.status == approval.Status.CANCELLED


def test_the_version_of_the_prompts_and_the_first_token_are_kept(submitted, agent_service, report):
    run, fake_run = submitted
    fake_run.prompt_version = "0a1b2c"
    used = {"model": "gpt-5-mini", "calls": 1, "input_tokens": 1, "output_tokens": 1, "first_token": 0.25}
    agent_service.finish(fake_run, {"result": 1}, usage=[used])

    report(fake_run)

    run.refresh_from_db()
    assert (run.prompt_version, run.usage.get().first_token) == ("0a1b2c", 0.25)
