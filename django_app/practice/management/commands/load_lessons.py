"""Loads the lessons, the students and the agent of the example course; may be run again at any time."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from practice import course


class Command(BaseCommand):
    help = "Load the example course: lessons, students and the agent that writes practice tasks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", default="gpt-5-mini", help="the agent's default model")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        loaded = course.load(default_model=options["model"])
        counts = ", ".join(f"{count} {kind}" for kind, count in loaded.items())
        self.stdout.write(f"{counts} and the agent {course.AUTHOR!r} are there.")
