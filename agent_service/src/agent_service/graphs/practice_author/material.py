"""What is read before anything is written: the lesson, the student, and a task that is there already."""

from typing import Any

from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from agent_service import exceptions
from agent_service.graphs.practice_author import schemas
from agent_service.tools import binding
from shared_schemas.problems import ErrorCode


class Found(TypedDict):
    """A task that is there already."""

    material: schemas.Material
    task: schemas.Draft
    tests: list[Any]
    failures: list[Any]
    """What was wrong when its solution ran against these tests."""


async def of_lesson(runtime: Runtime[Any], *, module_id: int, student_id: int | None) -> schemas.Material:
    """Read a lesson and, if there is one, the student's profile."""
    lesson = await _read(runtime, "read_lesson", {"module_id": module_id})
    if not lesson["body"].strip():
        raise exceptions.RunFailed(
            ErrorCode.INVALID_REQUEST, f"Lesson {module_id} is empty; there is nothing to write from."
        )
    student = None
    if student_id is not None:
        student = await _read(runtime, "read_profile", {"student_id": student_id})
    return {"lesson": lesson, "student": student}


async def of_task(runtime: Runtime[Any], *, task_id: int, student_id: int | None) -> Found:
    """Read a task with its tests, its lesson and, if there is one, the student's profile."""
    task = await _read(runtime, "read_task", {"task_id": task_id})
    material = await of_lesson(runtime, module_id=task["module_id"], student_id=student_id)
    draft = schemas.Draft(task_id=task_id, title=task["title"], text=task["text"])
    return Found(material=material, task=draft, tests=task["tests"], failures=task.get("failures", []))


async def _read(runtime: Runtime[Any], tool: str, arguments: dict[str, int]) -> Any:
    answer = await binding.call_from_node(runtime, tool, arguments, step=tool)
    if answer.truncated:
        raise exceptions.RunFailed(
            ErrorCode.TOOL_FAILED, f"The answer of {tool!r} is too large to write from: {answer.note}"
        )
    return answer.result
