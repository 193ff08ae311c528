"""Opens every long-lived resource of a process, and closes them in reverse. Nothing else constructs one."""

import os
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog
from pgqueuer.domain.settings import db_settings

from agent_service import auth, checkpointing, database, models, webhooks
from agent_service.engine import (
    assistants,
    executor,
    housekeeping,
    jobs,
    leases,
    metrics,
    pulse,
    queue,
    repository,
    threads,
    throttling,
    worker,
)
from agent_service.events import log, readers
from agent_service.graphs import registry
from agent_service.settings import Settings
from agent_service.tools import client

ANSWERING = log.CHANNELS
"""The channels of a process that answers HTTP."""

WORKING = (queue.CANCEL_CHANNEL, webhooks.CHANNEL, db_settings().channel)
"""The channels of one that works on runs."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the API and the worker use."""

    settings: Settings
    authenticator: auth.Authenticator
    pool: database.Pool
    repository: repository.Repository
    threads: threads.Threads
    assistants: assistants.Assistants
    queue: queue.RunQueue
    events: log.EventLog
    readers: readers.Readers
    registry: registry.Registry
    checkpoints: checkpointing.Checkpoints
    worker: worker.Worker
    """Works once its `run` is called."""

    async def check(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            psycopg.OperationalError: there is none.
        """
        async with self.pool.connection() as connection:
            await connection.execute("SELECT 1")


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    channels: Iterable[str] = (*ANSWERING, *WORKING),
    graphs: registry.Registry | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncIterator[Services]:
    """Open a process's services, which hear what comes on `channels`.

    `graphs` replaces those of the settings, `transport` the network to Django.
    """
    url, direct_url = settings.database_url.get_secret_value(), settings.session_database_url
    graphs = graphs or await registry.load(settings.graphs)
    limits = {name: rules.concurrency for name, rules in graphs.rules.items() if rules.concurrency}
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            database.open_pool(
                url,
                min_size=settings.pool_min_size,
                max_size=settings.pool_max_size,
                patience=settings.pool_timeout,
                behind_pooler=settings.database_direct_url is not None,
            )
        )
        listener = await stack.enter_async_context(database.open_listener(direct_url, channels=channels))
        events = await stack.enter_async_context(log.open_log(pool, listener))
        tools = await stack.enter_async_context(
            client.open_client(
                django_url=settings.django_url, signing_key=settings.signing_key, transport=transport
            )
        )
        deliverer = await stack.enter_async_context(
            webhooks.open_deliverer(pool, listener, signing_key=settings.signing_key, transport=transport)
        )
        counters = metrics.Metrics()
        stack.enter_context(
            metrics.serving(counters, url=direct_url, host=settings.metrics_host, port=settings.metrics_port)
        )
        chat_models = _models(settings)
        stack.push_async_callback(chat_models.aclose)
        checkpoints = checkpointing.Checkpoints(
            pool=pool,
            serializer=checkpointing.serializer(),
            pruning=settings.prune_checkpoints,
        )
        held = leases.Leases(
            pool=pool,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            prompts=graphs.prompt_versions,
        )
        kept = repository.Repository(pool=pool)
        yield Services(
            settings=settings,
            authenticator=auth.Authenticator(trusted=settings.trusted_keys),
            pool=pool,
            repository=kept,
            threads=threads.Threads(pool=pool, repository=kept, registry=graphs, checkpoints=checkpoints),
            assistants=assistants.Assistants(pool=pool, registry=graphs),
            queue=queue.RunQueue(pool=pool, limited=frozenset(limits)),
            events=events,
            readers=readers.Readers(),
            registry=graphs,
            checkpoints=checkpoints,
            worker=worker.Worker(
                pool=pool,
                listener=listener,
                leases=held,
                executor=executor.Executor(
                    registry=graphs,
                    models=chat_models,
                    tools=tools,
                    checkpoints=checkpoints,
                    leases=held,
                    events=events,
                    run_timeout=settings.run_timeout,
                    recursion_limit=settings.recursion_limit,
                    max_output=settings.max_output_tokens,
                    max_attempts=settings.max_attempts,
                    retry_delay=settings.retry_delay,
                    throttle=throttling.Throttle(rates=settings.rate_limits),
                    hand_on_steps=settings.hand_on_steps,
                ),
                events=events,
                webhooks=deliverer,
                pulse=pulse.Pulse(
                    url=direct_url, silence=settings.heartbeat_timeout, patience=settings.run_timeout
                ),
                concurrency=settings.concurrency,
                total_concurrency=settings.total_concurrency,
                limits={jobs.lane(name, limited=limits): limit for name, limit in limits.items()},
                max_attempts=settings.max_attempts,
                heartbeat_timeout=settings.heartbeat_timeout,
                drain_timeout=settings.drain_timeout,
                metrics=counters,
                housekeeping=housekeeping.Housekeeping(
                    pool=pool,
                    checkpoints=checkpoints,
                    event_retention=settings.event_retention,
                    checkpoint_retention=settings.checkpoint_retention,
                    webhook_retention=settings.webhook_retention,
                ),
            ),
        )


def _models(settings: Settings) -> models.Catalogue:
    given = {
        models.OPENAI: (settings.openai_api_key, settings.openai_base_url),
        models.ANTHROPIC: (settings.anthropic_api_key, settings.anthropic_base_url),
        models.GOOGLE: (settings.google_api_key, settings.google_base_url),
    }
    providers = {
        name: models.Provider(
            api_key=key,
            base_url=base_url,
            max_retries=settings.model_retries,
            timeout=settings.model_timeout.total_seconds(),
        )
        for name, (key, base_url) in given.items()
        # A variable that is set to nothing is one that is not set.
        if key
    }
    if without := sorted(given.keys() - providers.keys()):
        _log.info("models.without_key", providers=without, note="not asked, and left out as fallbacks")
    models.preload(providers)
    return models.Catalogue(providers=providers, allowed_urls=settings.model_base_urls)
