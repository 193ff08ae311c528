"""The `Idempotency-Key` header and the key of a tool call.

Draft: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

import base64
import hashlib
import re

from shared_schemas import json_values

HEADER = "Idempotency-Key"
HEADER_PATTERN = r"""^([!#-\[\]-~]{8,200}|"[!#-\[\]-~]{8,200}")$"""
"""A key, bare or as the quoted string of the IETF draft, for the documents."""

TOOL_CALL_HEADER_PATTERN = '^(tk1_[A-Za-z0-9_-]{32}|"tk1_[A-Za-z0-9_-]{32}")$'

REPLAYED_HEADER = "Idempotent-Replayed"

_KEY = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{8,200}")
_TOOL_CALL_KEY = re.compile(r"tk1_[A-Za-z0-9_-]{32}")

Origin = tuple[str | int, ...]
"""Where in a run a call comes from.

`("msg", ai_message_id, tool_call_id, ordinal)` for a model's call and
`("node", checkpoint_ns, step_label, loop_index)` for a node's own.
"""


class MalformedKeyError(ValueError):
    """The header does not hold one key of 8 to 200 visible ASCII characters."""


def parse(header: str) -> str:
    """Return the key from a header, bare or as the quoted string of the IETF draft.

    Raises:
        MalformedKeyError: it is neither.
    """
    text = header.strip()
    key = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not _KEY.fullmatch(key):
        raise MalformedKeyError(
            "An Idempotency-Key is 8 to 200 visible ASCII characters without quotes or backslashes."
        )
    return key


def parse_tool_call_key(header: str) -> str:
    """Return a tool call's key from a header.

    Raises:
        MalformedKeyError: it is not `tk1_` and 32 characters of base64url.
    """
    key = parse(header)
    if not _TOOL_CALL_KEY.fullmatch(key):
        raise MalformedKeyError("A tool call's Idempotency-Key is 'tk1_' and 32 characters of base64url.")
    return key


def tool_call_key(*, run_id: str, thread_id: str, origin: Origin) -> str:
    """Compute a tool call's key: the same call has the same key in every attempt, and no other has it."""
    text = json_values.canonical([run_id, thread_id, list(origin)])
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"tk1_{digest[:32]}"
