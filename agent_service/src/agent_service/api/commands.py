"""Commands of the agent streaming protocol: start a run, answer an interrupt."""

from collections.abc import Collection
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, ValidationError

from agent_service import auth, bootstrap, exceptions
from agent_service.api import answers, payloads, protocol_streams, repeating, states, submissions
from agent_service.api.dependencies import Idempotency, Services, Writer
from agent_service.api.errors import problems_for
from agent_service.engine import resumes, run
from agent_service.events import protocol
from shared_schemas.problems import ErrorCode

router = APIRouter(tags=["protocol"], route_class=repeating.Route)

RECORDED = (
    payloads.StreamMode.VALUES,
    payloads.StreamMode.UPDATES,
    payloads.StreamMode.MESSAGES_TUPLE,
    payloads.StreamMode.CUSTOM,
    payloads.StreamMode.TASKS,
    payloads.StreamMode.CHECKPOINTS,
    payloads.StreamMode.TOOLS,
)
"""Everything that the protocol's channels are made of."""

_ERRORS = {
    ErrorCode.NO_SUCH_INTERRUPT: "no_such_interrupt",
    ErrorCode.NOT_OFFERED: "not_supported",
    ErrorCode.FORBIDDEN: "permission_denied",
    ErrorCode.UNKNOWN_GRAPH: "invalid_argument",
    ErrorCode.INVALID_REQUEST: "invalid_argument",
    ErrorCode.THREAD_BUSY: "invalid_argument",
    ErrorCode.WEBHOOK_NOT_ALLOWED: "invalid_argument",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: "invalid_argument",
}
"""The protocol's words for what a command can be refused for; everything else is answered as a problem."""


class Command(payloads.Payload):
    """`POST /threads/{thread_id}/commands`, and what a WebSocket takes."""

    id: int = Field(ge=0, le=protocol_streams.MAX_SEQ)
    method: str = Field(min_length=1, max_length=100)
    params: dict[str, Any] = {}


class Success(answers.Answer):
    """The command was taken."""

    type: Literal["success"] = "success"
    id: int
    result: dict[str, Any]
    meta: dict[str, int] = {}


class Refusal(answers.Answer):
    """The command was not taken."""

    type: Literal["error"] = "error"
    id: int | None
    error: str
    message: str


class _Answer(payloads.Payload):
    interrupt_id: str = Field(min_length=1, max_length=200)
    response: Any = None


class _Respond(payloads.Payload):
    interrupt_id: str | None = Field(default=None, min_length=1, max_length=200)
    response: Any = None
    responses: list[_Answer] | None = Field(default=None, min_length=1, max_length=1000)
    update: Any = None
    goto: Any = None

    @property
    def resume(self) -> dict[str, Any]:
        given = self.responses or []
        single = {} if self.interrupt_id is None else {self.interrupt_id: self.response}
        return single | {item.interrupt_id: item.response for item in given}


@router.post("/threads/{thread_id}/commands", responses=problems_for(404, 409, 413, 415))
async def run_command(
    thread_id: UUID, body: Command, caller: Writer, services: Services, idempotency: Idempotency
) -> Success | Refusal:
    """Start a run (`run.start`) or answer interrupts (`input.respond`)."""
    return await perform(services, caller, thread_id, body, idempotency=idempotency)


async def perform(
    services: bootstrap.Services,
    caller: auth.Caller,
    thread_id: UUID,
    command: Command,
    *,
    idempotency: run.IdempotencyKey | None = None,
) -> Success | Refusal:
    """Do what a command says.

    Raises:
        RequestError: what the protocol has no word for.
    """
    try:
        body = await _body(services, caller, thread_id, command)
        if body is None:
            return _refusal(command, "unknown_command", f"There is no command {command.method!r}.")
        submitted = await submissions.submit(
            services, body, caller=caller, thread_id=thread_id, idempotency=idempotency
        )
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(step) for step in fault["loc"])
        return _refusal(command, "invalid_argument", f"'params.{place}': {fault['msg']}")
    except exceptions.RequestError as error:
        if error.code not in _ERRORS:
            raise
        return _refusal(command, _ERRORS[error.code], error.detail)
    number = await protocol_streams.number_of(services, submitted.run)
    return Success(
        id=command.id,
        result={"run_id": str(submitted.run.run_id)},
        # All that came before the run. Whoever follows from here sees the run whole, and nothing older.
        meta={"applied_through_seq": protocol.first(number)},
    )


async def _body(
    services: bootstrap.Services, caller: auth.Caller, thread_id: UUID, command: Command
) -> payloads.RunCreate | None:
    match command.method:
        case "run.start":
            return _start(command.params)
        case "input.respond":
            return await _respond(services, caller, thread_id, command.params)
    return None


def _start(params: dict[str, Any]) -> payloads.RunCreate:
    strategy = params.get("multitaskStrategy") or params.get("multitask_strategy")
    return _run(params, if_not_exists="create", multitask_strategy=strategy)


async def _respond(
    services: bootstrap.Services, caller: auth.Caller, thread_id: UUID, params: dict[str, Any]
) -> payloads.RunCreate:
    thread = await services.repository.thread(thread_id, owner=caller.subject)
    caller.require_change(is_mandated=thread.mandated)
    asked = _Respond.model_validate(params)
    resume = asked.resume
    if not resumes.names_interrupts(resume):
        raise _no_such(next(iter(resume), None))
    if unknown := await _unknown(services, thread, resume):
        raise _no_such(min(unknown))
    assistant = thread.metadata.get("assistant_id")
    if not assistant:
        raise exceptions.RequestError(ErrorCode.NO_SUCH_INTERRUPT, "The thread has no run yet.")
    command = {"resume": resume, "update": asked.update, "goto": asked.goto}
    return _run(params, assistant_id=assistant, command=command, input=None)


async def _unknown(services: bootstrap.Services, thread: run.Thread, ids: Collection[str]) -> set[str]:
    """Return the ids that no interrupt of the thread has: behind a run at work they would be refused too late."""
    unannounced = await protocol_streams.unannounced(services, thread.thread_id, ids)
    if unannounced and thread.status is run.ThreadStatus.BUSY:
        # A run that records nothing of the kind shows its interrupts in its state alone.
        unannounced -= states.pending(await states.read(services, thread, subgraphs=True))
    return unannounced


def _no_such(interrupt_id: str | None) -> exceptions.RequestError:
    message = f"No interrupt {interrupt_id!r} is pending."
    return exceptions.RequestError(ErrorCode.NO_SUCH_INTERRUPT, message)


def _run(params: dict[str, Any], **own: Any) -> payloads.RunCreate:
    recorded = {"stream_mode": list(RECORDED), "stream_subgraphs": True}
    config: Any = params.get("config")
    configurable = config.get("configurable") if isinstance(config, dict) else None
    if isinstance(configurable, dict) and configurable.get("checkpoint_id"):
        rest = {name: value for name, value in configurable.items() if name != "checkpoint_id"}
        own |= {
            "checkpoint_id": configurable["checkpoint_id"],
            "config": {**config, "configurable": rest},
        }
    return payloads.RunCreate.model_validate(params | recorded | own)


def _refusal(command: Command, code: str, message: str) -> Refusal:
    return Refusal(id=command.id, error=code, message=message)
