"""Writes the lines of a run's story that no other table tells, in the caller's transaction."""

import uuid
from typing import TYPE_CHECKING

from pydantic import JsonValue

from mandate import models

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

Kind = models.RunNote.Kind


def write(
    run_id: uuid.UUID, kind: Kind, data: dict[str, JsonValue], *, by: "AbstractBaseUser | None" = None
) -> None:
    """Keep what happened, when, and who did it, where that was a person."""
    models.RunNote.objects.create(run_id=run_id, kind=kind, by_id=by.pk if by else None, data=data)
