"""Has people's decisions about drafts done, by the rules of their models: what the pages of drafts call."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import NON_FIELD_ERRORS, ObjectDoesNotExist, ValidationError
from django.db import transaction

from mandate import exceptions, models
from mandate.models import AiStatus
from mandate.selectors import reviewing as selectors
from mandate.services import drafts
from mandate.tools import reviewing
from shared_schemas.problems import ErrorCode, FieldProblem


def change(record: models.AgentOwned, *, by: AbstractUser, changes: Mapping[str, Any], seen: str) -> None:
    """Save a person's changes to a draft that stays one.

    `seen` is the fingerprint of the text that the person had before them, here and in what follows.

    Raises:
        RequestRefused: FORBIDDEN; CONFLICT, it was decided about or changed meanwhile; NOT_FOUND, it is gone;
            REJECTED, a rule of the project's says no, with the fields where it names them.
    """
    with _deciding(record, by=by, seen=seen) as stored:
        drafts.keep_text(stored, by=by)
        for name, value in changes.items():
            setattr(stored, name, value)
        others = {field.name for field in stored._meta.concrete_fields} - set(changes)  # noqa: SLF001 - Django's documented API
        stored.clean_fields(exclude=others)
        stored.save()


def publish(
    record: models.AgentOwned,
    *,
    by: AbstractUser,
    seen: str,
    changes: Mapping[str, Any] | None = None,
    comment: str = "",
) -> None:
    """Publish a draft, as its model's rule does it; without one it is approved and no more.

    Raises:
        RequestRefused: as `change`.
    """
    with _deciding(record, by=by, seen=seen) as stored:
        rule = reviewing.declared().get(type(stored))
        act = rule.publish if rule else drafts.review
        act(stored, by=by, changes=changes or {}, comment=comment)


def reject(record: models.AgentOwned, *, by: AbstractUser, seen: str, comment: str = "") -> None:
    """Decide that a draft is not wanted.

    Raises:
        RequestRefused: as `change`.
    """
    with _deciding(record, by=by, seen=seen) as stored:
        drafts.review(stored, by=by, approve=False, comment=comment)


@contextlib.contextmanager
def _deciding(record: models.AgentOwned, *, by: AbstractUser, seen: str) -> Iterator[models.AgentOwned]:
    needed = selectors.permission(type(record))
    if not by.has_perm(needed):
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, f"This needs the permission {needed!r}.")
    try:
        with transaction.atomic():
            stored = drafts.locked(record)
            if stored.ai_status != AiStatus.DRAFT:
                raise exceptions.RequestRefused(
                    ErrorCode.CONFLICT, f"This draft is {stored.ai_status} already."
                )
            if drafts.fingerprint(stored) != seen:
                raise exceptions.RequestRefused(
                    ErrorCode.CONFLICT, "It was changed while you looked at it. This is how it stands now."
                )
            yield stored
    except ValidationError as error:
        raise _refused(error) from None
    except ObjectDoesNotExist:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, "This draft was deleted.") from None


def _refused(error: ValidationError) -> exceptions.RequestRefused:
    if not hasattr(error, "error_dict"):
        return exceptions.RequestRefused(ErrorCode.REJECTED, " ".join(error.messages))
    told = error.message_dict
    above = " ".join(told.pop(NON_FIELD_ERRORS, ["It does not fit."]))
    places = [FieldProblem(pointer=f"/{name}", detail=" ".join(texts)) for name, texts in told.items()]
    return exceptions.RequestRefused(ErrorCode.REJECTED, above, places)
