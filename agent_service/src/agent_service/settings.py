"""What the environment says: variables of the prefix `AGENT_`, and the model providers' own names."""

import logging
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agent_service import exceptions
from shared_schemas import crashing, keys

WEBHOOK_PATH = "/api/agents/webhooks/"

_KEY_FIELDS = frozenset({"AGENT_SIGNING_KEY", "AGENT_TRUSTED_KEYS"})


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _seconds(value: Any) -> Any:
    # pydantic reads ISO 8601 and HH:MM:SS from a text; an operator writes plain seconds.
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("A duration must be longer than nothing.")
    return value


def _base_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("An address must start with http:// or https://.")
    return value.rstrip("/")


def _signing_key(value: Any) -> Any:
    return keys.parse_signing(value) if isinstance(value, str) else value


def _trusted_keys(value: Any) -> Any:
    return keys.parse_trusted(_split(value)) if isinstance(value, str) else value


def _crash_points(value: str) -> str:
    crashing.check(value)
    return value


def _log_level(value: str) -> str:
    if value.upper() not in logging.getLevelNamesMapping():
        raise ValueError("A log level is DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    return value.upper()


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
BaseUrls = Annotated[tuple[BaseUrl, ...], NoDecode, BeforeValidator(_split)]


class Pruning(StrEnum):
    """Of which runs only the latest checkpoint is kept."""

    MANDATE = "mandate"
    """Of those with a mandate: other clients go back in a thread's history, and fork from it."""

    ALWAYS = "always"
    NEVER = "never"


class Rate(BaseModel):
    """How often one process may ask a provider."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)


class Settings(BaseSettings):
    """Everything that an operator may set. Built once, passed down."""

    model_config = SettingsConfigDict(
        env_prefix="AGENT_",
        env_ignore_empty=True,
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
    )

    database_url: SecretStr
    """PostgreSQL of this service: `postgresql://user:password@host/name`, or with `?host=/socket/folder`."""

    database_direct_url: SecretStr | None = None
    """The same database without the pooler, for what needs a session of its own: LISTEN, locks, migrations.

    Set it where `AGENT_DATABASE_URL` is a pooler that gives each transaction any connection.
    """

    signing_key: Annotated[keys.SigningKey, NoDecode, BeforeValidator(_signing_key)]
    """This service's private key; `agent-service keys` makes one."""

    trusted_keys: Annotated[keys.TrustedKeys, NoDecode, BeforeValidator(_trusted_keys)]
    """Django's public keys, separated by commas: two at a time while one is being changed."""

    django_url: BaseUrl
    """Base address of Django, where tools are called and webhooks go."""

    webhook_urls: Texts = ()
    """Addresses that a run may name for its webhook; Django's alone by default. The first is the default."""

    graphs: Path | None = None
    """A `langgraph.json`; the bundled graphs by default."""

    host: str = "127.0.0.1"
    port: int = Field(default=8123, ge=0, le=65535)

    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Where Prometheus is answered, by each process, without a token; nowhere by default."""

    pool_min_size: int = Field(default=2, ge=1)
    pool_max_size: int = Field(default=20, ge=2)
    """Connections of one process, beside the one that listens and the one of a worker's pulse."""

    pool_timeout: Duration = timedelta(seconds=10)
    """How long a request waits for a connection before it is answered 503."""

    concurrency: int = Field(default=100, ge=1)
    """Runs that one worker process works on at the same time."""

    total_concurrency: int | None = Field(default=None, ge=1)
    """Runs at the same time over all workers, without those of graphs that have a limit of their own."""

    heartbeat_timeout: Duration = timedelta(seconds=6)
    """A worker that is silent for so long is taken for dead, and its runs go on elsewhere."""

    max_attempts: int = Field(default=3, ge=1)
    """How often a run is tried: again where its worker died, or a model or tool was away. Then it fails."""

    retry_delay: Duration = timedelta(seconds=5)
    """Longest pause before a run is tried again, doubled for each time; a provider may ask for more."""

    run_timeout: Duration = timedelta(minutes=5)
    """How long a run may be worked on, all attempts together; what it waits in between does not count."""

    recursion_limit: int = Field(default=100, ge=1)
    """Supersteps of one run."""

    max_output_tokens: int = Field(default=16_384, ge=1)
    """Longest answer of a model, in runs whose tokens or money are limited."""

    rate_limits: dict[str, Rate] = {}
    """By provider, for each process: `{"openai": {"requests_per_minute": 500}}`. Calls wait; none fails."""

    drain_timeout: Duration = timedelta(seconds=25)
    """How long a worker that is told to stop waits for its runs to reach the end of a superstep."""

    prune_checkpoints: Pruning = Pruning.MANDATE
    """Of which runs only the latest checkpoint is kept when they end."""

    checkpoint_retention: Duration = timedelta(days=30)
    """When a thread has rested for so long, only its latest checkpoint is kept, unless none is ever removed."""

    webhook_retention: Duration = timedelta(days=30)
    """How long delivered and abandoned webhooks can be looked at, and delivered again."""

    event_retention: Duration = timedelta(days=7)
    """How long the events of ended runs can be replayed."""

    stream_heartbeat: Duration = timedelta(seconds=5)
    """How often an idle stream or wait says that it is alive."""

    stream_patience: Duration = timedelta(seconds=30)
    """How long a client may leave a stream unread before it is dropped."""

    streams: int = Field(default=2000, ge=1)
    """Streams and waits that one process serves at the same time."""

    streams_per_caller: int = Field(default=200, ge=1)
    """The same for one subject."""

    streams_per_run: int = Field(default=50, ge=1)
    """The same for one run, and for one thread."""

    cors_origins: Texts = ()
    """Origins of pages whose scripts may call the service, separated by commas; `*` is all of them."""

    max_body_bytes: int = Field(default=256 * 1024, ge=1024)
    """Largest JSON body of a request."""

    log_level: Annotated[str, AfterValidator(_log_level)] = "INFO"

    environment: Literal["production", "test"] = "production"
    """What the service is for. `test` allows the next two, and changes nothing else."""

    crash_points: Annotated[str, AfterValidator(_crash_points)] = ""
    """Where this process dies, for tests of what it leaves behind: `worker.after_claim:3`."""

    hand_on_steps: bool = False
    """A worker hands each run on after every superstep, as if it were told to stop."""

    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: BaseUrl | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_base_url: BaseUrl | None = Field(default=None, validation_alias="ANTHROPIC_BASE_URL")
    google_api_key: SecretStr | None = Field(default=None, validation_alias="GOOGLE_API_KEY")
    google_base_url: BaseUrl | None = Field(default=None, validation_alias="GOOGLE_BASE_URL")

    model_base_urls: BaseUrls = ()
    """Addresses that Django's catalogue may name for a model. The provider's key is sent there: name your own only."""

    model_timeout: Duration = timedelta(minutes=2)
    """How long one attempt to ask a model may take."""

    model_retries: int = Field(default=2, ge=0)
    """How often a model's client asks again at once, when there was no answer, or 408, 409, 429 or 5xx."""

    @model_validator(mode="after")
    def _pool_sizes_agree(self) -> Self:
        if self.pool_min_size > self.pool_max_size:
            raise ValueError("AGENT_POOL_MIN_SIZE is larger than AGENT_POOL_MAX_SIZE.")
        return self

    @model_validator(mode="after")
    def _dies_in_tests_only(self) -> Self:
        for name in ("crash_points", "hand_on_steps"):
            if getattr(self, name) and self.environment != "test":
                raise ValueError(f"AGENT_{name.upper()} is for tests: it needs AGENT_ENVIRONMENT=test.")
        return self

    @property
    def session_database_url(self) -> str:
        """Return the address of PostgreSQL itself."""
        return (self.database_direct_url or self.database_url).get_secret_value()

    @property
    def allowed_webhook_urls(self) -> tuple[str, ...]:
        """Return the addresses a webhook may go to, the default first."""
        return self.webhook_urls or (self.django_url + WEBHOOK_PATH,)


def load() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: a variable is missing or wrong; the message names each, and never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise exceptions.ConfigurationError(_explain(error.errors(include_input=False))) from None


def _explain(errors: list[ErrorDetails]) -> str:
    faults = {_variable(error): error["msg"].removeprefix("Value error, ") for error in errors}
    lines = [f"{name}: {message}" for name, message in faults.items()]
    if _KEY_FIELDS & faults.keys():
        lines.append("'agent-service keys' makes a key pair; 'manage.py mandate_keys' makes Django's.")
    return "The agent service does not start.\n" + "\n".join(lines)


def _variable(error: ErrorDetails) -> str:
    if not error["loc"]:
        return "Settings"
    name = str(error["loc"][0])
    return name if name.isupper() else f"AGENT_{name.upper()}"
