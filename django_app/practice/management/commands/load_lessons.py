"""Loads the example course; may be run again at any time."""

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from practice import course

PASSWORD_VARIABLE = "EDITOR_PASSWORD"  # noqa: S105 - the variable's name


class Command(BaseCommand):
    help = "Load the example course: lessons, students and the agent that writes practice tasks."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", default="gpt-4.1-mini", help="the agent's default model")
        parser.add_argument(
            "--editor",
            help=f"also make this superuser, with the password in {PASSWORD_VARIABLE}, "
            "and print a token of the REST API on the last line",
        )

    def handle(self, *, model: str, editor: str | None, **_: Any) -> None:
        loaded = course.load(default_model=model)
        counts = ", ".join(f"{count} {kind}" for kind, count in loaded.items())
        self.stdout.write(f"{counts} and the agent {course.AUTHOR!r} are there.")
        if editor:
            password = os.environ.get(PASSWORD_VARIABLE)
            if not password:
                raise CommandError(f"Set {PASSWORD_VARIABLE}.")
            self.stdout.write(course.ensure_editor(editor, password=password))
