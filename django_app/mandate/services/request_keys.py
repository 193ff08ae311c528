"""The `Idempotency-Key` of a request, as it comes in and as it is kept."""

import hashlib
from collections.abc import Callable, Mapping

from mandate import exceptions
from shared_schemas import idempotency
from shared_schemas.problems import ErrorCode


def read(headers: Mapping[str, str], parse: Callable[[str], str] = idempotency.parse) -> str | None:
    """Return the key of a request, if it has one.

    Raises:
        RequestRefused: IDEMPOTENCY_KEY_MALFORMED.
    """
    header = headers.get(idempotency.HEADER)
    if header is None:
        return None
    try:
        return parse(header)
    except idempotency.MalformedKeyError as error:
        raise exceptions.RequestRefused(ErrorCode.IDEMPOTENCY_KEY_MALFORMED, str(error)) from None


def of_runs(purpose: str, key: str) -> str:
    """Return the key for the runs that a request for something else starts.

    It is a digest: a key may be as long as a run's own, and may be written as another one's is.
    """
    return f"{purpose}:{hashlib.sha256(key.encode()).hexdigest()}"
