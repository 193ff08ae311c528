"""What a run's model calls used."""

from pydantic import Field

from shared_schemas import base


class ModelUsage(base.Answer):
    """The sum over one run's calls of one model."""

    model: str
    calls: int = Field(default=0, ge=0)
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
