"""What the models are told, from the files in `templates`."""

import string
from collections.abc import Sequence
from importlib import resources

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from agent_service.graphs.research import schemas

_TEMPLATES = {
    file.name.removesuffix(".md"): string.Template(file.read_text())
    for file in (resources.files(__package__) / "templates").iterdir()
    if file.name.endswith(".md")
}


def to_summarise(query: str, records: Sequence[schemas.Record]) -> list[AnyMessage]:
    """Ask for an answer."""
    return _asked("summarise", query, records)


def to_check(query: str, records: Sequence[schemas.Record]) -> list[AnyMessage]:
    """Ask what the records say, word by word."""
    return _asked("check", query, records)


def listed(records: Sequence[schemas.Record]) -> str:
    """Write the records as a model, or a person, reads them."""
    return "\n\n".join(
        f'[{record["ref"]}] {record["kind"]} "{record["title"]}" (rank {record["rank"]})\n{record["snippet"]}'
        for record in records
    )


def _asked(template: str, query: str, records: Sequence[schemas.Record]) -> list[AnyMessage]:
    question = _TEMPLATES[template].substitute(query=query, records=listed(records))
    return [SystemMessage(_TEMPLATES["system"].substitute()), HumanMessage(question)]
