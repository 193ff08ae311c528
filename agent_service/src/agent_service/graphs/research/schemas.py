"""What the graph is given, what it keeps, and what it answers."""

from typing import Annotated, Any

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict


class Query(BaseModel):
    """The input."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=20_000, description="The question.")


class Record(TypedDict):
    """One record that the search found."""

    ref: str
    """What it is cited by."""

    kind: str
    id: int
    title: str
    lesson: str
    rank: float
    snippet: str


class ResearchSummary(BaseModel):
    """An answer to the question, from the records alone."""

    answer: str = Field(
        min_length=1, max_length=4000, description="The answer in a few plain sentences, without markup."
    )
    refs: list[str] = Field(
        min_length=1, max_length=20, description="The references of the records it rests on: 'lesson-1'."
    )


class Finding(BaseModel):
    """One thing that a record says about the question."""

    claim: str = Field(min_length=1, max_length=500, description="What the record says, in one sentence.")
    ref: str = Field(description="The reference of the record that says it: 'lesson-1'.")
    quote: str = Field(min_length=1, max_length=500, description="The record's own words for it, unchanged.")


class ResearchFindings(BaseModel):
    """What the records say about the question."""

    findings: list[Finding] = Field(
        min_length=1, max_length=10, description="One entry for each thing that bears on the question."
    )


class Verdict(TypedDict):
    """Whether the answer holds to the records."""

    passed: bool
    reasons: list[str]
    """Why it did not pass."""


class Result(TypedDict):
    """The output."""

    query: str
    answer: str
    citations: list[Record]
    findings: list[dict[str, str]]
    verdict: Verdict
    error: str | None
    """What went wrong on the way, where something did: `answer` then says what is left."""


class Answer(TypedDict):
    """What the caller sees of the state at the end."""

    result: Result
    messages: Annotated[list[AnyMessage], add_messages]


class State(Answer):
    """The whole job."""

    query: str
    records: list[Record]
    summary: dict[str, Any] | None
    """A `ResearchSummary`: a state holds plain data."""

    findings: dict[str, Any] | None
    """`ResearchFindings`."""

    summary_fault: str | None
    """Why there is no summary."""

    findings_fault: str | None
    verdict: Verdict
