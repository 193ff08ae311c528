"""Gives the same work to several models."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction

from mandate import exceptions, models
from mandate.services import request_keys, runs
from shared_schemas.problems import ErrorCode


@transaction.atomic
def start(
    *,
    agent: models.Agent | str,
    input: Mapping[str, Any],  # noqa: A002 - the wire's word
    models_: Sequence[str],
    by: AbstractUser,
    name: str = "",
    idempotency_key: str | None = None,
) -> models.Comparison:
    """Start a run of an agent with each of the models; all of them, or none.

    With an `idempotency_key`, the same person's repeat of the same request returns the first comparison.

    Raises:
        RequestRefused: as `runs.start`, IDEMPOTENCY_KEY_REUSED for other models or another name too.
    """
    comparison = models.Comparison.objects.create(
        name=name or (agent if isinstance(agent, str) else agent.slug), started_by_id=by.pk
    )
    key = idempotency_key and request_keys.of_runs("comparison", idempotency_key)
    for number, model in enumerate(models_):
        with _told_of_the_models(f"/models/{number}"):
            run = runs.start(
                agent=agent,
                input=input,
                by=by,
                model=model,
                comparison=comparison,
                idempotency_key=key and f"{key}:{number}",
            )
        if run.replayed:
            return _replayed(run, comparison, models_)
    return comparison


def _replayed(run: models.Run, asked: models.Comparison, models_: Sequence[str]) -> models.Comparison:
    """Return the comparison that an earlier request started, and forget the one that this request made."""
    earlier = run.comparison
    compared = earlier and earlier.runs.order_by("created_at", "id").values_list("model", flat=True)
    if earlier is None or earlier.name != asked.name or list(compared or ()) != list(models_):
        raise exceptions.RequestRefused(
            ErrorCode.IDEMPOTENCY_KEY_REUSED, "This Idempotency-Key was used for a different request."
        )
    asked.delete()
    return earlier


@contextmanager
def _told_of_the_models(pointer: str) -> Iterator[None]:
    """Let a refused model be found in the request for all of them."""
    try:
        yield
    except exceptions.RequestRefused as refusal:
        if refusal.code is ErrorCode.UNKNOWN_MODEL:
            places = [place.model_copy(update={"pointer": pointer}) for place in refusal.errors]
            raise exceptions.RequestRefused(refusal.code, refusal.detail, places) from None
        raise
