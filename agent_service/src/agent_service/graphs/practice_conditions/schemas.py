"""What the graph keeps, and what it answers. It is given an author's assignment."""

from typing_extensions import TypedDict

from agent_service.graphs.practice_author import schemas


class Drafted(TypedDict):
    """A task that was drafted."""

    id: int
    title: str


class Result(TypedDict):
    """The output."""

    tasks: list[Drafted]


class Answer(TypedDict):
    """What the caller sees of the state at the end."""

    result: Result


class State(Answer):
    """The whole job."""

    module_id: int
    student_id: int | None
    count: int
    material: schemas.Material
