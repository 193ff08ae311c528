"""The people's API of prompt versions: what people made of the drafts that each version led to."""

from pydantic import Field

from shared_schemas import base


class PromptFigures(base.Answer):
    """How the runs of one agent did with one version of its prompts."""

    agent: str
    prompt_version: str
    """Of the templates' content, as the agent service says."""

    runs: int = Field(ge=0)
    completed: int = Field(default=0, ge=0)
    drafts: int = Field(default=0, ge=0)
    """Records that the runs made."""

    verified: int | None = Field(default=None, ge=0)
    """How many of them passed their check; nothing where no draft has one."""

    verification_rate: float | None = Field(default=None, ge=0, le=1)
    approved: int = Field(default=0, ge=0)
    rejected: int = Field(default=0, ge=0)
    similarity: float | None = Field(default=None, ge=0, le=1)
    """How much the approved drafts and what was published share: 1 where people changed nothing."""

    approval_rate: float | None = Field(default=None, ge=0, le=1)
    """The share of the decided drafts that people approved; nothing where none is decided."""


class PromptVersions(base.Answer):
    """`GET /api/agents/prompt-versions/`, by agent, the version that was used last first."""

    results: list[PromptFigures]
