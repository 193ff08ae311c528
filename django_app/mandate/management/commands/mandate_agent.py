"""Creates an agent, or brings it up to date."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import ValidationError

from mandate import exceptions
from mandate.services import agents
from shared_schemas.tools import Limits


class Command(BaseCommand):
    help = "Create an agent with an account of its own, or bring an existing one up to date."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--graph", required=True, help="the graph's name at the agent service")
        parser.add_argument("--model", required=True, help="the model that its runs use if they name none")
        parser.add_argument("--name", help="what people see; the slug otherwise")
        parser.add_argument("--description", default="")
        parser.add_argument("--tools", nargs="*", default=[], metavar="TOOL")
        parser.add_argument(
            "--permission",
            default="",
            help="what a person needs to start it, as app.codename; without it, everybody who signs in may",
        )
        parser.add_argument(
            "--priority",
            type=_priority,
            default=0,
            help="of its runs, from -100 to 100: where runs wait for a worker, the higher is first",
        )
        parser.add_argument("--limits", default="{}", help="as JSON, for example '{\"tool_calls\": 50}'")

    def handle(self, *, slug: str, graph: str, model: str, limits: str, **options: Any) -> None:
        try:
            agent = agents.ensure(
                slug,
                graph=graph,
                default_model=model,
                name=options["name"],
                description=options["description"],
                tools=options["tools"],
                start_permission=options["permission"],
                priority=options["priority"],
                limits=Limits.model_validate_json(limits),
            )
        except (exceptions.RequestRefused, ValidationError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The agent {agent.slug} acts as the user {agent.user.get_username()}.")


def _priority(text: str) -> int:
    if abs(priority := int(text)) > agents.URGENT:
        raise ArgumentTypeError(f"a priority is between -{agents.URGENT} and {agents.URGENT}")
    return priority
