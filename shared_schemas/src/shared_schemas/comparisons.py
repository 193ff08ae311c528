"""The people's API of comparisons: the same work given to several models."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import Field, JsonValue, field_validator

from shared_schemas import base, problems, runs

MAX_MODELS = 20

ModelName = Annotated[str, Field(min_length=1, max_length=100)]


class ComparisonCreate(base.Request):
    """`POST /api/agents/comparisons/`: an agent, its input, and the models; each gets a run of its own."""

    agent: str = Field(max_length=100)
    input: dict[str, JsonValue]
    models: list[ModelName] = Field(min_length=1, max_length=MAX_MODELS)
    name: str = Field(default="", max_length=200)
    """For people; the agent's name without it."""

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: list[str]) -> list[str]:
        if len(set(models)) < len(models):
            raise ValueError("Name each model once.")
        return models


class ModelFigures(base.Answer):
    """How one model did: speed, use, money, and what people made of its drafts."""

    model: str
    run_id: UUID
    status: runs.RunStatus
    error: problems.Failure | None = None
    seconds: float | None = Field(default=None, ge=0)
    """For how long workers had the run; waiting for people or in a queue does not count. Nothing before it ended."""

    first_token: float | None = Field(default=None, ge=0)
    """Seconds from the first question to the model until the first piece of its answer, if it was streamed."""

    calls: int = Field(default=0, ge=0)
    """Of the model."""

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cost: Decimal | None = None
    """Nothing where a price is not known."""

    drafts: int = Field(default=0, ge=0)
    """Records that the run made."""

    verified: int | None = Field(default=None, ge=0)
    """How many of them passed their check; nothing where no draft has one."""

    approved: int = Field(default=0, ge=0)
    rejected: int = Field(default=0, ge=0)
    similarity: float | None = Field(default=None, ge=0, le=1)
    """How much the approved drafts and what was published share: 1 where people changed nothing."""

    @property
    def verification_rate(self) -> float | None:
        return None if self.verified is None or not self.drafts else round(self.verified / self.drafts, 4)

    @property
    def approval_rate(self) -> float | None:
        """Return the share of the decided drafts that people approved."""
        decided = self.approved + self.rejected
        return round(self.approved / decided, 4) if decided else None


class Comparison(base.Answer):
    """A comparison, with the figures of each model."""

    comparison_id: int
    name: str
    agent: str
    input: dict[str, JsonValue]
    started_by: str
    created_at: datetime
    results: list[ModelFigures]


class ComparisonCreated(base.Answer):
    """202: all runs are kept and will be delivered."""

    comparison_id: int
    run_ids: list[UUID]
    """In the order of the models."""


class ComparisonPage(base.Answer):
    """`GET /api/agents/comparisons/`, newest first."""

    next: str | None = None
    previous: str | None = None
    results: list[Comparison]
