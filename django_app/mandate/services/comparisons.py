"""Gives the same work to several models."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction

from mandate import exceptions, models
from mandate.services import runs
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
        RequestRefused: as `runs.start`.
    """
    comparison = models.Comparison.objects.create(
        name=name or (agent if isinstance(agent, str) else agent.slug), started_by_id=by.pk
    )
    started = []
    for number, model in enumerate(models_):
        with _told_of_the_models(f"/models/{number}"):
            run = runs.start(
                agent=agent,
                input=input,
                by=by,
                model=model,
                comparison=comparison,
                idempotency_key=idempotency_key and f"{idempotency_key}:{number}",
            )
        started.append(run)
    earlier = started[0].comparison
    if earlier is not None and earlier != comparison:
        comparison.delete()
        return earlier
    return comparison


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
