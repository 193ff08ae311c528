"""Runs a small graph inside Django."""

import json
import uuid
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

if TYPE_CHECKING:
    from mandate.checkpointing import running


class Command(BaseCommand):
    help = (
        "Run a LangGraph graph in this process, with its checkpoints in Django's database. "
        "Without --input and --resume a thread goes on from where it stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("graph", help="module.path:variable or file.py:variable")
        parser.add_argument("--thread", help="the thread to go on with; a new one otherwise")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--input", type=_json, metavar="JSON", help="what the graph is given")
        what.add_argument(
            "--resume",
            type=_json,
            metavar="JSON",
            help="the answer to its interrupt, or answers by their ids",
        )

    def handle(self, *, graph: str, thread: str | None, **options: Any) -> None:
        if thread is None and options["input"] is None:
            raise CommandError("A new thread needs --input; to go on with one, name it with --thread.")
        thread_id = thread or str(uuid.uuid4())
        outcome = _run(graph, thread_id, **options)
        story = {"thread_id": thread_id, "interrupts": outcome.interrupts, "values": outcome.values}
        self.stdout.write(json.dumps(story, indent=2, ensure_ascii=False))


def _run(place: str, thread_id: str, *, input: Any, resume: Any, **_: Any) -> "running.Outcome":  # noqa: A002 - the option's name
    try:
        # Only this command needs LangGraph in Django.
        from mandate.checkpointing import running  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(f"Install django-mandate[langgraph] to run graphs in Django: {error}") from error
    try:
        graph = running.load(place)
    except running.NoGraphError as error:
        raise CommandError(str(error)) from error
    try:
        if resume is not None:
            return running.resume(graph, resume, thread_id=thread_id)
        return running.start(graph, input, thread_id=thread_id)
    except Exception as error:
        # A graph may raise anything; its thread stays where it was, and that is what a person wants to know.
        raise CommandError(
            f"{type(error).__name__}: {error}\nThe thread stands before that: go on with --thread {thread_id}"
        ) from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"This is not JSON: {error}") from error
