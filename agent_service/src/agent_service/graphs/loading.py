"""Reads a `langgraph.json` and imports what it names.

The forms are those of LangGraph's own command line: `./file.py:variable` and `module.path:variable`.
"""

import importlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent_service import exceptions
from agent_service.graphs import templates

BUNDLED = Path(__file__).with_name("langgraph.json")


class Rules(BaseModel):
    """How the runs of one graph are worked on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int | None = Field(default=None, ge=1)
    """Runs of it at a time, over all workers."""

    timeout: float | None = Field(default=None, gt=0)
    """Seconds that a run may be worked on, instead of `AGENT_RUN_TIMEOUT`."""

    prompts: str | None = None
    """The folder of its prompt templates, from the file's own; each run notes the version of what is in it."""


class Own(BaseModel):
    """What this service alone reads in a `langgraph.json`."""

    model_config = ConfigDict(extra="forbid")

    graphs: dict[str, Rules] = {}


class Declaration(BaseModel):
    """The part of a `langgraph.json` that says which graphs there are."""

    model_config = ConfigDict(extra="ignore")

    graphs: dict[str, str] = Field(min_length=1)
    mandate: Own = Own()

    @model_validator(mode="after")
    def _rules_are_for_graphs(self) -> Self:
        if unknown := sorted(self.mandate.graphs.keys() - self.graphs.keys()):
            raise ValueError(f"'mandate' has rules for {unknown}, and there are no such graphs")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a `langgraph.json` names."""

    sources: dict[str, Any]
    """What each graph's name stands for."""

    rules: dict[str, Rules]
    """For the graphs that have some."""

    prompt_versions: dict[str, str]
    """For the graphs whose rules name a folder of prompts."""


def load(path: Path) -> Loaded:
    """Return the graphs of a file, with what is said of them.

    Raises:
        ConfigurationError: a file cannot be read, or does not hold what it should.
    """
    declared = _read(path)
    rules = declared.mandate.graphs
    return Loaded(
        sources={name: _find(name, place, path.parent) for name, place in declared.graphs.items()},
        rules=rules,
        prompt_versions={
            name: templates.version(path.parent / rule.prompts)
            for name, rule in rules.items()
            if rule.prompts
        },
    )


def _read(path: Path) -> Declaration:
    try:
        return Declaration.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise exceptions.ConfigurationError(f"Graphs cannot be read from {str(path)!r}: {error}") from error


def _find(name: str, place: str, folder: Path) -> Any:
    source, _, variable = place.rpartition(":")
    try:
        module = _import_file(folder / source) if source.endswith(".py") else importlib.import_module(source)
        return getattr(module, variable)
    except Exception as error:
        # Anything may go wrong in a module of somebody else's; the service does not start then.
        raise exceptions.ConfigurationError(
            f"Graph {name!r} cannot be loaded from {place!r}: {type(error).__name__}: {error}"
        ) from error


def _import_file(file: Path) -> ModuleType:
    file = file.resolve()
    name = f"mandate_graph_{file.stem}_{abs(hash(file)):x}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(file)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Types that the file defines are looked up by module name when annotations are resolved.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
