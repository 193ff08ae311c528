"""Prints runs with all that is kept of their end."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mandate import models
from mandate.selectors import runs as selectors

_BATCH = 100


class Command(BaseCommand):
    help = "Print runs with their results and final states as JSON, one per line: those named, or all that have ended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run_ids", nargs="*", type=uuid.UUID, metavar="RUN_ID")

    def handle(self, *, run_ids: list[uuid.UUID], **_: Any) -> None:
        chosen = models.Run.objects.exclude(ended_at=None)
        if run_ids:
            chosen = models.Run.objects.filter(pk__in=run_ids)
            if missing := set(run_ids) - set(chosen.values_list("pk", flat=True)):
                raise CommandError(f"There are no runs {', '.join(sorted(map(str, missing)))}.")
        rows = selectors.detailed(chosen).select_related("agent", "started_by").order_by("created_at", "pk")
        for run in rows.iterator(chunk_size=_BATCH):
            self.stdout.write(selectors.exported(run).model_dump_json())
