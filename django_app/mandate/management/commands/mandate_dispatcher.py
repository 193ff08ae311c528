"""Delivers the outbox and looks after runs."""

import contextlib
import signal
import sys

from django.core.management.base import BaseCommand, CommandParser

from mandate.services import dispatcher


class Command(BaseCommand):
    help = "Deliver messages, pull runs whose webhook is late, expire approvals, delete what is old."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due now, and return")

    def handle(self, *, once: bool, **_: object) -> None:
        if once:
            self.stdout.write(f"{dispatcher.run_due()} messages tried")
            return
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        self.stdout.write("dispatcher: ready")
        with contextlib.suppress(KeyboardInterrupt):
            dispatcher.serve()
