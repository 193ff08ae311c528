"""Loads the course that comes with the project: lessons, students, and the agents that work with them."""

import json
from collections.abc import Mapping
from pathlib import Path

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import transaction
from rest_framework.authtoken.models import Token

from mandate.services import agents
from practice import models

FOLDER = Path(__file__).parent / "lessons"

AUTHOR = "practice-author"
AUTHOR_TOOLS = (
    "read_lesson",
    "read_profile",
    "add_tasks",
    "add_task_tests",
    "add_sql_tests",
    "add_task_solution",
    "verify_task",
    "publish_task",
)

TEAM = "practice-team"
"""The group that lets the next three agents work on each other's drafts."""

CONDITIONS, TESTS, SOLUTION = "practice-conditions", "practice-tests", "practice-solution"
TEAM_TOOLS = {
    CONDITIONS: ("read_lesson", "read_profile", "add_tasks"),
    TESTS: ("read_lesson", "read_profile", "read_task", "add_task_tests", "add_sql_tests"),
    SOLUTION: (
        "read_lesson",
        "read_profile",
        "read_task",
        "add_task_solution",
        "verify_task",
        "publish_task",
    ),
}
_TEAM_NAMES = {
    CONDITIONS: ("Task conditions", "Drafts several practice tasks for a lesson, in one pass."),
    TESTS: ("Task tests", "Writes the tests of a draft task from its text."),
    SOLUTION: (
        "Task solutions",
        "Writes a draft task's solution, runs it against the tests, and asks a person to publish what passes.",
    ),
}

RESEARCHER = "research"
RESEARCHER_TOOLS = ("search_course",)


@transaction.atomic
def load(*, default_model: str, folder: Path = FOLDER) -> Mapping[str, int]:
    """Create what is missing and bring up to date what is there; return how many of each kind there are."""
    course = json.loads((folder / "course.json").read_text())
    for module in course["modules"]:
        body = (folder / f"{module['slug']}.md").read_text()
        models.Module.objects.update_or_create(
            slug=module["slug"], defaults=module | {"body": body, "published": True}
        )
    for student in course["students"]:
        models.StudentProfile.objects.update_or_create(slug=student["slug"], defaults=student)
    _ensure_author(default_model)
    _ensure_team(default_model)
    _ensure_researcher(default_model)
    return {"lessons": len(course["modules"]), "students": len(course["students"])}


@transaction.atomic
def ensure_editor(username: str, *, password: str) -> str:
    """Make a person who may do everything, for trying things out, and return their token of the REST API."""
    editor, _ = get_user_model().objects.update_or_create(
        username=username, defaults={"is_staff": True, "is_superuser": True}
    )
    editor.set_password(password)
    editor.save()
    token, _ = Token.objects.get_or_create(user=editor)
    return str(token.key)


def _ensure_author(default_model: str) -> None:
    agents.ensure(
        AUTHOR,
        name="Practice author",
        description="Drafts practice tasks for a lesson, with tests and solutions that are run against them.",
        graph="practice_author",
        default_model=default_model,
        tools=AUTHOR_TOOLS,
        start_permission="practice.add_task",
    )


def _ensure_team(default_model: str) -> None:
    team, _ = Group.objects.get_or_create(name=TEAM)
    for slug, allowed in TEAM_TOOLS.items():
        name, description = _TEAM_NAMES[slug]
        agent = agents.ensure(
            slug,
            name=name,
            description=description,
            graph=slug.replace("-", "_"),
            default_model=default_model,
            tools=allowed,
            start_permission="practice.add_task",
        )
        agent.user.groups.add(team)


def _ensure_researcher(default_model: str) -> None:
    agents.ensure(
        RESEARCHER,
        name="Research",
        description="Answers questions from the course's lessons and tasks, and names the records it used.",
        graph="research",
        default_model=default_model,
        tools=RESEARCHER_TOOLS,
    )
