"""Logs as JSON lines, one event per fact, without secrets."""

import logging
import re
import sys
from typing import Any

import structlog

REDACTED = "[redacted]"

_SECRETS = re.compile(
    r"djr_[\w-]+"
    r"|mandate_sk_[\w-]+"
    r"|\bsk-[\w-]{8,}"
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]+"
    r"|(?i:bearer\s+)[\w.~+/=-]+"
    r"|(?<=://)[^/\s@:]+:[^/\s@]+(?=@)"
)
"""Run tokens, signing keys, providers' keys, JWTs, bearers, and passwords in addresses."""


class _Denials(logging.Filter):
    """uvicorn takes an answer that denies a WebSocket for one that was forgotten, and says so at ERROR."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != "ASGI callable returned without completing handshake."


_DENIALS = _Denials()


def redact(text: str) -> str:
    """Return the text without what looks like a credential."""
    return _SECRETS.sub(REDACTED, text)


def configure(level: str) -> None:
    """Send everything that is logged to standard error, ours and other packages'."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_fields,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # They tell at INFO of every request and every job.
    for chatty in ("httpx", "httpx2", "pgqueuer"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("uvicorn.error").addFilter(_DENIALS)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _redact_fields(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {name: redact(value) if isinstance(value, str) else value for name, value in event.items()}
