"""Reads a `langgraph.json` and imports what it names.

The forms are those of LangGraph's own command line: `./file.py:variable` and `module.path:variable`.
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_service import exceptions

BUNDLED = Path(__file__).with_name("langgraph.json")


class Declaration(BaseModel):
    """The part of a `langgraph.json` that says which graphs there are."""

    model_config = ConfigDict(extra="ignore")

    graphs: dict[str, str] = Field(min_length=1)


def load(path: Path) -> dict[str, Any]:
    """Return what each graph's name stands for.

    Raises:
        ConfigurationError: a file cannot be read, or does not hold what it should.
    """
    return {name: _find(name, place, path.parent) for name, place in _read(path).graphs.items()}


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
