"""The OpenAPI documents of the two APIs, built from the messages that the views read and write."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mandate.api import pages, problems
from shared_schemas import (
    audit,
    comparisons,
    figures,
    idempotency,
    prompts,
    quality,
    runs,
    signatures,
    tools,
    webhooks,
)
from shared_schemas.problems import MEDIA_TYPE, ErrorCode, Problem

JsonObject = dict[str, Any]
Model = type[BaseModel]

_REF = "#/components/schemas/{model}"
_ALWAYS = (ErrorCode.UNAUTHENTICATED, ErrorCode.UNAVAILABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    method: str
    path: str
    name: str
    summary: str
    security: str
    body: Model | None = None
    answers: dict[int, Model | None]
    media_type: str = "application/json"
    refusals: tuple[ErrorCode, ...] = ()
    parameters: tuple[JsonObject, ...] = ()


def _parameter(place: str, name: str, schema: JsonObject, *, required: bool = False) -> JsonObject:
    return {"in": place, "name": name, "required": required or place == "path", "schema": schema}


_TEXT = {"type": "string"}
_RUN = _parameter("path", "run_id", {"type": "string", "format": "uuid"})
_APPROVAL = _parameter("path", "approval_id", {"type": "string", "format": "uuid"})
_CALL = _parameter("path", "call_id", {"type": "string", "format": "uuid"})
_MESSAGE = _parameter("path", "message_id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1})
_AGENT = _parameter("query", "agent", {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"})
_SINCE = _parameter("query", "since", {"type": "string", "format": "date"})
_COMPARISON = _parameter("path", "comparison_id", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1})
_RESULT = _parameter("path", "result_id", {"type": "string", "format": "uuid"})
_TOOL = _parameter("path", "name", {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"})
_KEY = _parameter("header", idempotency.HEADER, {"type": "string", "pattern": idempotency.HEADER_PATTERN})
_CALL_KEY = _parameter(
    "header", idempotency.HEADER, {"type": "string", "pattern": idempotency.TOOL_CALL_HEADER_PATTERN}
)
_LAST_EVENT = _parameter("header", "Last-Event-ID", {"type": "string", "pattern": "^[0-9]+-.+$"})
_PAGE = (
    _parameter("query", "cursor", _TEXT),
    _parameter("query", "limit", {"type": "integer", "minimum": 1, "maximum": pages.MAX_SIZE}),
)
_WEBHOOK_HEADERS = tuple(
    _parameter("header", name, _TEXT, required=True)
    for name in (signatures.ID_HEADER, signatures.TIMESTAMP_HEADER, signatures.SIGNATURE_HEADER)
)
_UNREADABLE = (
    ErrorCode.MALFORMED_BODY,
    ErrorCode.BODY_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.INVALID_REQUEST,
)

_PEOPLE = (
    _Operation(
        method="post",
        path="/api/agents/runs/",
        name="startRun",
        summary="Start a run of an agent.",
        security="person",
        body=runs.RunCreate,
        answers={202: runs.RunCreated},
        refusals=(
            *_UNREADABLE,
            ErrorCode.FORBIDDEN,
            ErrorCode.AGENT_PAUSED,
            ErrorCode.NOT_FOUND,
            ErrorCode.THREAD_BUSY,
        ),
        parameters=(_KEY,),
    ),
    _Operation(
        method="get",
        path="/api/agents/runs/",
        name="listRuns",
        summary="List runs, newest first.",
        security="person",
        answers={200: runs.RunPage},
        refusals=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST),
        parameters=_PAGE,
    ),
    _Operation(
        method="get",
        path="/api/agents/runs/{run_id}/",
        name="readRun",
        summary="Read a run.",
        security="person",
        answers={200: runs.Run},
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_RUN,),
    ),
    _Operation(
        method="get",
        path="/api/agents/runs/{run_id}/export/",
        name="exportRun",
        summary="Read a run with its final state, whole.",
        security="person",
        answers={200: runs.RunExport},
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_RUN,),
    ),
    _Operation(
        method="get",
        path="/api/agents/runs/{run_id}/events/",
        name="followRun",
        summary="Follow a run as server-sent events; `Last-Event-ID` goes on after the last one seen.",
        security="person",
        answers={200: None},
        media_type="text/event-stream",
        refusals=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST),
        parameters=(_RUN, _LAST_EVENT),
    ),
    _Operation(
        method="post",
        path="/api/agents/runs/{run_id}/cancel/",
        name="cancelRun",
        summary="Stop a run; after the answer none of its tool calls takes effect.",
        security="person",
        answers={200: runs.Run},
        refusals=(ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.ILLEGAL_TRANSITION),
        parameters=(_RUN,),
    ),
    _Operation(
        method="post",
        path="/api/agents/runs/{run_id}/resume/",
        name="resumeRun",
        summary="Let a failed run go on from where it stopped.",
        security="person",
        answers={202: runs.Run},
        refusals=(ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.ILLEGAL_TRANSITION),
        parameters=(_RUN,),
    ),
    _Operation(
        method="get",
        path="/api/agents/runs/{run_id}/audit/",
        name="auditRun",
        summary="Tell the whole story of a run, oldest first.",
        security="person",
        answers={200: audit.Audit},
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_RUN,),
    ),
    _Operation(
        method="post",
        path="/api/agents/tool-calls/{call_id}/undo/",
        name="undoToolCall",
        summary="Take back what a tool call did, once.",
        security="person",
        body=audit.UndoRequest,
        answers={200: audit.Undone},
        refusals=(
            *_UNREADABLE,
            ErrorCode.FORBIDDEN,
            ErrorCode.NOT_FOUND,
            ErrorCode.NOT_UNDOABLE,
            ErrorCode.TOOL_FAILED,
        ),
        parameters=(_CALL,),
    ),
    _Operation(
        method="post",
        path="/api/agents/messages/{message_id}/redeliver/",
        name="redeliverMessage",
        summary="Deliver a message again, with the key it always had.",
        security="person",
        answers={202: audit.Message},
        refusals=(ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.CONFLICT),
        parameters=(_MESSAGE,),
    ),
    _Operation(
        method="get",
        path="/api/agents/quality/",
        name="readQuality",
        summary="Read how good each agent's drafts were, by model.",
        security="person",
        answers={200: quality.QualityList},
        refusals=(ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND),
    ),
    _Operation(
        method="get",
        path="/api/agents/runs/{run_id}/results/{result_id}/",
        name="readRunResult",
        summary="Read the whole of a tool's result that was too large for its answer.",
        security="person",
        answers={200: tools.ToolResult},
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_RUN, _RESULT),
    ),
    _Operation(
        method="post",
        path="/api/agents/runs/{run_id}/limits/",
        name="changeRunLimits",
        summary="Change a run's limits, up to its agent's; what is not named stays, `null` is the agent's own.",
        security="person",
        body=runs.LimitsChange,
        answers={200: runs.Run},
        refusals=(
            *_UNREADABLE,
            ErrorCode.FORBIDDEN,
            ErrorCode.NOT_FOUND,
            ErrorCode.ILLEGAL_TRANSITION,
        ),
        parameters=(_RUN,),
    ),
    _Operation(
        method="post",
        path="/api/agents/comparisons/",
        name="startComparison",
        summary="Give the same work to several models, a run for each.",
        security="person",
        body=comparisons.ComparisonCreate,
        answers={202: comparisons.ComparisonCreated},
        refusals=(*_UNREADABLE, ErrorCode.FORBIDDEN, ErrorCode.AGENT_PAUSED, ErrorCode.NOT_FOUND),
        parameters=(_KEY,),
    ),
    _Operation(
        method="get",
        path="/api/agents/figures/",
        name="readFigures",
        summary="Read what all runs came to, by agent and model, and by version of the prompts.",
        security="person",
        answers={200: figures.Figures},
        refusals=(ErrorCode.INVALID_REQUEST,),
        parameters=(_AGENT, _SINCE),
    ),
    _Operation(
        method="get",
        path="/api/agents/figures/models.csv",
        name="exportModelFigures",
        summary="Read what all runs came to, by agent and model, as CSV.",
        security="person",
        answers={200: None},
        media_type="text/csv",
        refusals=(ErrorCode.INVALID_REQUEST,),
        parameters=(_AGENT, _SINCE),
    ),
    _Operation(
        method="get",
        path="/api/agents/figures/prompts.csv",
        name="exportPromptFigures",
        summary="Read what all runs came to, by version of the prompts, as CSV.",
        security="person",
        answers={200: None},
        media_type="text/csv",
        refusals=(ErrorCode.INVALID_REQUEST,),
        parameters=(_AGENT,),
    ),
    _Operation(
        method="get",
        path="/api/agents/prompt-versions/",
        name="listPromptVersions",
        summary="Read what people made of the drafts that each version of the prompts led to.",
        security="person",
        answers={200: prompts.PromptVersions},
        refusals=(ErrorCode.INVALID_REQUEST,),
        parameters=(_AGENT,),
    ),
    _Operation(
        method="get",
        path="/api/agents/comparisons/",
        name="listComparisons",
        summary="List comparisons, newest first.",
        security="person",
        answers={200: comparisons.ComparisonPage},
        refusals=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST),
        parameters=_PAGE,
    ),
    _Operation(
        method="get",
        path="/api/agents/comparisons/{comparison_id}/",
        name="readComparison",
        summary="Read how each model did.",
        security="person",
        answers={200: comparisons.Comparison},
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_COMPARISON,),
    ),
    _Operation(
        method="get",
        path="/api/agents/comparisons/{comparison_id}/figures.csv",
        name="exportComparison",
        summary="Read how each model did, as CSV.",
        security="person",
        answers={200: None},
        media_type="text/csv",
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_COMPARISON,),
    ),
    _Operation(
        method="get",
        path="/api/agents/approvals/",
        name="listApprovals",
        summary="List approvals, oldest first.",
        security="person",
        answers={200: runs.ApprovalPage},
        refusals=(ErrorCode.NOT_FOUND, ErrorCode.INVALID_REQUEST),
        parameters=(*_PAGE, _parameter("query", "status", _TEXT), _parameter("query", "run", _TEXT)),
    ),
    _Operation(
        method="get",
        path="/api/agents/approvals/{approval_id}/",
        name="readApproval",
        summary="Read an approval.",
        security="person",
        answers={200: runs.Approval},
        refusals=(ErrorCode.NOT_FOUND,),
        parameters=(_APPROVAL,),
    ),
    _Operation(
        method="post",
        path="/api/agents/approvals/{approval_id}/decision/",
        name="decideApproval",
        summary="Approve, edit or reject a call; an approval does it, in the same transaction.",
        security="person",
        body=runs.Decision,
        answers={200: runs.Approval},
        refusals=(
            *_UNREADABLE,
            ErrorCode.FORBIDDEN,
            ErrorCode.NOT_FOUND,
            ErrorCode.ALREADY_DECIDED,
            ErrorCode.TOOL_FAILED,
        ),
        parameters=(_APPROVAL,),
    ),
    _Operation(
        method="post",
        path="/api/agents/webhooks/",
        name="receiveWebhook",
        summary="Tell that a run ended; for the agent service.",
        security="signature",
        body=webhooks.Webhook,
        answers={200: None},
        refusals=(ErrorCode.SIGNATURE_INVALID, ErrorCode.BODY_TOO_LARGE, ErrorCode.INVALID_REQUEST),
        parameters=_WEBHOOK_HEADERS,
    ),
)

_TOOLS = (
    _Operation(
        method="post",
        path="/agent-api/sessions/",
        name="openSession",
        summary="Open a tool session for a run, or renew its token.",
        security="worker",
        body=tools.SessionCreate,
        answers={201: tools.Session},
        refusals=(*_UNREADABLE, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.STALE_WORKER),
    ),
    _Operation(
        method="delete",
        path="/agent-api/sessions/current/",
        name="closeSession",
        summary="Revoke the run token that asks.",
        security="runToken",
        answers={204: None},
    ),
    _Operation(
        method="get",
        path="/agent-api/tools/",
        name="listTools",
        summary="List what the run token may call.",
        security="runToken",
        answers={200: tools.ToolList},
        refusals=(ErrorCode.RUN_NOT_ACTIVE, ErrorCode.STALE_WORKER),
    ),
    _Operation(
        method="get",
        path="/agent-api/tools/results/{result_id}/",
        name="readResult",
        summary="Read the whole of a result that was too large for its answer.",
        security="runToken",
        answers={200: tools.ToolResult},
        refusals=(ErrorCode.RUN_NOT_ACTIVE, ErrorCode.STALE_WORKER, ErrorCode.NOT_FOUND),
        parameters=(_RESULT,),
    ),
    _Operation(
        method="post",
        path="/agent-api/tools/{name}/calls/",
        name="callTool",
        summary="Call a tool: once per key, however often it is asked.",
        security="runToken",
        body=tools.ToolCallRequest,
        answers={200: tools.ToolCallAnswer, 202: tools.ToolCallAnswer},
        refusals=(
            *_UNREADABLE,
            ErrorCode.TOOL_NOT_GRANTED,
            ErrorCode.UNKNOWN_TOOL,
            ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS,
            ErrorCode.TOOL_FAILED,
        ),
        parameters=(_TOOL, _CALL_KEY),
    ),
)

_SECURITY: dict[str, JsonObject] = {
    "person": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`Token` and a token of REST framework; a session's cookie does as well.",
    },
    "worker": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "runToken": {"type": "http", "scheme": "bearer", "bearerFormat": "djr_"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": signatures.SIGNATURE_HEADER,
        "description": "Standard Webhooks, `v1a` (Ed25519).",
    },
}


def people_api() -> JsonObject:
    """Return the document of what people and their programs call."""
    return _document("Mandate: the people's API", _PEOPLE)


def tool_api() -> JsonObject:
    """Return the document of what the agent service calls."""
    return _document("Mandate: the tool API", _TOOLS)


def _document(title: str, operations: tuple[_Operation, ...]) -> JsonObject:
    paths: JsonObject = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _describe(operation)
    used = {operation.security for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {name: scheme for name, scheme in _SECURITY.items() if name in used},
        },
    }


def _describe(operation: _Operation) -> JsonObject:
    described: JsonObject = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [{operation.security: []}],
        "responses": _answers(operation) | _refusals(operation),
    }
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body:
        described["requestBody"] = {"required": True, "content": _content("application/json", operation.body)}
    return described


def _answers(operation: _Operation) -> JsonObject:
    answers: JsonObject = {}
    for status, model in operation.answers.items():
        answers[str(status)] = {"description": HTTPStatus(status).phrase}
        if model:
            answers[str(status)]["content"] = _content(operation.media_type, model)
        elif operation.media_type != "application/json":
            answers[str(status)]["content"] = {operation.media_type: {}}
    return answers


def _refusals(operation: _Operation) -> JsonObject:
    statuses = sorted({problems.STATUSES[code] for code in (*_ALWAYS, *operation.refusals)})
    return {
        str(status.value): {"description": status.phrase, "content": _content(MEDIA_TYPE, Problem)}
        for status in statuses
    }


def _content(media_type: str, model: Model) -> JsonObject:
    return {media_type: {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _schemas(operations: tuple[_Operation, ...]) -> JsonObject:
    requests = [(operation.body, "validation") for operation in operations if operation.body]
    answers = [
        (model, "serialization")
        for operation in operations
        for model in (*operation.answers.values(), Problem)
        if model
    ]
    _, definitions = models_json_schema([*requests, *answers], ref_template=_REF)  # type: ignore[list-item]
    schemas: JsonObject = definitions["$defs"]
    return schemas
