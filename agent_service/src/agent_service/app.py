"""Builds the FastAPI application."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from importlib import metadata
from typing import Any

import psycopg
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from agent_service import bootstrap, exceptions
from agent_service.api import (
    assistants,
    bulk,
    commands,
    errors,
    middleware,
    protocol_sockets,
    protocol_streams,
    runs,
    seats,
    system,
    thread_streams,
    threads,
)
from agent_service.settings import Settings
from shared_schemas import problems

TITLE = "Mandate agent service"
DESCRIPTION = "Runs LangGraph graphs over the LangGraph Server API."


def create_app(settings: Settings, *, with_worker: bool = True) -> FastAPI:
    """Return the application; its lifespan opens the services, and works on runs unless told not to.

    Whoever stops the server sets `state.stopping` first, so that streams end and their clients go elsewhere.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _open(app, settings, with_worker=with_worker) as services:
            app.state.services = services
            if with_worker:
                app.state.worker = asyncio.create_task(services.worker.run(app.state.stopping))
            yield
            app.state.stopping.set()
            if with_worker:
                await app.state.worker

    app = _api(lifespan)
    app.state.stopping = asyncio.Event()
    app.state.seats = seats.Seats(
        per_subject=settings.streams_per_run,
        per_caller=settings.streams_per_caller,
        in_all=settings.streams,
    )
    app.state.worker = None
    app.state.refusal = None
    app.add_middleware(middleware.JsonBody, max_bytes=settings.max_body_bytes)
    app.add_middleware(middleware.RequestId)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Content-Location", "Location", middleware.REQUEST_ID],
            max_age=int(timedelta(hours=1).total_seconds()),
        )
    return app


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document; it needs neither a database nor keys."""
    return _api().openapi()


@asynccontextmanager
async def _open(app: FastAPI, settings: Settings, *, with_worker: bool) -> AsyncIterator[bootstrap.Services]:
    channels = (*bootstrap.ANSWERING, *(bootstrap.WORKING if with_worker else ()))
    async with AsyncExitStack() as stack:
        try:
            services = await stack.enter_async_context(bootstrap.open_services(settings, channels=channels))
        except (exceptions.ConfigurationError, psycopg.OperationalError) as error:
            # The server only says that it did not start; whoever started it says why.
            app.state.refusal = error
            raise
        yield services


def _api(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    api = FastAPI(
        title=TITLE,
        description=DESCRIPTION,
        version=metadata.version("mandate-agent-service"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    # What is asked most is looked for first.
    for module in (runs, system, assistants, threads, thread_streams, bulk):
        api.include_router(module.router)
    for module in (commands, protocol_streams, protocol_sockets):
        api.include_router(module.router)
    errors.install(api)
    api.openapi = functools.cache(lambda: _document(api))  # type: ignore[method-assign]
    return api


def _document(api: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=api.title, version=api.version, description=api.description, routes=api.routes
    )
    schema = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document["components"]["schemas"]
    schemas.update(schema.pop("$defs"))
    schemas["Problem"] = schema
    return document
