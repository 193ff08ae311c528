"""Django's tool API in memory: an ASGI application with sessions, a ledger and approvals.

It keeps the promises that the agent service relies on, and passes the same tests as the real one.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared_schemas import idempotency, json_values, keys, problems, tokens, tools, usage
from shared_schemas.problems import ErrorCode
from shared_schemas.tools import Limits, Used

Outcome = Callable[[Any], JsonValue]

_RESULT_LENGTH = 256 * 1024
_CUT_LENGTH = 64 * 1024


class RefusedError(Exception):
    """An answer that is a problem."""

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        *,
        detail: str = "",
        errors: list[problems.FieldProblem] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail or code.value)
        self.retry_after = retry_after
        self.problem = problems.Problem(
            title=code.value, status=status, detail=detail or code.value, code=code, errors=errors or []
        )


class RuleError(Exception):
    """Raised by a tool whose business rule refuses the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A tool that this Django has."""

    spec: tools.ToolSpec
    arguments: type[BaseModel]
    run: Outcome


@dataclass(slots=True, kw_only=True)
class LedgerRow:
    """One tool call, stored under its key."""

    call_id: uuid.UUID
    tool: str
    arguments: dict[str, JsonValue]
    answer: tools.ToolCallAnswer
    replays: int = 0


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """A run as this Django knows it."""

    tools: frozenset[str]
    active: bool = True
    epoch: int = 0
    token: str | None = None
    is_expired: bool = False
    sessions_opened: int = 0
    limits: Limits = field(default_factory=Limits)
    used: Used = field(default_factory=Used)
    rows: dict[str, LedgerRow] = field(default_factory=dict)
    whole_results: dict[str, JsonValue] = field(default_factory=dict)
    """By the id of the call, those that were too large for its answer."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to one coming tool call instead of a good answer."""

    status: int
    tool: str | None = None
    """Only a call of this tool; any by default."""

    retry_after: float | None = None
    body: bytes | None = None
    after_effect: bool = False
    """The tool runs and commits; only the answer is lost."""


@dataclass(slots=True, kw_only=True)
class FakeDjango:
    """The system of record, as far as an agent sees it."""

    trusted: keys.TrustedKeys
    offers: dict[str, Offer] = field(default_factory=dict)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    approvals: dict[uuid.UUID, tuple[str, str]] = field(default_factory=dict)
    """Run and key of each call that waits for a person."""

    effects: list[tuple[str, dict[str, JsonValue]]] = field(default_factory=list)
    """Every write that committed, in order."""

    faults: list[Fault] = field(default_factory=list)
    """Used up one by one."""

    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and key of every tool call that arrived."""

    lifetime: timedelta = timedelta(minutes=15)
    prices: dict[str, usage.Price] = field(default_factory=dict)
    models: list[tools.GrantedModel] | None = None

    def offer(
        self,
        name: str,
        arguments: type[BaseModel],
        run: Outcome,
        *,
        effect: tools.Effect = tools.Effect.WRITE,
        **spec: Any,
    ) -> None:
        """Declare a tool."""
        self.offers[name] = Offer(
            spec=tools.ToolSpec(
                name=name,
                description=arguments.__doc__ or name,
                effect=effect,
                version="1",
                input_schema=arguments.model_json_schema(),
                output_schema={},
                **spec,
            ),
            arguments=arguments,
            run=run,
        )

    def start_run(self, *granted: str) -> str:
        """Accept a run with a mandate for these tools, or for all, and return its id."""
        run_id = str(uuid.uuid4())
        self.runs[run_id] = RunRecord(tools=frozenset(granted or self.offers))
        return run_id

    def cancel(self, run_id: str) -> None:
        self.runs[run_id].active = False

    def expire_token(self, run_id: str) -> None:
        self.runs[run_id].is_expired = True

    def approve(self, approval_id: uuid.UUID) -> None:
        """Run the tool that waits, and keep its answer under the call's key."""
        run_id, key = self.approvals.pop(approval_id)
        row = self.runs[run_id].rows[key]
        row.answer = self._run(self.offers[row.tool], row.arguments, row.call_id)

    def reject(self, approval_id: uuid.UUID, comment: str = "") -> None:
        run_id, key = self.approvals.pop(approval_id)
        row = self.runs[run_id].rows[key]
        row.answer = tools.ToolCallAnswer(
            status=tools.ToolCallStatus.DECLINED, tool_call=row.call_id, note=comment or None
        )

    def replays(self, run_id: str) -> int:
        """Count the answers that were given again from the ledger."""
        return sum(row.replays for row in self.runs[run_id].rows.values())

    def app(self) -> Starlette:
        """Return the application; requests to it change this object."""
        return Starlette(
            routes=[
                Route("/agent-api/sessions/", self._open, methods=["POST"]),
                Route("/agent-api/sessions/current/", self._close, methods=["DELETE"]),
                Route("/agent-api/tools/", self._list, methods=["GET"]),
                Route("/agent-api/tools/results/{result_id}/", self._result, methods=["GET"]),
                Route("/agent-api/tools/{name}/calls/", self._call, methods=["POST"]),
            ],
            exception_handlers={RefusedError: _refused},
        )

    async def _open(self, request: Request) -> Response:
        self._check_worker(_bearer(request))
        asked = tools.SessionCreate.model_validate_json(await request.body())
        record = self.runs.get(str(asked.run_id))
        if record is None:
            raise RefusedError(404, ErrorCode.NOT_FOUND)
        if not record.active:
            raise RefusedError(403, ErrorCode.RUN_NOT_ACTIVE)
        if asked.epoch < record.epoch:
            raise RefusedError(409, ErrorCode.STALE_WORKER)
        record.epoch, record.token, record.is_expired = asked.epoch, f"djr_{uuid.uuid4().hex}", False
        record.sessions_opened += 1
        return _json(201, self._session(record, record.token))

    def _session(self, record: RunRecord, token: str) -> tools.Session:
        return tools.Session(
            session_id=uuid.uuid4(),
            run_token=token,
            expires_at=datetime.now(UTC) + self.lifetime,
            agent="agent",
            acting_for="user",
            tools=[self.offers[name].spec for name in sorted(record.tools)],
            limits=record.limits,
            used=record.used,
            prices=self.prices,
            models=self.models,
        )

    async def _close(self, request: Request) -> Response:
        self._record(request)[1].token = None
        return Response(status_code=204)

    async def _list(self, request: Request) -> Response:
        _, record = self._record(request)
        return _json(200, tools.ToolList(tools=[self.offers[name].spec for name in sorted(record.tools)]))

    async def _result(self, request: Request) -> Response:
        _, record = self._record(request)
        if request.path_params["result_id"] not in record.whole_results:
            raise RefusedError(404, ErrorCode.NOT_FOUND)
        return JSONResponse(record.whole_results[request.path_params["result_id"]])

    async def _call(self, request: Request) -> Response:
        name = request.path_params["name"]
        self.requests.append((name, request.headers.get(idempotency.HEADER)))
        fault = self._next_fault(name)
        if fault is None:
            return await self._answer(request, name)
        if fault.after_effect:
            await self._answer(request, name)
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return Response(fault.body or b"<html>later</html>", fault.status, headers)

    def _next_fault(self, name: str) -> Fault | None:
        for number, fault in enumerate(self.faults):
            if fault.tool in {None, name}:
                return self.faults.pop(number)
        return None

    async def _answer(self, request: Request, name: str) -> Response:
        run_id, record = self._record(request)
        offer = self._granted(record, name)
        call = _tool_call(await request.body())
        if offer.spec.effect is tools.Effect.READ:
            return _json(200, self._run(offer, call.arguments, None))
        row, replayed = self._claim(run_id, _key(request), offer, call)
        return _json(
            202 if row.answer.approval else 200,
            row.answer,
            headers={idempotency.REPLAYED_HEADER: "true"} if replayed else {},
        )

    def _claim(
        self, run_id: str, key: str, offer: Offer, call: tools.ToolCallRequest
    ) -> tuple[LedgerRow, bool]:
        rows = self.runs[run_id].rows
        if row := rows.get(key):
            if (row.tool, row.arguments) != (offer.spec.name, call.arguments):
                raise RefusedError(422, ErrorCode.IDEMPOTENCY_KEY_REUSED)
            row.replays += 1
            return row, True
        _check_arguments(offer, call.arguments)
        call_id = uuid.uuid4()
        answer = self._ask(run_id, key, offer, call) or self._run(offer, call.arguments, call_id)
        answer = _cut(answer, self.runs[run_id])
        rows[key] = LedgerRow(call_id=call_id, tool=offer.spec.name, arguments=call.arguments, answer=answer)
        return rows[key], False

    def _ask(
        self, run_id: str, key: str, offer: Offer, call: tools.ToolCallRequest
    ) -> tools.ToolCallAnswer | None:
        if not offer.spec.needs_approval:
            return None
        approval = tools.ApprovalRequest(
            approval_id=uuid.uuid4(),
            tool=offer.spec.name,
            arguments=call.arguments,
            message=f"May the agent call {offer.spec.name}?",
            tool_call_id=call.tool_call_id,
            expires_at=datetime.now(UTC) + timedelta(days=1),
        )
        self.approvals[approval.approval_id] = (run_id, key)
        return tools.ToolCallAnswer(status=tools.ToolCallStatus.PENDING_APPROVAL, approval=approval)

    def _run(
        self, offer: Offer, arguments: dict[str, JsonValue], call_id: uuid.UUID | None
    ) -> tools.ToolCallAnswer:
        _check_arguments(offer, arguments)
        try:
            result = offer.run(offer.arguments.model_validate(arguments))
        except RuleError as error:
            raise RefusedError(422, ErrorCode.REJECTED, detail=str(error)) from None
        if offer.spec.effect is tools.Effect.WRITE:
            self.effects.append((offer.spec.name, arguments))
        return tools.ToolCallAnswer(status=tools.ToolCallStatus.SUCCEEDED, tool_call=call_id, result=result)

    def _granted(self, record: RunRecord, name: str) -> Offer:
        if name not in self.offers:
            raise RefusedError(404, ErrorCode.UNKNOWN_TOOL)
        if name not in record.tools:
            raise RefusedError(403, ErrorCode.TOOL_NOT_GRANTED)
        return self.offers[name]

    def _record(self, request: Request) -> tuple[str, RunRecord]:
        token = _bearer(request)
        for run_id, record in self.runs.items():
            if record.token == token:
                if record.is_expired:
                    raise RefusedError(401, ErrorCode.TOKEN_EXPIRED)
                if not record.active:
                    raise RefusedError(403, ErrorCode.RUN_NOT_ACTIVE)
                return run_id, record
        raise RefusedError(401, ErrorCode.UNAUTHENTICATED)

    def _check_worker(self, token: str) -> None:
        try:
            tokens.verify(
                token,
                types=frozenset({tokens.TokenType.WORKER}),
                audience=tokens.DJANGO,
                trusted=self.trusted,
            )
        except tokens.InvalidTokenError as error:
            raise RefusedError(401, ErrorCode.UNAUTHENTICATED, detail=str(error)) from None


def _cut(answer: tools.ToolCallAnswer, record: RunRecord) -> tools.ToolCallAnswer:
    """Keep a result that is too large for its answer, and answer with its beginning."""
    text = json_values.text(answer.result)
    if len(text) <= _RESULT_LENGTH:
        return answer
    record.whole_results[str(answer.tool_call)] = answer.result
    cut = {"result": text[:_CUT_LENGTH], "truncated": True, "result_id": answer.tool_call}
    return answer.model_copy(update=cut)


def _bearer(request: Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _key(request: Request) -> str:
    header = request.headers.get(idempotency.HEADER)
    if header is None:
        raise RefusedError(400, ErrorCode.IDEMPOTENCY_KEY_MISSING)
    try:
        return idempotency.parse_tool_call_key(header)
    except idempotency.MalformedKeyError as error:
        raise RefusedError(400, ErrorCode.IDEMPOTENCY_KEY_MALFORMED, detail=str(error)) from None


def _check_arguments(offer: Offer, arguments: Mapping[str, JsonValue]) -> None:
    try:
        offer.arguments.model_validate(arguments)
    except ValidationError as error:
        raise _invalid(error, "/arguments", ErrorCode.INVALID_ARGUMENTS) from None


def _tool_call(body: bytes) -> tools.ToolCallRequest:
    if len(body) > tools.MAX_BODY_BYTES:
        raise RefusedError(413, ErrorCode.BODY_TOO_LARGE)
    try:
        json_values.check_storable(json.loads(body))
        return tools.ToolCallRequest.model_validate_json(body)
    except json_values.UnstorableValueError as error:
        raise RefusedError(422, ErrorCode.UNSTORABLE_VALUE, detail=str(error)) from None
    except ValidationError as error:
        raise _invalid(error, "", ErrorCode.INVALID_REQUEST) from None
    except ValueError:
        raise RefusedError(400, ErrorCode.MALFORMED_BODY) from None


def _invalid(error: ValidationError, root: str, code: ErrorCode) -> RefusedError:
    faults = [
        problems.FieldProblem(pointer="/".join([root, *map(str, fault["loc"])]), detail=fault["msg"])
        for fault in error.errors(include_url=False, include_input=False)
    ]
    return RefusedError(422, code, detail="The arguments do not fit the tool's schema.", errors=faults)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    headers = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:g}"}
    return JSONResponse(
        error.problem.model_dump(mode="json"),
        error.problem.status,
        headers=headers,
        media_type=problems.MEDIA_TYPE,
    )


def _json(status: int, answer: BaseModel, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        answer.model_dump_json(by_alias=True), status, headers=headers, media_type="application/json"
    )
