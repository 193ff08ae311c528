"""Reads a tool session with its run, agent and users: the query that every tool call begins with.

It is written out once. Compiling it anew took the ORM as long as the rest of a call.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS, connection
from django.db import models as django_models

from mandate import models

_NOT_NEEDED = {
    models.Run: frozenset({"input", "result", "final_state", "error_message"}),
    models.Agent: frozenset({"description"}),
}

_PAUSED = "ARRAY(SELECT switch.tool FROM mandate_toolswitch AS switch WHERE switch.is_paused)"

_KNOWN = "EXISTS(SELECT FROM mandate_toolcall AS call WHERE call.run_id = run.id AND call.key = %s)"

_TABLES = """
    FROM mandate_toolsession AS session
    JOIN mandate_run AS run ON run.id = session.run_id
    JOIN mandate_agent AS agent ON agent.id = run.agent_id
    JOIN {users} AS agent_user ON agent_user.{key} = agent.user_id
    JOIN {users} AS person ON person.{key} = run.started_by_id
    WHERE session.token_hash = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A session as it is now, and the switches that hold for every session."""

    session: models.ToolSession
    paused_tools: frozenset[str]
    key_is_known: bool
    """The run has made the call with this key already."""


def by_token(token_hash: str, *, key: str | None = None) -> Held | None:
    """Return the session whose latest token has this hash, and what is known of a call's key."""
    with connection.cursor() as cursor:
        cursor.execute(_sql(), [key, token_hash])
        row = cursor.fetchone()
    if row is None:
        return None
    *columns, paused_tools, key_is_known = row
    values = iter(columns)
    session, run, agent, agent_user, person = (part.instance(values) for part in _parts())
    agent.user, run.agent, run.started_by, session.run = agent_user, agent, person, run
    return Held(session=session, paused_tools=frozenset(paused_tools), key_is_known=key_is_known)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The columns of one table in a row, as an instance of its model."""

    alias: str
    model: type[django_models.Model]
    fields: "Sequence[django_models.Field[Any, Any]]"

    def columns(self) -> Iterator[str]:
        for field in self.fields:
            yield f"{self.alias}.{connection.ops.quote_name(str(field.column))}"

    def instance(self, values: Iterator[Any]) -> Any:
        names = [field.attname for field in self.fields]
        return self.model.from_db(
            DEFAULT_DB_ALIAS, names, [_converted(field, next(values)) for field in self.fields]
        )


@functools.cache
def _parts() -> tuple[_Part, ...]:
    users = get_user_model()
    tables: list[tuple[str, type[django_models.Model]]] = [
        ("session", models.ToolSession),
        ("run", models.Run),
        ("agent", models.Agent),
        ("agent_user", users),
        ("person", users),
    ]
    return tuple(_Part(alias=alias, model=model, fields=_fields(model)) for alias, model in tables)


@functools.cache
def _sql() -> str:
    columns = ", ".join(column for part in _parts() for column in part.columns())
    users = get_user_model()._meta  # noqa: SLF001 - Django's documented API
    key = connection.ops.quote_name(str(users.pk.column))
    tables = _TABLES.format(users=connection.ops.quote_name(users.db_table), key=key)
    return f"SELECT {columns}, {_PAUSED}, {_KNOWN} {tables}"


def _fields(model: type[django_models.Model]) -> "tuple[django_models.Field[Any, Any], ...]":
    left_out = _NOT_NEEDED.get(model, frozenset())
    fields = model._meta.concrete_fields  # noqa: SLF001 - Django's documented API
    return tuple(field for field in fields if field.attname not in left_out)


def _converted(field: "django_models.Field[Any, Any]", value: Any) -> Any:
    for convert in field.get_db_converters(connection):
        value = convert(value, None, connection)
    return value
