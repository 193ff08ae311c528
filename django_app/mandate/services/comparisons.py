"""Gives the same work to several models."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import AbstractUser
from django.db import transaction

from mandate import models
from mandate.services import runs


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
    started = [
        runs.start(
            agent=agent,
            input=input,
            by=by,
            model=model,
            comparison=comparison,
            idempotency_key=idempotency_key and f"{idempotency_key}:{number}",
        )
        for number, model in enumerate(models_)
    ]
    earlier = started[0].comparison
    if earlier is not None and earlier != comparison:
        comparison.delete()
        return earlier
    return comparison
