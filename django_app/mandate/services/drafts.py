"""Records that agents drafted, and what people make of them.

The agent's text is kept when a person first changes it or decides about it; the text that was published, and how
far it is from the agent's, when the person decides. Together they tell how good an agent's drafts are.
"""

import difflib
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db import models as django_models
from django.db import transaction
from django.utils import timezone
from pydantic import JsonValue

from mandate import exceptions, models
from mandate.models import AiStatus
from shared_schemas import json_values
from shared_schemas.problems import ErrorCode

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_MOST_WORDS = 5_000
"""Above this, lines are compared, and not closely: comparing takes the square of their number."""

Texts = dict[str, JsonValue]


def keep_text(record: models.AgentOwned, *, by: AbstractBaseUser) -> models.DraftReview | None:
    """Keep the agent's text as the database has it; called before a person changes a draft.

    Once a person has begun, later changes are theirs. Of a record that no agent drafted, or that was decided
    about before, nothing is kept.

    Raises:
        RequestRefused: FORBIDDEN, `by` is an agent.
    """
    with transaction.atomic():
        return _opened(locked(record), by)


@transaction.atomic
def review(
    record: models.AgentOwned,
    *,
    by: AbstractBaseUser,
    changes: Mapping[str, Any] | None = None,
    approve: bool = True,
    comment: str = "",
) -> models.DraftReview | None:
    """Decide about a draft, with a person's last changes to it, and keep what became of the agent's text.

    The changes and the status are saved. What else publishing means is the project's: it does that in the
    same transaction.

    Raises:
        RequestRefused: FORBIDDEN, `by` is an agent; CONFLICT, it was decided about before.
        ValidationError: a change does not fit its field.
    """
    stored = locked(record)
    if stored.ai_status != AiStatus.DRAFT:
        raise exceptions.RequestRefused(ErrorCode.CONFLICT, f"This draft is {stored.ai_status!r} already.")
    kept = _opened(stored, by)
    decided = {**(changes or {}), "ai_status": AiStatus.APPROVED if approve else AiStatus.REJECTED}
    for name, value in decided.items():
        setattr(stored, name, value)
    stored.clean_fields(exclude=_all_but(stored, decided))
    stored.save(update_fields=list(decided))
    for name in decided:
        setattr(record, name, getattr(stored, name))
    if kept is not None:
        _close(kept, texts_of(stored), by=by, approve=approve, comment=comment)
    return kept


def fields_of(model: type[models.AgentOwned]) -> tuple[str, ...]:
    """Return the names of the fields whose text is reviewed."""
    return model.draft_fields or _text_fields(model)


def texts_of(record: models.AgentOwned) -> Texts:
    """Return the text that is reviewed, by field."""
    return {name: getattr(record, name) for name in fields_of(type(record))}


def fingerprint(record: models.AgentOwned) -> str:
    """Return what tells whether the text that somebody decides about is the one they saw."""
    return hashlib.sha256(json_values.canonical(texts_of(record)).encode()).hexdigest()


def aligned(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield pairs of pieces in their order: both alike, or what stood there before and what does now."""
    words = [_WORDS.findall(text) for text in (before, after)]
    is_long = max(map(len, words)) > _MOST_WORDS
    old, new = [text.splitlines(keepends=True) for text in (before, after)] if is_long else words
    for _, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=is_long).get_opcodes():
        yield "".join(old[i:j]), "".join(new[k:m])


def locked(record: models.AgentOwned) -> models.AgentOwned:
    """Return a record as the database has it, held against everybody else who changes it."""
    stored: models.AgentOwned = type(record)._default_manager.select_for_update().get(pk=record.pk)  # noqa: SLF001 - Django's public name
    return stored


def _opened(stored: models.AgentOwned, by: AbstractBaseUser) -> models.DraftReview | None:
    if models.Agent.objects.filter(user_id=by.pk).exists():
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, "An agent's account cannot review drafts.")
    if stored.ai_user_id is None or stored.ai_status != AiStatus.DRAFT:
        return None
    agent = models.Agent.objects.filter(user_id=stored.ai_user_id).first()
    if agent is None:
        return None
    place = {"content_type": ContentType.objects.get_for_model(stored), "object_id": str(stored.pk)}
    run = _run_of(place)
    found, _ = models.DraftReview.objects.get_or_create(
        **place,
        status=models.DraftReview.Status.OPEN,
        defaults={
            "agent": agent,
            "run": run,
            "model": run.model if run else "",
            "drafted": texts_of(stored),
        },
    )
    return found


def _run_of(place: Mapping[str, Any]) -> models.Run | None:
    """Return the run that made a record: the first whose calls touched it."""
    links = models.ToolCallLink.objects.filter(**place).order_by("tool_call__created_at")
    first = links.select_related("tool_call__run").first()
    return first.tool_call.run if first else None


def _close(
    kept: models.DraftReview, published: Texts, *, by: AbstractBaseUser, approve: bool, comment: str
) -> None:
    status = models.DraftReview.Status
    kept.status = status.APPROVED if approve else status.REJECTED
    kept.published = published
    pairs = {name: (plain(text), plain(published.get(name))) for name, text in kept.drafted.items()}
    kept.difference = {name: _diff(*pair) for name, pair in pairs.items() if pair[0] != pair[1]}
    kept.drafted_characters = sum(len(before) for before, _ in pairs.values())
    kept.published_characters = sum(len(after) for _, after in pairs.values())
    kept.kept_characters = sum(_common(*pair) for pair in pairs.values())
    kept.comment, kept.reviewed_at = comment, timezone.now()
    kept.reviewed_by_id = by.pk
    kept.save()


def plain(value: JsonValue) -> str:
    """Return what is compared of a field: its text, or its JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_values.canonical(value)


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "drafted", "published", lineterm="")
    return "\n".join(lines)


def _common(before: str, after: str) -> int:
    start = _shared_start(before, after)
    old, new = before[start:], after[start:]
    end = _shared_start(old[::-1], new[::-1])
    middle = aligned(old[: len(old) - end], new[: len(new) - end])
    return start + end + sum(len(piece) for piece, other in middle if piece == other)


def _shared_start(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _text_fields(model: type[models.AgentOwned]) -> tuple[str, ...]:
    texts = (django_models.CharField, django_models.TextField)
    fields = model._meta.concrete_fields  # noqa: SLF001 - Django's documented API
    return tuple(field.name for field in fields if isinstance(field, texts) and not field.choices)


def _all_but(record: models.AgentOwned, changes: Mapping[str, Any]) -> set[str]:
    return {field.name for field in record._meta.concrete_fields} - set(changes)  # noqa: SLF001 - Django's documented API
