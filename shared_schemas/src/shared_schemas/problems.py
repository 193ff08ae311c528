"""Error bodies: RFC 9457 problems with a closed set of codes."""

from enum import StrEnum

from pydantic import Field

from shared_schemas import base

MEDIA_TYPE = "application/problem+json"


class ErrorCode(StrEnum):
    """Every code that an answer or a failed run may carry; each is documented in docs/reference/errors.md."""

    # About who is asking.
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a code, not a password
    FORBIDDEN = "forbidden"
    SIGNATURE_INVALID = "signature_invalid"

    # About the request.
    MALFORMED_BODY = "malformed_body"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    NOT_OFFERED = "not_offered"

    # About idempotency keys.
    IDEMPOTENCY_KEY_MISSING = "idempotency_key_missing"
    IDEMPOTENCY_KEY_MALFORMED = "idempotency_key_malformed"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    IDEMPOTENCY_KEY_IN_PROGRESS = "idempotency_key_in_progress"

    # About a mandate and its tool calls.
    UNKNOWN_AGENT = "unknown_agent"
    AGENT_PAUSED = "agent_paused"
    STALE_WORKER = "stale_worker"
    RUN_NOT_ACTIVE = "run_not_active"
    UNKNOWN_TOOL = "unknown_tool"
    TOOL_NOT_GRANTED = "tool_not_granted"
    TOOL_PAUSED = "tool_paused"
    LIMIT_SPENT = "limit_spent"
    INVALID_ARGUMENTS = "invalid_arguments"
    REJECTED = "rejected"
    REPEATED_CALL = "repeated_call"
    LOOP_DETECTED = "loop_detected"
    TOOL_FAILED = "tool_failed"
    NOT_UNDOABLE = "not_undoable"

    # About approvals.
    ALREADY_DECIDED = "already_decided"
    APPROVAL_EXPIRED = "approval_expired"

    # About runs and threads.
    ILLEGAL_TRANSITION = "illegal_transition"
    NO_SUCH_INTERRUPT = "no_such_interrupt"
    THREAD_BUSY = "thread_busy"
    UNKNOWN_GRAPH = "unknown_graph"
    UNKNOWN_MODEL = "unknown_model"
    WEBHOOK_NOT_ALLOWED = "webhook_not_allowed"

    # How a run can fail.
    MODEL_FAILED = "model_failed"
    MODEL_WITHOUT_KEY = "model_without_key"
    GRAPH_FAILED = "graph_failed"
    RECURSION_LIMIT = "recursion_limit"
    RUN_TIMEOUT = "run_timeout"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    GRAPH_VERSION_MISMATCH = "graph_version_mismatch"
    SUBMISSION_FAILED = "submission_failed"
    UNSTORABLE_VALUE = "unstorable_value"

    # About the service itself.
    TOO_MANY_REQUESTS = "too_many_requests"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class FieldProblem(base.Answer):
    """One place in the request that is wrong."""

    pointer: str
    """RFC 6901 pointer into the request body, `""` for the whole of it."""

    detail: str


class Problem(base.Answer):
    """An error answer, media type `application/problem+json` (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    """What happened and, where the reader can do something, what to do."""

    code: ErrorCode
    errors: list[FieldProblem] = []
    """The places that are wrong, for a body or arguments that fail their schema."""


class Failure(base.Answer):
    """Why a run failed."""

    code: ErrorCode
    message: str
