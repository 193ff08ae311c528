"""Runs a run's graph, from wherever its thread stands."""

import asyncio
import copy
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import structlog
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command, Send, StateSnapshot

from agent_service import checkpointing, exceptions, models
from agent_service.engine import (
    budget,
    encoding,
    failures,
    grants,
    leases,
    looking,
    repairs,
    resumes,
    retrying,
    run,
    streaming,
    throttling,
    usage,
)
from agent_service.events import log
from agent_service.graphs import registry, shapes
from agent_service.tools import binding, client
from shared_schemas import crashing, tools
from shared_schemas.problems import ErrorCode, Failure

RUN_ID = "run_id"
"""Under this name a run's id stands in the metadata of the checkpoints that it made."""

MODEL = "model"

USAGE_EVERY = 1.0
"""Seconds between the times when what a run has used is kept for the worker that comes after a crash."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """What the executions of a process share."""

    registry: registry.Registry
    models: models.Catalogue
    tools: client.ToolClient
    checkpoints: checkpointing.Checkpoints
    leases: leases.Leases
    events: log.EventLog
    run_timeout: timedelta
    recursion_limit: int
    max_output: int
    """Tokens of one answer, where they are limited."""

    max_attempts: int
    retry_delay: timedelta

    throttle: throttling.Throttle
    hand_on_steps: bool = False
    """Ask each graph to drain as soon as a superstep is done."""

    def open(self, claim: run.Claim, pen: log.Pen) -> "Execution":
        asked = claim.run.payload
        return Execution(
            shared=self,
            claim=claim,
            pen=pen,
            counter=usage.UsageCounter(claim.run.usage),
            reading=streaming.Reading(asked=asked.stream_modes, subgraphs=asked.stream_subgraphs),
        )


@dataclass(slots=True, kw_only=True)
class Execution:
    """One worker's work on one run."""

    shared: Executor
    claim: run.Claim
    pen: log.Pen
    counter: usage.UsageCounter
    reading: streaming.Reading
    control: RunControl = field(default_factory=RunControl)
    """Asked to drain, the graph stops at the end of a superstep."""

    graph: registry.Graph | None = None
    """As soon as it is built."""

    saver: checkpointing.FencedSaver | None = None
    """The graph's."""

    shape: str = ""
    """The graph's fingerprint, as soon as it is built."""

    time_limit: int | None = None
    """Seconds of the mandate, where they end before the service's own."""

    calls_kept: int = 0
    usage_kept_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    async def perform(self) -> run.Outcome:
        """Run the graph until it ends, parks, fails, or its time is over.

        Raises:
            GraphDrained: `control` asked for it.
            LeaseLost: another worker has the run.
            AttemptFailed: it failed by something that passes, and may be tried again.
            psycopg.OperationalError: the database went away.
        """
        asked = self.claim.run
        if not self.claim.resumed:
            await self._say_where("started")
        elif asked.attempt > 1:
            await self._say_where("running")
        try:
            async with asyncio.timeout(self._run_seconds - self.claim.worked.total_seconds()) as clock:
                await self._run_graph(clock)
        except (GraphDrained, exceptions.LeaseLost):
            raise
        except Exception as error:  # the worker's boundary around one run
            if checkpointing.is_fenced(error):
                raise exceptions.LeaseLost(str(asked.run_id)) from error
            if failures.is_passing(error):
                raise
            if self._spent is None and isinstance(error, TimeoutError) and clock.expired():
                return await self._timed_out()
            _log.warning("run.failed", exc_info=True)
            failure = failures.failure_of(self._spent or error)
            if self._spent is None and failures.is_worth_another_attempt(error):
                failure = await self._postponed(failure, asked=models.asked_pause(error))
            return await self._failed(run.RunStatus.ERROR, failure)
        if self._spent is not None:
            # The graph went on without the call that was refused.
            return await self._failed(run.RunStatus.ERROR, failures.failure_of(self._spent))
        return await self._ended()

    @property
    def leaves_one_checkpoint(self) -> bool:
        """Tell whether there is nothing to prune."""
        return self.saver is not None and self.saver.leaves_one

    async def cancelled(self) -> run.Outcome:
        """Return the outcome of a run whose task was cancelled because somebody asked for its end."""
        await self._say_where("interrupted")
        snapshot = await self._snapshot()
        if snapshot is not None:
            stands = bool(snapshot.next)
        else:
            # Nobody looked: a worker before this one left it in the middle, or it rests as it did.
            stands = self.claim.resumed or self.claim.found is run.ThreadStatus.INTERRUPTED
        status = run.ThreadStatus.INTERRUPTED if stands else run.ThreadStatus.IDLE
        used = await self._used(snapshot)
        return self._outcome(run.RunStatus.INTERRUPTED, status, snapshot, used=used)

    @property
    def _run_seconds(self) -> float:
        rules = self.shared.registry.rules_of(self.claim.run.graph_id)
        return rules.timeout or self.shared.run_timeout.total_seconds()

    @property
    def _spent(self) -> exceptions.RunFailed | None:
        limited = self.counter.budget
        return None if limited is None else limited.spent

    async def _run_graph(self, clock: asyncio.Timeout) -> None:
        async with self._session() as session:
            if session:
                self._hold_to_limits(session.granted, clock)
            graph = await self._build(session)
            config = self._config()
            config["metadata"][shapes.FINGERPRINT] = self.shape
            given, config = await self._given(graph, config)
            asked = self.claim.run.payload
            chunks = streaming.chunks(
                graph,
                given,
                config,
                asked=asked.stream_modes,
                context=self._context(session),
                subgraphs=asked.stream_subgraphs,
                interrupt_before=_nodes(asked.interrupt_before),
                interrupt_after=_nodes(asked.interrupt_after),
                durability=self._durability(session),
                control=self.control,
            )
            if self.shared.throttle.rates:
                self.counter.gate = throttling.Gate(
                    throttle=self.shared.throttle, loop=asyncio.get_running_loop()
                )
            with usage.counted(self.counter):
                assert self.saver is not None
                try:
                    # Left to the collector, the graph's nodes would go on behind an error that is raised here.
                    async with aclosing(self.reading.events(chunks)) as events:
                        async for name, text in events:
                            await self.shared.events.append(self.pen, name, text)
                            await self._keep_usage()
                except BaseException:
                    await self.saver.flush()
                    raise
                # What is not written yet is written by the transaction that ends the run.
                self.saver.check()

    def _hold_to_limits(self, granted: tools.Session, clock: asyncio.Timeout) -> None:
        limits, used = granted.limits, granted.used
        loop = asyncio.get_running_loop()
        if limits.wall_clock is not None:
            end = loop.time() + limits.wall_clock - used.seconds
            if end < (clock.when() or end):
                self.time_limit = limits.wall_clock
                clock.reschedule(end)

        def stop() -> None:
            # A graph that goes on without its model has nothing to go on for.
            with suppress(RuntimeError):
                clock.reschedule(loop.time())

        def stop_from_anywhere() -> None:
            loop.call_soon_threadsafe(stop)

        if limits.model_tokens is not None or limits.money is not None:
            self.counter.budget = budget.Budget(
                limits=limits,
                prices=granted.prices,
                used=[*used.models, *self.counter.totals()],
                max_output=self.shared.max_output,
                on_spent=stop_from_anywhere,
            )

    async def _keep_usage(self) -> None:
        if self.counter.calls == self.calls_kept:
            return
        now = asyncio.get_running_loop().time()
        # A run with a mandate may be limited, and then each call counts.
        if self.claim.run.mandate_run is not None or now >= self.usage_kept_at + USAGE_EVERY:
            self.calls_kept, self.usage_kept_at = self.counter.calls, now
            await self.shared.leases.keep_usage(self.claim, self.counter.totals())

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[client.ToolSession | None]:
        mandate_run = self.claim.run.mandate_run
        if mandate_run is None:
            yield None
            return
        session = await self.shared.tools.open_session(
            run_id=str(mandate_run), thread_id=str(self.claim.run.thread_id), epoch=self.claim.epoch
        )
        crashing.point("session.after_open")
        try:
            yield session
        finally:
            await session.close()

    async def _build(self, session: client.ToolSession | None) -> registry.Graph:
        named = self.claim.run.payload.context.get(MODEL)
        granted = session.granted.models if session else None
        graph = await self.shared.registry.build(
            self.claim.run.graph_id,
            tools=binding.bind(session.tools) if session else (),
            model=self._model(named, granted) if named else None,
            fallback=self._fallback(named, granted),
            config=self._config(),
        )
        self.saver = self.shared.checkpoints.saver_of(
            self.claim.run.run_id,
            epoch=self.claim.epoch,
            waits=self._durability(session) == "sync",
            has_mandate=session is not None,
            is_blank=self.claim.is_blank,
        )
        if self.shared.hand_on_steps:
            self.saver.on_step = self.control.request_drain
        self.shape = self.shared.registry.fingerprint(graph)
        # Not by its own `copy`, which validates the whole graph anew.
        self.graph = copy.copy(graph)
        self.graph.checkpointer = self.saver
        return self.graph

    def _durability(self, session: client.ToolSession | None) -> str | None:
        return self.claim.run.payload.durability or ("sync" if session else None)

    def _model(self, named: str, granted: Sequence[tools.GrantedModel] | None) -> BaseChatModel:
        asked = grants.allowed(named, granted)
        limited = self.counter.budget is not None
        return self.shared.models.get(
            asked.name,
            base_url=asked.base_url,
            max_output=self.shared.max_output if limited else None,
            use_responses_api=asked.use_responses_api,
        )

    def _fallback(
        self, named: str | None, granted: Sequence[tools.GrantedModel] | None
    ) -> BaseChatModel | None:
        other = grants.fallback(named, granted)
        if other is None or not self.shared.models.has_key(grants.allowed(other, granted).name):
            return None
        return self._model(other, granted)

    def _config(self) -> RunnableConfig:
        asked = self.claim.run
        given = asked.payload.config
        limit = int(given.get("recursion_limit") or self.shared.recursion_limit)
        own = {"thread_id": str(asked.thread_id), "checkpoint_ns": ""}
        return {
            "run_name": asked.graph_id,
            "tags": list(given.get("tags") or ()),
            "recursion_limit": min(limit, self.shared.recursion_limit),
            "configurable": _own_names(given.get("configurable")) | (asked.payload.checkpoint or {}) | own,
            "metadata": _own_names(given.get("metadata"))
            | asked.metadata
            | {RUN_ID: str(asked.run_id), "graph_id": asked.graph_id},
        }

    def _context(self, session: client.ToolSession | None) -> Any:
        given = self.claim.run.payload.context
        return given | {binding.SESSION: session} if session else given or None

    async def _given(self, graph: registry.Graph, config: RunnableConfig) -> tuple[Any, RunnableConfig]:
        """Return what to call the graph with, so that nothing enters its state twice."""
        payload = self.claim.run.payload
        if self.claim.run.goes_on and self.claim.run.mandate_run is None:
            await self.shared.leases.note_beginning(self.claim)
        if not self.claim.resumed and payload.command is None:
            if payload.input is None:
                await self._check_shape(graph, await graph.aget_state(config))
            return await self._mended(graph, config), config
        latest = _at_latest(config)
        if self.claim.resumed:
            snapshot = await graph.aget_state(latest)
            if (snapshot.metadata or {}).get(RUN_ID) == str(self.claim.run.run_id):
                await self._check_shape(graph, snapshot)
                self.reading.known = await self.shared.events.last(self.claim.run.run_id, streaming.VALUES)
                return None, latest
        if payload.command is None:
            return await self._mended(graph, config), config
        snapshot = await graph.aget_state(config)
        await self._check_shape(graph, snapshot)
        command = await self._resolved(payload.command, snapshot)
        crashing.point("resume.after_read")
        return _command(command), config

    async def _check_shape(self, graph: registry.Graph, snapshot: StateSnapshot) -> None:
        assert self.saver is not None
        try:
            await shapes.check(graph, snapshot, saver=self.saver, shape=self.shape)
        except exceptions.RunFailed:
            # Where the thread stands is not for this graph to say.
            self.graph = None
            raise

    async def _mended(self, graph: registry.Graph, config: RunnableConfig) -> Any:
        payload = self.claim.run.payload
        given = payload.input
        if given is None or (self.claim.found is run.ThreadStatus.IDLE and payload.checkpoint is None):
            return given
        return repairs.mend(given, (await graph.aget_state(config)).values)

    async def _resolved(self, command: run.JsonObject, snapshot: StateSnapshot) -> run.JsonObject:
        shown = {item.id for item in snapshot.interrupts}
        used = await self._used(snapshot)
        if self.claim.resumed and resumes.names_interrupts(command.get(resumes.RESUME)):
            return resumes.unanswered(command, shown - used)
        resolved = resumes.resolve(
            command, shown - used, stands_before_a_step=bool(snapshot.next), answered=shown & used
        )
        if resolved != command:
            await self.shared.leases.keep_command(self.claim, resolved)
        return resolved

    async def _used(self, snapshot: StateSnapshot | None) -> frozenset[str]:
        """Return the ids of interrupts that may be shown still, though their nodes hold an answer."""
        if snapshot is None or not snapshot.interrupts:
            return frozenset()
        assert self.graph is not None
        assert self.saver is not None
        if any(isinstance(task.state, dict) for task in snapshot.tasks):
            snapshot = await self.graph.aget_state(snapshot.config, subgraphs=True)
        return await resumes.used(snapshot, self.saver)

    async def _ended(self) -> run.Outcome:
        asked = self.claim.run.payload
        assert self.graph is not None
        may_stand = (
            self.reading.interrupted
            or asked.interrupt_before
            or asked.interrupt_after
            or self.graph.interrupt_before_nodes
            or self.graph.interrupt_after_nodes
        )
        if not may_stand:
            await self._say_where("completed")
            return self._outcome(run.RunStatus.SUCCESS, run.ThreadStatus.IDLE, None)
        snapshot = await self._snapshot()
        stands = snapshot is not None and bool(snapshot.next)
        await self._say_where("interrupted" if stands else "completed")
        status = run.ThreadStatus.INTERRUPTED if stands else run.ThreadStatus.IDLE
        return self._outcome(run.RunStatus.SUCCESS, status, snapshot)

    async def _postponed(self, failure: Failure, *, asked: timedelta | None) -> Failure:
        """Return how the run fails if it was tried often enough.

        Raises:
            AttemptFailed: it was not.
        """
        attempt = self.claim.run.attempt
        if attempt >= self.shared.max_attempts:
            times = "once" if attempt == 1 else f"{attempt} times"
            return failure.model_copy(update={"message": f"{failure.message} It was tried {times}."})
        pause = retrying.pause(attempt, first=self.shared.retry_delay, asked=asked)
        told = {"attempt": attempt, "error": failure.code, "message": failure.message}
        await self._say("retry", told | {"after_seconds": round(pause.total_seconds(), 3)})
        raise exceptions.AttemptFailed(failure, pause=pause)

    async def _timed_out(self) -> run.Outcome:
        if self.time_limit is not None:
            spent = f"A limit of the run is used up: it has worked for the {self.time_limit} seconds it may."
            failure = Failure(code=ErrorCode.LIMIT_SPENT, message=spent)
            return await self._failed(run.RunStatus.TIMEOUT, failure)
        failure = Failure(
            code=ErrorCode.RUN_TIMEOUT,
            message=f"The run was worked on for longer than {self._run_seconds:g} seconds.",
        )
        return await self._failed(run.RunStatus.TIMEOUT, failure)

    async def _failed(self, status: run.RunStatus, failure: Failure) -> run.Outcome:
        await self._say("error", {"error": failure.code, "message": failure.message})
        await self._say_where("failed", error=failure.message)
        snapshot = await self._snapshot()
        used = await self._used(snapshot)
        outcome = self._outcome(status, run.ThreadStatus.ERROR, snapshot, used=used)
        return replace(outcome, error=failure)

    async def _snapshot(self) -> StateSnapshot | None:
        """Return where the thread stands; nothing if its graph was never built."""
        return None if self.graph is None else await self.graph.aget_state(_at_latest(self._config()))

    def _outcome(
        self,
        status: run.RunStatus,
        thread_status: run.ThreadStatus,
        snapshot: StateSnapshot | None,
        *,
        used: Collection[str] = (),
    ) -> run.Outcome:
        interrupts = {} if snapshot is None else looking.interrupts(snapshot, but=used)
        untouched = self.graph is None
        return run.Outcome(
            status=status,
            thread_status=thread_status,
            values=self.reading.values,
            interrupts=None if untouched else interrupts,
            usage=self.counter.totals(),
        )

    async def _say_where(self, event: str, **more: str) -> None:
        """Tell where the run is in its life, to those who asked for that."""
        if streaming.LIFECYCLE in self.claim.run.payload.stream_modes:
            name = self.claim.run.graph_id
            await self._say(streaming.LIFECYCLE, {"event": event, "graph_name": name} | more)

    async def _say(self, event: str, data: object) -> None:
        await self.shared.events.append(self.pen, event, encoding.dumps(data))


def _own_names(given: dict[str, Any] | None) -> dict[str, Any]:
    # A name with two underscores in front is LangGraph's, and may turn its safeguards off.
    return {name: value for name, value in (given or {}).items() if not name.startswith("__")}


def _at_latest(config: RunnableConfig) -> RunnableConfig:
    here = {name: value for name, value in config["configurable"].items() if name != "checkpoint_id"}
    return {**config, "configurable": here}


def _nodes(names: str | tuple[str, ...] | None) -> Any:
    return list(names) if isinstance(names, tuple) else names


def _command(asked: run.JsonObject) -> Command[Any]:
    goto = asked.get("goto") or ()
    steps = goto if isinstance(goto, list | tuple) else [goto]
    return Command(
        resume=asked.get("resume"),
        update=asked.get("update"),
        goto=[Send(step["node"], step["input"]) if isinstance(step, dict) else step for step in steps],
    )
