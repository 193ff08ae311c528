"""Prints a bearer for a person's own client of the agent service."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mandate import conf, tokens
from shared_schemas.tokens import MAX_AGE, TokenType

_LONGEST = int(MAX_AGE[TokenType.USER].total_seconds() // 60)


class Command(BaseCommand):
    help = "Print a bearer for the agent service, for curl and LangGraph clients; it stands on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", required=True, help="user name of the person whose client it is")
        parser.add_argument("--minutes", type=int, default=60, help=f"how long it lasts, {_LONGEST} at most")

    def handle(self, *, user: str, minutes: int, **_: Any) -> None:
        if not 0 < minutes <= _LONGEST:
            raise CommandError(f"A token lasts 1 to {_LONGEST} minutes.")
        people = get_user_model()
        named: dict[str, Any] = {people.USERNAME_FIELD: user, "is_active": True}
        person = people._default_manager.filter(**named).first()  # noqa: SLF001 - Django's public name
        if person is None:
            raise CommandError(f"There is no active user {user!r}.")
        self.stdout.write(
            f"For {user} at {conf.settings().agent_url}, for {minutes} minutes; "
            "send it as 'Authorization: Bearer' or as 'x-api-key'."
        )
        self.stdout.write(tokens.for_user(person, lifetime=timedelta(minutes=minutes)))
