"""Deletes old threads of graphs that run inside Django."""

from argparse import ArgumentTypeError
from datetime import timedelta

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from mandate import threads


class Command(BaseCommand):
    help = "Delete the threads of graphs inside Django that have no checkpoint of the last days."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=_days, required=True, help="how long a thread has rested at least")

    def handle(self, *, days: timedelta, **_: object) -> None:
        self.stdout.write(f"{threads.delete_rested(before=timezone.now() - days)} threads deleted")


def _days(text: str) -> timedelta:
    try:
        days = timedelta(days=float(text))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no number of days") from None
    if days < timedelta(0):
        raise ArgumentTypeError("it cannot be less than nothing")
    return days
