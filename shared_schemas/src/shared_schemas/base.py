"""How a message treats fields it does not know."""

from pydantic import BaseModel, ConfigDict


class Request(BaseModel):
    """A request to one of our own endpoints: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Answer(BaseModel):
    """An answer: unknown fields are ignored, so that either side may be deployed first."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)
