"""The people's API of how good agents' drafts were."""

from pydantic import Field

from shared_schemas import base


class Quality(base.Answer):
    """What people made of the drafts that one agent wrote with one model."""

    agent: str
    model: str | None = None
    """Nothing where the ledger no longer told."""

    reviews: int
    approved: int
    rejected: int
    unchanged: int
    """Approved exactly as the agent wrote them."""

    similarity: float | None = Field(default=None, ge=0, le=1)
    """How much of both texts, drafted and published, they share, over all that were approved."""


class QualityList(base.Answer):
    """`GET /api/agents/quality/`."""

    results: list[Quality]
