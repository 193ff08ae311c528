import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from agent_service import exceptions
from agent_service.engine import budget
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Limits
from shared_schemas.usage import ModelUsage, Price

PRICES = {
    "small": Price(input=Decimal(1), output=Decimal(2)),
    "large": Price(input=Decimal(10), output=Decimal(20)),
}


@pytest.fixture
def open_budget():
    def make(*used, **limits):
        return budget.Budget(limits=Limits(**limits), prices=PRICES, used=used, max_output=100)

    return make


def asked(tokens, model="small"):
    return budget.Asked(model=model, input_tokens=tokens, output_tokens=0)


def used(tokens, model="small"):
    return ModelUsage(model=model, calls=1, input_tokens=tokens)


def test_a_call_is_let_through_while_its_reservation_fits(open_budget):
    limited = open_budget(used(50), model_tokens=100)

    assert limited.take(uuid.uuid4(), asked(50), owner="a") is None
    with pytest.raises(exceptions.RunFailed) as failed:
        limited.take(uuid.uuid4(), asked(1), owner="a")

    assert failed.value.code is ErrorCode.LIMIT_SPENT


def test_the_refusal_says_which_limit_and_by_how_much(open_budget):
    limited = open_budget(used(90), model_tokens=100)

    with pytest.raises(
        exceptions.RunFailed, match=r"90 of 100 model tokens are used, .* 'small' may take 11"
    ):
        limited.take(uuid.uuid4(), asked(11), owner="a")


def test_a_call_that_took_less_gives_the_rest_back(open_budget):
    limited, first = open_budget(model_tokens=100), uuid.uuid4()
    limited.take(first, asked(100), owner="a")

    limited.settle(first, used(10))

    assert limited.take(uuid.uuid4(), asked(90), owner="a") is None


def test_a_call_that_failed_gives_all_back(open_budget):
    limited, first = open_budget(model_tokens=100), uuid.uuid4()
    limited.take(first, asked(100), owner="a")

    limited.release(first)

    assert limited.take(uuid.uuid4(), asked(100), owner="a") is None


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda limited, call: limited.settle(call, None), id="no figures"),
        pytest.param(lambda limited, call: limited.lapse(call), id="its task is gone"),
    ],
)
def test_a_call_of_which_nothing_is_known_counts_in_full(open_budget, end):
    limited, first = open_budget(model_tokens=100), uuid.uuid4()
    limited.take(first, asked(100), owner="a")

    end(limited, first)

    with pytest.raises(exceptions.RunFailed, match="100 of 100 model tokens"):
        limited.take(uuid.uuid4(), asked(1), owner="a")


def test_a_call_waits_for_those_under_way(open_budget):
    limited, first, second = open_budget(model_tokens=100), uuid.uuid4(), uuid.uuid4()
    limited.take(first, asked(80), owner="a")
    change = limited.take(second, asked(80), owner="b")
    assert not change.done()

    limited.settle(first, used(20))

    assert change.done()
    assert limited.take(second, asked(80), owner="b") is None


def test_branches_that_would_wait_for_each_other_end_the_run(open_budget):
    limited = open_budget(model_tokens=100)
    for owner in ("a", "b"):
        limited.take(uuid.uuid4(), asked(50), owner=owner)
    waiting = limited.take(uuid.uuid4(), asked(50), owner="a")

    with pytest.raises(exceptions.RunFailed, match="does not fit beside those that wait"):
        limited.take(uuid.uuid4(), asked(50), owner="b")

    assert waiting.done()


def test_after_a_refusal_nothing_is_let_through(open_budget):
    limited = open_budget(model_tokens=100)
    with pytest.raises(exceptions.RunFailed):
        limited.take(uuid.uuid4(), asked(101), owner="a")

    with pytest.raises(exceptions.RunFailed):
        limited.take(uuid.uuid4(), asked(1), owner="a")


def test_money_is_counted_by_the_prices_of_the_models(open_budget):
    limited = open_budget(used(500_000), used(100_000, "large-2026-01-31"), money="2.5")

    assert limited.take(uuid.uuid4(), asked(100_000, "large"), owner="a") is None
    with pytest.raises(exceptions.RunFailed, match=r"1\.5 of 2\.5 money are used, .* may take 1\.1"):
        limited.take(uuid.uuid4(), asked(110_000, "large"), owner="a")


def test_a_model_without_a_price_is_not_asked_where_money_is_limited(open_budget):
    limited = open_budget(money=1)

    with pytest.raises(exceptions.RunFailed) as failed:
        limited.take(uuid.uuid4(), asked(1, "new"), owner="a")

    assert failed.value.code is ErrorCode.UNKNOWN_MODEL


def test_what_was_used_without_a_price_counts_as_the_dearest(open_budget):
    limited = open_budget(used(100_000, "renamed"), money=1)

    with pytest.raises(exceptions.RunFailed, match="1 of 1 money"):
        limited.take(uuid.uuid4(), asked(1), owner="a")


def test_threads_never_overspend(open_budget):
    limited, barrier = open_budget(model_tokens=100), threading.Barrier(8)
    taken = []

    def call(number):
        barrier.wait(timeout=10)
        for _ in range(20):
            call_id = uuid.uuid4()
            while change := limited.take(call_id, asked(30), owner=number):
                change.result(timeout=10)
            taken.append(call_id)
            limited.settle(call_id, used(7))

    with ThreadPoolExecutor(8) as pool:
        outcomes = [future.exception() for future in [pool.submit(call, number) for number in range(8)]]

    # 71 used and 30 asked for is too much, 70 is not.
    assert len(taken) == 11
    assert all(isinstance(error, exceptions.RunFailed) for error in outcomes)
