"""What the graph is given, what it keeps, and what it answers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from agent_service.graphs.practice_author import schemas


class Assignment(BaseModel):
    """The input: a task that has no tests yet, or needs others."""

    model_config = ConfigDict(extra="forbid")

    task_id: int = Field(ge=1, description="The task to write tests for.")
    student_id: int | None = Field(default=None, ge=1, description="The student to write for, if for one.")


class Result(TypedDict):
    """The output."""

    id: int
    tests: int
    """How many there are."""


class Answer(TypedDict):
    """What the caller sees of the state at the end."""

    result: Result


class State(Answer):
    """The whole job."""

    task_id: int
    student_id: int | None
    material: schemas.Material
    task: schemas.Draft
    tests: list[Any]
    failures: list[Any]
