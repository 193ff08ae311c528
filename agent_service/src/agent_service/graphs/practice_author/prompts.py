"""What the models are told, from the files in `templates`."""

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from agent_service.graphs import templates
from agent_service.graphs.practice_author import schemas

_TEMPLATES = templates.of_package(__package__)
_END_OF_LESSON = re.compile(r"<\s*/\s*lesson\s*>", re.IGNORECASE)


def to_draft(
    material: schemas.Material, *, count: int, written: templates.Templates = _TEMPLATES
) -> list[AnyMessage]:
    """Ask for the tasks of a lesson."""
    return _asked(written, material, "draft", count=count, module_id=material["lesson"]["module_id"])


def to_test(
    material: schemas.Material, task: schemas.Draft, *, written: templates.Templates = _TEMPLATES
) -> list[AnyMessage]:
    """Ask for a task's tests."""
    return _asked(written, material, "tests", **task)


def to_solve(
    material: schemas.Material,
    task: schemas.Draft,
    tests: Sequence[Any],
    *,
    written: templates.Templates = _TEMPLATES,
) -> list[AnyMessage]:
    """Ask for a task's solution."""
    return _asked(written, material, "solution", tests=_lines(tests), **task)


def to_repair(
    material: schemas.Material,
    task: schemas.Draft,
    tests: Sequence[Any],
    failures: Sequence[Any],
    *,
    written: templates.Templates = _TEMPLATES,
) -> list[AnyMessage]:
    """Ask for what is wrong to be put right."""
    return _asked(written, material, "repair", tests=_lines(tests), failures=_lines(failures), **task)


def to_choose(material: schemas.Material, tasks: Sequence[schemas.Draft]) -> list[AnyMessage]:
    """Ask which task to publish."""
    listed = "\n".join(f'- Task {task["task_id"]}: "{task["title"]}"' for task in tasks)
    return _asked(_TEMPLATES, material, "choose", tasks=listed)


def _asked(
    written: templates.Templates, material: schemas.Material, template: str, **values: Any
) -> list[AnyMessage]:
    lesson, student = material["lesson"], material["student"]
    about = "not known; write for a beginner."
    if student is not None:
        about = f"{student['name']}, {student['level']}. {student['goals']} {student['notes']}"
    system = written.fill("author", {**lesson, "body": _quoted(lesson["body"]), "student": about})
    return [
        SystemMessage(system),
        HumanMessage(written.fill(template, values, variant=lesson["language"])),
    ]


def _quoted(body: str) -> str:
    # What stands in a lesson must not end the lesson.
    return _END_OF_LESSON.sub("(end of lesson)", body)


def _lines(values: Sequence[Any]) -> str:
    return "\n".join(f"- {json.dumps(value, ensure_ascii=False)}" for value in values)
