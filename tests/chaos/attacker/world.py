"""Whom the attacker must not reach, and what each sequence of its calls is given."""

import random
import uuid
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from pydantic import BaseModel

from mandate import models, testing, tools
from practice.models import Module, Task
from shared_schemas.tools import Limits

SECRET = "s3cret-that-no-answer-may-hold"
TESTS = [{"input": "total([1])", "expected": 1}]
GRANTED = ("read_lesson", "add_tasks", "add_task_tests", "add_task_solution", "publish_task", "own_tasks")
WITHHELD = ("read_profile", "verify_task", "read_everything")
"""Declared, and not in the mandate of any run of the attacker."""


class Nothing(tools.Schema):
    """No arguments."""


class Texts(BaseModel):
    texts: list[str]


def read_everything(_context: tools.Context, _call: Nothing) -> Texts:
    """Read all there is."""
    return Texts(texts=list(Task.objects.values_list("text", flat=True)))


def own_tasks(context: tools.Context, _call: Nothing) -> Texts:
    """Read your own tasks."""
    return Texts(texts=list(context.owned(Task).values_list("text", flat=True)))


def declare() -> None:
    """Declare what the practice domain has no tool for."""
    tools.tool(scope="practice:read", effect=tools.Effect.READ)(read_everything)
    tools.tool(scope="practice:read", effect=tools.Effect.READ)(own_tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """Everybody else's records; no call of the attacker may read or change one."""

    lesson: Module
    hidden: Module
    """Not published."""

    tasks: list[Task]
    run: models.Run
    key: str
    """Of a call in that run; its answer is a secret."""

    person: User
    approver: User


def make_others() -> Others:
    """Make another agent with drafts, a person's own task, and a run with an answered call."""
    lesson = _lesson("open", "A lesson that everybody may read.", published=True)
    hidden = _lesson("hidden", SECRET, published=False)
    person = User.objects.create_user("person", password=None)
    victim = testing.make_agent(*GRANTED)
    run, key = testing.start_run(victim, by=person), testing.new_key()
    drafts = [{"title": f"Theirs {SECRET}", "text": SECRET}]
    testing.call_tool("add_tasks", {"module_id": lesson.pk, "tasks": drafts}, run=run, key=key)
    return Others(
        lesson=lesson,
        hidden=hidden,
        tasks=[
            *Task.objects.filter(ai_user=victim.user),
            _task(lesson, victim.user, SECRET, verified=True),
            _task(lesson, None, SECRET, verified=True),
        ],
        run=run,
        key=key,
        person=person,
        approver=User.objects.create_superuser("approver", password=None),
    )


@dataclass(slots=True, kw_only=True)
class Mandate:
    """One run of the attacker."""

    run: models.Run
    token: str = field(repr=False)
    limits: Limits
    tasks: list[Task]
    """Its own at the beginning: a draft, and one that may be published."""


def make_mandate(others: Others, chance: random.Random) -> Mandate:
    """Give the attacker an account, two tasks and a run; what is withheld is withheld in one of three ways."""
    agent = testing.make_agent(*GRANTED)
    limits = Limits(
        tool_calls=chance.choice([None, 4, 12]),
        writes=chance.choice([None, 2, 5]),
        calls_per_tool=chance.choice([{}, {"add_tasks": 1}, {"publish_task": 1, "own_tasks": 1}]),
    )
    run_tools = [*GRANTED]
    match chance.randrange(3):
        case 1:
            models.Agent.objects.filter(pk=agent.pk).update(tools=[*GRANTED, *WITHHELD])
        case 2:
            run_tools += WITHHELD
    fields = {"tools": run_tools, "limits": limits.model_dump(mode="json", exclude_none=True)}
    run = testing.start_run(agent, by=others.person, **fields)
    tasks = [
        _task(others.lesson, agent.user, "Its own draft."),
        _task(others.lesson, agent.user, "Its own.", verified=True),
    ]
    return Mandate(run=run, token=testing.token_of(run), limits=limits, tasks=tasks)


def _lesson(slug: str, body: str, *, published: bool) -> Module:
    return Module.objects.create(slug=slug, title=slug, language="python", body=body, published=published)


def _task(module: Module, owner: User | None, text: str, *, verified: bool = False) -> Task:
    return Task.objects.create(
        module=module,
        title=uuid.uuid4().hex,
        text=text,
        ai_user=owner,
        tests=TESTS if verified else [],
        verified=verified,
        verdict={"passed": True} if verified else None,
    )
