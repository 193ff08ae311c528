"""The people's API of figures: what all runs came to, by agent and model, and by version of the prompts."""

from decimal import Decimal

from pydantic import Field

from shared_schemas import base, prompts


class ModelFigures(base.Answer):
    """What the runs of one agent with one model came to."""

    agent: str
    agent_id: int
    agent_name: str
    model: str
    runs: int = Field(ge=0)
    completed: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    completion_rate: float | None = Field(default=None, ge=0, le=1)
    """The share that completed of those which completed or failed."""

    first_token: float | None = Field(default=None, ge=0)
    """Seconds until the first piece of a run's first answer, on average, where it was streamed."""

    seconds: float | None = Field(default=None, ge=0)
    """That workers had a run which ended, on average."""

    tokens: int | None = Field(default=None, ge=0)
    """In and out, of a run, on average."""

    cost: Decimal | None = None
    """Of a run on average; runs without a known price do not count."""

    drafts: int = Field(default=0, ge=0)
    """Records that the runs made."""

    verified: int | None = Field(default=None, ge=0)
    """How many of them passed their check; nothing where no draft has one."""

    verification_rate: float | None = Field(default=None, ge=0, le=1)
    approved: int = Field(default=0, ge=0)
    rejected: int = Field(default=0, ge=0)
    approval_rate: float | None = Field(default=None, ge=0, le=1)
    """The share of the decided drafts that people approved; nothing where none is decided."""

    similarity: float | None = Field(default=None, ge=0, le=1)
    """How much the approved drafts and what was published share: 1 where people changed nothing."""


class Figures(base.Answer):
    """`GET /api/agents/figures/`."""

    models: list[ModelFigures]
    """By agent and model."""

    prompts: list[prompts.PromptFigures]
    """By agent, the version that was used last first; `since` does not narrow them."""
