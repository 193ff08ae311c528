"""The services of the stack: their commands, and the environment each side is given.

Each side gets its own variables only, as an operator would set them.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared_schemas import keys

ROOT = Path(__file__).parents[1]
DJANGO_APP = ROOT / "django_app"

MODELS = {"OPENAI": "gpt-4.1-mini", "ANTHROPIC": "claude-sonnet-4-6", "GOOGLE": "gemini-3-flash-preview"}
"""A model of each provider, by what the provider's variables begin with."""

PROVIDERS = tuple(MODELS)

CATALOGUE = ROOT / "stack" / "models.json"
"""What runs may name, unless `MANDATE_MODELS` says otherwise; the prices are those of the providers' lists."""

SERVE_DJANGO = (
    *("-m", "uvicorn", "config.asgi:application"),
    *("--lifespan", "off", "--no-access-log", "--timeout-keep-alive", "75"),
)
"""As its image does."""

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SSL_CERT_FILE", "COVERAGE_PROCESS_START")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What is made once for a stack and kept beside its data."""

    django_secret_key: str = field(repr=False)
    django_signing_key: str = field(repr=False)
    agent_signing_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything of one stack is."""

    database_url: str = field(repr=False)
    agent_database_url: str = field(repr=False)
    django_port: int
    agent_port: int
    model_port: int | None
    """Of the scripted model server; none when a real provider is used."""

    secrets: Secrets
    providers: Sequence[str] = PROVIDERS
    """Whose models the scripted server plays."""

    graphs: str | None = None
    catalogue: str | None = None
    """A file with the models that runs may name; any, without one."""

    agent_options: Mapping[str, str] = field(default_factory=dict)
    """Further `AGENT_` variables."""

    @property
    def django_url(self) -> str:
        return f"http://127.0.0.1:{self.django_port}"

    @property
    def agent_url(self) -> str:
        return f"http://127.0.0.1:{self.agent_port}"

    def django_env(self) -> dict[str, str]:
        """Return the environment of Django's processes."""
        catalogue = {"MANDATE_MODELS": self.catalogue} if self.catalogue else {}
        return (
            _inherited()
            | catalogue
            | {
                "DATABASE_URL": self.database_url,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "DJANGO_SECRET_KEY": self.secrets.django_secret_key,
                "MANDATE_SIGNING_KEY": self.secrets.django_signing_key,
                "MANDATE_TRUSTED_KEYS": keys.parse_signing(self.secrets.agent_signing_key).public_text(),
                "MANDATE_AGENT_URL": self.agent_url,
            }
        )

    def agent_env(self) -> dict[str, str]:
        """Return the environment of the agent service's processes."""
        graphs = {"AGENT_GRAPHS": self.graphs} if self.graphs else {}
        return (
            _inherited()
            | self._provider_env()
            | {
                "AGENT_DATABASE_URL": self.agent_database_url,
                "AGENT_SIGNING_KEY": self.secrets.agent_signing_key,
                "AGENT_TRUSTED_KEYS": keys.parse_signing(self.secrets.django_signing_key).public_text(),
                "AGENT_DJANGO_URL": self.django_url,
                "AGENT_PORT": str(self.agent_port),
            }
            | graphs
            | dict(self.agent_options)
        )

    def _provider_env(self) -> dict[str, str]:
        if self.model_port is None:
            names = [f"{provider}{what}" for provider in PROVIDERS for what in ("_API_KEY", "_BASE_URL")]
            return {name: os.environ[name] for name in names if name in os.environ}
        scripted = f"http://127.0.0.1:{self.model_port}"
        given = {f"{provider}_API_KEY": "none-needed" for provider in self.providers}
        return given | {
            "OPENAI_BASE_URL": f"{scripted}/v1",
            "ANTHROPIC_BASE_URL": scripted,
            "GOOGLE_BASE_URL": scripted,
        }


def has_provider() -> bool:
    """Tell whether the environment names a real provider of models."""
    return any(_has_key(provider) for provider in PROVIDERS)


def models() -> list[str]:
    """Return a model of each provider that can be asked: those with a key, or all that the scripted server plays."""
    return [model for provider, model in MODELS.items() if _has_key(provider) or not has_provider()]


def catalogue() -> str:
    """Return the file with the models that runs may name."""
    given = os.environ.get("MANDATE_MODELS")
    return str(Path(given).resolve() if given else CATALOGUE)


def manage(*arguments: str) -> list[str]:
    """Return a command of Django."""
    return [sys.executable, "manage.py", *arguments]


def django(layout: Layout) -> list[str]:
    """Return the command of Django's ASGI server; it runs in `DJANGO_APP`."""
    return [sys.executable, *SERVE_DJANGO, "--host", "127.0.0.1", "--port", str(layout.django_port)]


def agent(*arguments: str) -> list[str]:
    """Return a command of the agent service."""
    return [sys.executable, "-m", "agent_service", *arguments]


def model_server(port: int, *arguments: str) -> list[str]:
    """Return the command of the scripted model server."""
    return [sys.executable, "-m", "agent_service.testing.model_server", "--port", str(port), *arguments]


def _has_key(provider: str) -> bool:
    return bool(os.environ.get(f"{provider}_API_KEY"))


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"PYTHONUNBUFFERED": "1"}
