"""What the models are told, from the files in `templates`."""

import json
import string
from collections.abc import Sequence
from importlib import resources
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from agent_service.graphs.practice_author import schemas

_TEMPLATES = {
    file.name.removesuffix(".md"): string.Template(file.read_text())
    for file in (resources.files(__package__) / "templates").iterdir()
    if file.name.endswith(".md")
}


def to_draft(material: schemas.Material, *, count: int) -> list[AnyMessage]:
    """Ask for the tasks of a lesson."""
    return _asked(material, "draft", count=count, module_id=material["lesson"]["module_id"])


def to_test(material: schemas.Material, task: schemas.Draft) -> list[AnyMessage]:
    """Ask for a task's tests."""
    return _asked(material, "tests", **task)


def to_solve(material: schemas.Material, task: schemas.Draft, tests: Sequence[Any]) -> list[AnyMessage]:
    """Ask for a task's solution."""
    return _asked(material, "solution", tests=_lines(tests), **task)


def to_repair(
    material: schemas.Material, task: schemas.Draft, tests: Sequence[Any], failures: Sequence[Any]
) -> list[AnyMessage]:
    """Ask for what is wrong to be put right."""
    return _asked(material, "repair", tests=_lines(tests), failures=_lines(failures), **task)


def to_choose(material: schemas.Material, tasks: Sequence[schemas.Draft]) -> list[AnyMessage]:
    """Ask which task to publish."""
    listed = "\n".join(f'- Task {task["task_id"]}: "{task["title"]}"' for task in tasks)
    return _asked(material, "choose", tasks=listed)


def _asked(material: schemas.Material, template: str, **values: Any) -> list[AnyMessage]:
    lesson, student = material["lesson"], material["student"]
    about = "not known; write for a beginner."
    if student is not None:
        about = f"{student['name']}, {student['level']}. {student['goals']} {student['notes']}"
    system = _TEMPLATES["author"].substitute(lesson, student=about)
    question = _TEMPLATES.get(f"{template}.{lesson['language']}", _TEMPLATES[template])
    return [SystemMessage(system), HumanMessage(question.substitute(values))]


def _lines(values: Sequence[Any]) -> str:
    return "\n".join(f"- {json.dumps(value, ensure_ascii=False)}" for value in values)
