"""Reads that are done once more when their connection breaks, as one does that was killed in the pool."""

from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
from fastapi import Request, Response
from fastapi.routing import APIRoute
from psycopg_pool import PoolTimeout


class Route(APIRoute):
    """An endpoint whose request is repeated if it only reads; what writes is for its client to repeat."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_again(request: Request) -> Response:
            try:
                return await handle(request)
            except PoolTimeout:
                raise
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if writes(request):
                    raise
            return await handle(request)

        return handle_again


def mark_writing(request: Request) -> None:
    """Note that a request may change something."""
    request.state.writes = True


def writes(request: Request) -> bool:
    return getattr(request.state, "writes", False)
