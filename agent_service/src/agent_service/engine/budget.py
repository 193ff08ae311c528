"""What a run's models may still use: reserved before each call, settled after it.

All branches of a run share one budget, on the event loop and in threads. A call that does not fit beside
the calls that are under way waits for them, since most take less than was reserved; one that does not fit
without them ends the run.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Self
from uuid import UUID

from agent_service import exceptions
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Limits
from shared_schemas.usage import ModelUsage, Price, price_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The most that a model call may take."""

    model: str
    input_tokens: int
    """Estimated."""

    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """So much of both limits."""

    tokens: int = 0
    money: Decimal = Decimal(0)

    def __add__(self, other: Self) -> "Amount":
        return Amount(tokens=self.tokens + other.tokens, money=self.money + other.money)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One call under way."""

    owner: Hashable
    """The task or thread that makes it."""

    amount: Amount


class Budget:
    """The limits of tokens and money of one run."""

    def __init__(
        self,
        *,
        limits: Limits,
        prices: Mapping[str, Price],
        used: Iterable[ModelUsage],
        max_output: int,
        on_spent: Callable[[], None] = lambda: None,
    ) -> None:
        self.max_output = max_output
        """Reserved for an answer of which nothing limits the length."""

        self.spent: exceptions.RunFailed | None = None
        """Why no call is let through any more."""

        self._limits = limits
        self._prices = prices
        self._on_spent = on_spent
        self._lock = threading.Lock()
        self._used = sum((self._settled(item) for item in used), start=Amount())
        self._open: dict[UUID, Reservation] = {}
        self._waiting: dict[Hashable, Future[None]] = {}

    def take(
        self, call_id: UUID, asked: Asked, *, owner: Hashable, may_wait: bool = True
    ) -> Future[None] | None:
        """Reserve what a call may take; where it has to wait, return what is done when asking again may help.

        Raises:
            RunFailed: LIMIT_SPENT; UNKNOWN_MODEL, there is a limit of money and the model has no price.
        """
        with self._lock:
            if self.spent is not None:
                raise self.spent
            if call_id in self._open:
                return None
            amount = self._reserved(asked)
            if self._fits(amount):
                self._open[call_id] = Reservation(owner=owner, amount=amount)
                return None
            if may_wait and self._others_move(owner):
                return self._waiting.setdefault(owner, Future())
            raise self._refuse(ErrorCode.LIMIT_SPENT, self._sentence(asked, amount))

    def knows(self, call_id: UUID) -> bool:
        """Tell whether a call is under way."""
        return call_id in self._open

    def settle(self, call_id: UUID, used: ModelUsage | None) -> None:
        """Count what a call took; all that was reserved for it, if nobody knows."""
        with self._lock:
            reservation = self._open.pop(call_id, None)
            if used is not None:
                self._used += self._settled(used)
            elif reservation is not None:
                self._used += reservation.amount
            self._wake()

    def release(self, call_id: UUID) -> None:
        """Give back what was reserved for a call that was not answered."""
        with self._lock:
            self._open.pop(call_id, None)
            self._wake()

    def lapse(self, call_id: UUID) -> None:
        """Count a call in full whose task ended without telling what became of it."""
        if self.knows(call_id):
            self.settle(call_id, None)

    def _others_move(self, owner: Hashable) -> bool:
        # Calls of this owner, and of those who wait themselves, do not end before it goes on.
        return any(
            reservation.owner != owner and reservation.owner not in self._waiting
            for reservation in self._open.values()
        )

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            # Not one whose task was cancelled.
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _fits(self, amount: Amount) -> bool:
        total = sum((reservation.amount for reservation in self._open.values()), start=self._used + amount)
        limits = self._limits
        return (limits.model_tokens is None or total.tokens <= limits.model_tokens) and (
            limits.money is None or total.money <= limits.money
        )

    def _reserved(self, asked: Asked) -> Amount:
        tokens = asked.input_tokens + asked.output_tokens
        if self._limits.money is None:
            return Amount(tokens=tokens)
        price = price_of(asked.model, self._prices)
        if price is None:
            raise self._refuse(
                ErrorCode.UNKNOWN_MODEL,
                f"The run has a limit of money, and Django knows no price of the model {asked.model!r}.",
            )
        money = price.of(input_tokens=asked.input_tokens, output_tokens=asked.output_tokens)
        return Amount(tokens=tokens, money=money)

    def _settled(self, used: ModelUsage) -> Amount:
        sums = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        price = price_of(used.model, self._prices)
        # Under a name without a price it is taken for the dearest.
        prices = self._prices.values() if price is None else [price]
        money = max((one.of(**sums) for one in prices), default=Decimal(0))
        return Amount(tokens=sum(sums.values()), money=money)

    def _refuse(self, code: ErrorCode, sentence: str) -> exceptions.RunFailed:
        self.spent = exceptions.RunFailed(code, sentence)
        self._wake()
        self._on_spent()
        return self.spent

    def _sentence(self, asked: Asked, amount: Amount) -> str:
        used, limits = self._used, self._limits
        spent = [
            f"{_text(count)} of {_text(limit)} {what} are used, "
            f"and the next call of {asked.model!r} may take {_text(more)}"
            for what, count, limit, more in (
                ("model tokens", used.tokens, limits.model_tokens, amount.tokens),
                ("money", used.money, limits.money, amount.money),
            )
            if limit is not None and count + more > limit
        ]
        if not spent:
            spent = [f"the next call of {asked.model!r} does not fit beside those that wait for it"]
        return f"A limit of the run is used up: {'; '.join(spent)}."


def _text(figure: int | Decimal) -> str:
    return f"{Decimal(figure):f}"
