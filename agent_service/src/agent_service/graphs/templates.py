"""Prompt templates: the Markdown files of a folder, read once, and their version by content."""

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from agent_service import exceptions

_VERSION_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Templates:
    """The templates of one graph, by the names of their files without the ending."""

    texts: Mapping[str, string.Template]

    def fill(self, name: str, values: Mapping[str, object], *, variant: str = "") -> str:
        """Return a template's text with its values; that of `{name}.{variant}` where there is one.

        Raises:
            KeyError: a value is missing.
        """
        return self.texts.get(f"{name}.{variant}", self.texts[name]).substitute(values)


def of_package(package: str) -> Templates:
    """Read the folder `templates` of a graph's package."""
    return Templates({name: string.Template(text) for name, text in read(folder_of(package)).items()})


def folder_of(package: str) -> Traversable:
    """Return the folder of a package's templates."""
    return resources.files(package) / "templates"


def read(folder: Traversable) -> dict[str, str]:
    """Return the texts of a folder's templates by name."""
    return {
        file.name.removesuffix(".md"): file.read_text()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".md")
    }


def version(folder: Traversable) -> str:
    """Return the version of a folder's templates: the same where every file's name and text are.

    Raises:
        ConfigurationError: the folder is not there, or holds no template.
    """
    texts = read(folder) if folder.is_dir() else {}
    if not texts:
        raise exceptions.ConfigurationError(f"{str(folder)!r} holds no prompt templates (*.md).")
    digest = hashlib.sha256()
    for name, text in texts.items():
        for part in (name, text):
            digest.update(f"{len(part)}:{part}".encode())
    return digest.hexdigest()[:_VERSION_LENGTH]
