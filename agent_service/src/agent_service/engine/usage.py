"""Sees every model call of a run: counts what it uses, and lets it through only while the budget lasts.

LangChain asks the handlers before each call and tells them after it. They are put in place by a context
variable, so that a graph that gives callbacks of its own does not leave them out.
"""

import asyncio
import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, manager
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from agent_service import models
from agent_service.engine import budget, throttling
from shared_schemas import crashing
from shared_schemas.usage import ModelUsage

UNKNOWN = "unknown"

CHARACTERS_PER_TOKEN = 3
TOKENS_PER_IMAGE = 1600

_MAX_OUTPUT = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class UsageCounter(BaseCallbackHandler):
    """Sums the usage of each model, beginning with what earlier attempts used."""

    # Without a thread of its own per call: it only adds numbers.
    run_inline = True
    raise_error = True
    ignore_chain = ignore_agent = ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self, earlier: Iterable[ModelUsage] = ()) -> None:
        self.budget: budget.Budget | None = None
        """What the run may use, if that is limited."""

        self.gate: throttling.Gate | None = None
        """Where calls wait for their provider, if any is limited."""

        self.calls = 0
        """Answers that were counted here."""

        self._sums: dict[str, Counter[str]] = {}
        self._first_tokens: dict[str, float | None] = {}
        self._asked_at: dict[UUID, float] = {}
        self._waited: dict[UUID, float] = {}
        for item in earlier:
            self._sums[item.model] = Counter(item.model_dump(exclude={"model", "first_token"}))
            self._first_tokens[item.model] = item.first_token

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **told: Any
    ) -> None:
        """Reserve for a call by `invoke`; for one by `ainvoke` the turnstile does, which can wait."""
        self.ask(run_id)
        # LangChain swallows what an asynchronous handler of an `invoke` raises.
        is_sync = sys._getframe(1).f_code is manager.handle_event.__code__  # noqa: SLF001 - the only sign of it
        if not is_sync:
            return
        if self.gate is not None:
            call = run_id, _provider(told)
            if _is_on_loop():
                # It cannot wait without the whole process; the next one waits longer instead.
                self.gate.note(*call, tokens=0)
            else:
                self.gate.admit_thread(*call, tokens=_input_tokens(messages, told))
        if self.budget is None:
            return
        asked = _asked(serialized, messages, told, max_output=self.budget.max_output)
        while change := self.budget.take(
            run_id, asked, owner=threading.get_ident(), may_wait=not _is_on_loop()
        ):
            change.result()
        self.ask(run_id)

    def ask(self, call: UUID) -> None:
        """Note that a call begins now; told again, when it has waited to be let through."""
        self._asked_at[call] = time.monotonic()

    def on_llm_new_token(
        self, token: str | list[str | dict[str, Any]], *, chunk: Any = None, run_id: UUID, **_: Any
    ) -> None:
        # A model that is no chat model never said that it was asked.
        if run_id in self._asked_at and run_id not in self._waited and (token or _says_something(chunk)):
            self._waited[run_id] = time.monotonic() - self._asked_at[run_id]

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        crashing.point("model.after_answer")
        waited = self._forget(run_id)
        used = [
            self._add(generation.message, waited)
            for generation in (item for items in response.generations for item in items)
            if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage)
        ]
        self.calls += 1
        if self.gate is not None:
            known = [item.input_tokens + item.output_tokens for item in used if item is not None]
            self.gate.settle(run_id, sum(known) if known else None)
        if self.budget is not None:
            # Several answers to one question tell the same figures.
            self.budget.settle(run_id, next(iter(used), None))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._forget(run_id)
        if self.gate is not None:
            self.gate.settle(run_id, None)
        if self.budget is None:
            return
        if isinstance(error, Exception):
            self.budget.release(run_id)
        else:
            # Cancelled: the provider goes on, and is paid.
            self.budget.settle(run_id, None)

    def totals(self) -> list[ModelUsage]:
        return [
            ModelUsage(model=model, first_token=self._first_tokens.get(model), **sums)
            for model, sums in sorted(self._sums.items())
        ]

    def _forget(self, call: UUID) -> float | None:
        self._asked_at.pop(call, None)
        return self._waited.pop(call, None)

    def _add(self, message: AIMessage, waited: float | None) -> ModelUsage | None:
        model = message.response_metadata.get("model_name") or UNKNOWN
        self._first_tokens.setdefault(model, None if waited is None else round(waited, 6))
        sums = self._sums.setdefault(model, Counter())
        sums["calls"] += 1
        if message.usage_metadata is None:
            return None
        used = ModelUsage(
            model=model,
            calls=1,
            input_tokens=message.usage_metadata["input_tokens"],
            output_tokens=message.usage_metadata["output_tokens"],
        )
        sums["input_tokens"] += used.input_tokens
        sums["output_tokens"] += used.output_tokens
        return used


class Turnstile(AsyncCallbackHandler):
    """Lets the calls of tasks through one by one, as far as the budget lasts."""

    # In the task that makes the call, and last: LangChain does not await the handlers after one that raises.
    run_inline = True
    raise_error = True
    ignore_chain = ignore_agent = ignore_retriever = ignore_retry = ignore_custom_event = True

    def __init__(self, counter: UsageCounter) -> None:
        self.counter = counter

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **told: Any
    ) -> None:
        if self.counter.gate is not None:
            await self.counter.gate.admit(run_id, _provider(told), tokens=_input_tokens(messages, told))
            self.counter.ask(run_id)
        limited = self.counter.budget
        # What is known already comes from a thread, and was asked for there.
        if limited is None or limited.knows(run_id):
            return
        asked = _asked(serialized, messages, told, max_output=limited.max_output)
        task = asyncio.current_task()
        assert task is not None
        while change := limited.take(run_id, asked, owner=task):
            await asyncio.wrap_future(change)
        self.counter.ask(run_id)
        task.add_done_callback(lambda _: limited.lapse(run_id))


_turnstile: ContextVar[Turnstile | None] = ContextVar("turnstile", default=None)
_counter: ContextVar[UsageCounter | None] = ContextVar("counter", default=None)
# Not inherited but added anew for each call, so that they come after all handlers that are.
register_configure_hook(_counter, inheritable=False)
register_configure_hook(_turnstile, inheritable=False)


@contextlib.contextmanager
def counted(counter: UsageCounter) -> Iterator[None]:
    """Show every model call that is made inside, and in tasks and threads begun inside, to a counter."""
    is_limited = counter.gate is not None or counter.budget is not None
    before, after = _turnstile.set(Turnstile(counter) if is_limited else None), _counter.set(counter)
    try:
        yield
    finally:
        _turnstile.reset(before)
        _counter.reset(after)
        if counter.gate is not None:
            counter.gate.close()


def _asked(
    serialized: dict[str, Any], messages: list[list[BaseMessage]], told: dict[str, Any], *, max_output: int
) -> budget.Asked:
    parameters = told.get("invocation_params") or {}
    metadata = told.get("metadata") or {}
    named = parameters.get("model") or parameters.get("model_name") or metadata.get("ls_model_name")
    longest = next((parameters[name] for name in _MAX_OUTPUT if parameters.get(name)), None)
    answers = parameters.get("n") or 1
    return budget.Asked(
        model=named or (serialized or {}).get("name") or UNKNOWN,
        input_tokens=_input_tokens(messages, told),
        output_tokens=answers * (longest or metadata.get("ls_max_tokens") or max_output),
    )


def _input_tokens(messages: list[list[BaseMessage]], told: dict[str, Any]) -> int:
    parameters = told.get("invocation_params") or {}
    tools = [tool for tool in parameters.get("tools") or () if isinstance(tool, dict)]
    return sum(
        count_tokens_approximately(
            question,
            chars_per_token=CHARACTERS_PER_TOKEN,
            tokens_per_image=TOKENS_PER_IMAGE,
            tools=[*tools],
        )
        for question in messages
    )


def _says_something(chunk: Any) -> bool:
    message = getattr(chunk, "message", None)
    return isinstance(message, AIMessageChunk) and bool(message.content or message.tool_call_chunks)


def _provider(told: dict[str, Any]) -> str:
    name = (told.get("metadata") or {}).get("ls_provider")
    return models.provider_named(name) if name else UNKNOWN


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
