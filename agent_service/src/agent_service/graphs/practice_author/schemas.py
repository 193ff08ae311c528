"""What the graph is given, what it keeps, and what it answers."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict


class Assignment(BaseModel):
    """The input: a lesson, and for whom to write."""

    model_config = ConfigDict(extra="forbid")

    module_id: int = Field(ge=1, title="Lesson", description="The lesson to write practice tasks for.")
    student_id: int | None = Field(default=None, ge=1, description="The student to write for, if for one.")
    count: int = Field(
        default=3, ge=1, le=10, title="Number of tasks", description="How many tasks to draft."
    )


class Lesson(TypedDict):
    """A lesson as Django gives it."""

    module_id: int
    title: str
    language: str
    body: str


class Student(TypedDict):
    """A student's profile as Django gives it."""

    name: str
    level: str
    goals: str
    notes: str


class Material(TypedDict):
    """What every prompt is written from."""

    lesson: Lesson
    student: Student | None


class Draft(TypedDict):
    """A task that is kept in Django, without tests or solution."""

    task_id: int
    title: str
    text: str


class Report(TypedDict):
    """How a task turned out."""

    id: int
    title: str
    verified: bool


class Result(TypedDict):
    """The output."""

    tasks: list[Report]
    published: list[int]
    declined: list[int]
    """Tasks that a person did not want published."""


def _latest(old: list[Report], new: list[Report]) -> list[Report]:
    """Keep one report of each task, in the order of their ids."""
    reports = {report["id"]: report for report in [*old, *new]}
    return [reports[task_id] for task_id in sorted(reports)]


class Answer(TypedDict):
    """What the caller sees of the state at the end."""

    result: Result


class State(Answer):
    """The whole job."""

    module_id: int
    student_id: int | None
    count: int
    material: Material
    drafts: list[Draft]
    reports: Annotated[list[Report], _latest]
    choice: int | None
    """The task to publish; none if no solution passed."""


class TaskAnswer(TypedDict):
    """What comes back from one task; nothing else, for several come back at once."""

    reports: Annotated[list[Report], _latest]


class TaskState(TaskAnswer):
    """One task on its way; several run side by side."""

    material: Material
    task: Draft
    position: int
    """The task's place among the drafts: what tells the parallel tasks' calls apart."""

    tests: list[Any]
    round: int
    """Counts the verifications."""

    failures: list[Any]


class Choice(TypedDict):
    """The task to publish first."""

    task_id: Annotated[int, Field(description="The number of the task.")]
    reason: Annotated[str, Field(description="Why this one, in one sentence.")]
