"""Database fields."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.types.json import Json

from shared_schemas import json_values

if TYPE_CHECKING:
    _JSONField = models.JSONField[Any, Any]
else:
    _JSONField = models.JSONField


class ExactJSONField(_JSONField):
    """JSON to the letter, in a column of type `json`.

    `jsonb` sorts keys and makes an integer of 1e22: what was answered once could not be answered again.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str:  # noqa: ARG002 - Django's signature
        return "json"

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - Django's signature
        return Json(value, dumps=json_values.text)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:  # noqa: ARG002 - Django's signature
        # Read by the driver already, which leaves only `jsonb` to Django.
        return value
