"""How often this process asks each provider, and for how many tokens: leaky buckets, one minute deep.

A call waits before it is made. What it takes is estimated then; the difference is added to the next call.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from aiolimiter import AsyncLimiter

from agent_service.settings import Rate

MINUTE = timedelta(minutes=1)


@dataclass(slots=True, kw_only=True)
class Throttle:
    """The buckets of one process, by provider."""

    rates: Mapping[str, Rate]
    period: timedelta = MINUTE
    _requests: dict[str, AsyncLimiter] = field(default_factory=dict, init=False)
    _tokens: dict[str, AsyncLimiter] = field(default_factory=dict, init=False)
    _owed: Counter[str] = field(default_factory=Counter, init=False)
    waiting: Counter[str] = field(default_factory=Counter, init=False)
    """Calls that wait now, by provider."""

    async def admit(self, provider: str, *, tokens: int) -> None:
        """Wait until the provider may be asked for about so many tokens."""
        if provider not in self.rates:
            return
        rate, seconds = self.rates[provider], self.period.total_seconds()
        self.waiting[provider] += 1
        try:
            if rate.requests_per_minute is not None:
                bucket = self._requests.setdefault(provider, AsyncLimiter(rate.requests_per_minute, seconds))
                await bucket.acquire()
            if rate.tokens_per_minute is not None:
                bucket = self._tokens.setdefault(provider, AsyncLimiter(rate.tokens_per_minute, seconds))
                share = self._share(provider, tokens, most=rate.tokens_per_minute)
                try:
                    await bucket.acquire(share)
                except asyncio.CancelledError:
                    # What calls before this one took is owed still; this one takes nothing.
                    self._owed[provider] += share - tokens
                    raise
        finally:
            self.waiting[provider] -= 1

    def settle(self, provider: str, *, estimated: int, used: int) -> None:
        """Charge the next call with what this one took beyond its estimate, or give the rest back."""
        if provider in self.rates:
            self._owed[provider] += used - estimated

    def _share(self, provider: str, tokens: int, *, most: int) -> int:
        due = tokens + self._owed[provider]
        now = max(0, min(due, most))
        self._owed[provider] = due - now
        return now


@dataclass(slots=True, kw_only=True)
class Gate:
    """One run's way to the buckets; what waits there in a thread is sent away when the run is over."""

    throttle: Throttle
    loop: asyncio.AbstractEventLoop
    _admitted: dict[UUID, tuple[str, int]] = field(default_factory=dict, init=False)
    _waiting: set[Future[None]] = field(default_factory=set, init=False)
    _closed: bool = field(default=False, init=False)

    def admit_thread(self, call_id: UUID, provider: str, *, tokens: int) -> None:
        """Wait in a thread that is not the event loop's.

        Raises:
            CancelledError: the run is over.
        """
        admission = asyncio.run_coroutine_threadsafe(self.throttle.admit(provider, tokens=tokens), self.loop)
        self._waiting.add(admission)
        admission.add_done_callback(self._waiting.discard)
        if self._closed:
            admission.cancel()
        admission.result()
        self.note(call_id, provider, tokens=tokens)

    async def admit(self, call_id: UUID, provider: str, *, tokens: int) -> None:
        """Wait in a task, unless the call was let through already."""
        if call_id not in self._admitted:
            await self.throttle.admit(provider, tokens=tokens)
            self.note(call_id, provider, tokens=tokens)

    def note(self, call_id: UUID, provider: str, *, tokens: int) -> None:
        """Remember a call that is made."""
        self._admitted[call_id] = (provider, tokens)

    def settle(self, call_id: UUID, used: int | None) -> None:
        """Tell what a call took; nothing, if nobody knows."""
        if admitted := self._admitted.pop(call_id, None):
            provider, tokens = admitted
            self.throttle.settle(provider, estimated=tokens, used=tokens if used is None else used)

    def close(self) -> None:
        self._closed = True
        for admission in tuple(self._waiting):
            admission.cancel()
