"""Tells in one query whether anything of a run's story has changed."""

import functools
import hashlib
import uuid

from django.contrib.auth.models import AbstractUser
from django.db import connection

from mandate import models
from mandate.selectors import runs

_OF_RUN = (
    models.RunNote,
    models.ToolSession,
    models.ToolCall,
    models.Approval,
    models.OutboxMessage,
    models.WebhookReceipt,
    models.DraftReview,
    models.ModelUsage,
)

_OF_CALL = (models.OutboxMessage, models.ToolCallUndo, models.ToolCallLink)

# `xmin` is the transaction that wrote a row as it is: it differs after every change, of whatever column.
# Among rows that only are added, changed and deleted, number and sum tell one set from the next.
_SEEN = "count(*) || '.' || coalesce(sum(row.xmin::text::bigint), 0)"
_OWN = "(SELECT {seen} FROM {table} AS row WHERE row.run_id = run.id)"
_CALLS = """(
    SELECT {seen} FROM {table} AS row JOIN mandate_toolcall AS call ON call.id = row.tool_call_id
    WHERE call.run_id = run.id
)"""
_VERSION = "SELECT run.started_by_id, concat_ws('-', {parts}) FROM mandate_run AS run WHERE run.id = %s"


def of(run_id: uuid.UUID, *, reader: AbstractUser) -> str | None:
    """Return a text that differs after every change of what the audit tells of a run.

    There is none of a run that the reader may not see, and one of its own for every reader. It does not know of
    records that calls touched, unless somebody reviewed them, nor of permissions that the reader is given.
    """
    with connection.cursor() as cursor:
        cursor.execute(_sql(), [run_id])
        row = cursor.fetchone()
    if row is None or not (row[0] == reader.pk or runs.sees_all(reader)):
        return None
    return hashlib.sha256(f"{reader.pk}-{row[1]}".encode()).hexdigest()[:32]


@functools.cache
def _sql() -> str:
    parts = [
        "run.xmin::text",
        *(_OWN.format(seen=_SEEN, table=model._meta.db_table) for model in _OF_RUN),  # noqa: SLF001 - Django's documented API
        *(_CALLS.format(seen=_SEEN, table=model._meta.db_table) for model in _OF_CALL),  # noqa: SLF001 - the same
    ]
    return _VERSION.format(parts=", ".join(parts))
