"""What the graph is given, what it keeps, and what it answers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from agent_service.graphs.practice_author import schemas


class Assignment(BaseModel):
    """The input: a task that has its tests."""

    model_config = ConfigDict(extra="forbid")

    task_id: int = Field(ge=1, description="The task to solve.")
    student_id: int | None = Field(default=None, ge=1, description="The student to write for, if for one.")


class Result(TypedDict):
    """The output: the verdict, with the failing cases."""

    id: int
    title: str
    verified: bool
    failures: list[Any]
    published: bool | None
    """Whether the person who was asked said yes; nothing, if nobody was asked."""


class Answer(TypedDict):
    """What the caller sees of the state at the end."""

    result: Result


class State(schemas.TaskState, Answer):
    """The whole job."""

    task_id: int
    student_id: int | None
    published: bool | None
