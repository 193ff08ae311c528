"""Tells the whole story of a run."""

import json
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mandate import models
from mandate.selectors import audit
from shared_schemas import audit as wire


class Command(BaseCommand):
    help = "Tell the whole story of a run, oldest first, from this database alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run_id", type=uuid.UUID)
        parser.add_argument("--json", action="store_true", help="as the REST API answers it")

    def handle(self, *, run_id: uuid.UUID, json: bool, **_: Any) -> None:
        run = audit.detailed(models.Run.objects.filter(pk=run_id)).first()
        if run is None:
            raise CommandError(f"There is no run {run_id}.")
        story = audit.story(run)
        if json:
            self.stdout.write(story.model_dump_json(indent=2))
            return
        self.stdout.write(f"run {run.pk} of {run.agent.slug}: {run.status}")
        for entry in story.entries:
            self.stdout.write(_line(entry))


def _line(entry: wire.Entry) -> str:
    moment = entry.at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    details = json.dumps(entry.details, ensure_ascii=False, default=str)
    return f"{moment}  {entry.by or '-':<24}  {entry.event:<19}  {details}"
