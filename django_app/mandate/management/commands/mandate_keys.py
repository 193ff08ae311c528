"""Prints new keys for this side."""

from django.core.management.base import BaseCommand

from mandate import keys


class Command(BaseCommand):
    help = (
        "Print new keys as lines for an environment file; `python -m mandate.keys` does it without settings."
    )
    requires_system_checks = ()

    def handle(self, **_: object) -> None:
        self.stdout.write(keys.describe())
