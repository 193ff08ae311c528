"""Reads the project's settings from environment variables; a missing one stops the start by name."""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


def text(name: str, *, hint: str) -> str:
    """Return a variable that must be set.

    Raises:
        ImproperlyConfigured: it is not; the message carries `hint`.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise ImproperlyConfigured(f"Set the environment variable {name}: {hint}")
    return value


def optional(name: str) -> str | None:
    """Return a variable that may be left out."""
    return os.environ.get(name, "").strip() or None


def listing(name: str, default: str = "") -> list[str]:
    """Return a comma-separated variable."""
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def flag(name: str) -> bool:
    """Return a yes-or-no variable; unset is no.

    Raises:
        ImproperlyConfigured: it is neither.
    """
    value = os.environ.get(name, "").strip().lower()
    if value not in _TRUE | _FALSE:
        raise ImproperlyConfigured(f"{name} must be 'true' or 'false', not {value!r}.")
    return value in _TRUE


def document(name: str) -> dict[str, Any]:
    """Return the JSON object in the file that a variable names; unset is an empty one.

    Raises:
        ImproperlyConfigured: there is no such file, or no object in it.
    """
    path = optional(name)
    try:
        found = json.loads(Path(path).read_text()) if path else {}
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"{name} must name a file of JSON: {error}") from None
    if not isinstance(found, dict):
        raise ImproperlyConfigured(f"{name} must name a file with a JSON object in it.")
    return found


def database(name: str) -> dict[str, Any]:
    """Return Django's database settings from `postgresql://user:password@host:port/name?option=value`.

    A `host` option that is a folder is the folder of a Unix socket.

    Raises:
        ImproperlyConfigured: the variable is not such an address.
    """
    url = urlsplit(text(name, hint="the address of PostgreSQL, postgresql://user:password@host:port/name"))
    if url.scheme not in {"postgres", "postgresql"} or not url.path.strip("/"):
        raise ImproperlyConfigured(f"{name} must look like postgresql://user:password@host:port/name.")
    options = {key: values[-1] for key, values in parse_qs(url.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path.strip("/")),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": options.pop("host", url.hostname or ""),
        "PORT": str(url.port or ""),
        "OPTIONS": options,
    }
