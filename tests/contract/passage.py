"""Passes requests on to the real thing and notes every exchange that does not fit the documents."""

import contextlib
import threading

import httpx
from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests import serving

TIMEOUT = 30

_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "accept-encoding"}


class Passage:
    """Stands before an API at an address of its own."""

    def __init__(self, api):
        self.upstream = ""
        self.faults = []
        self._api = api
        self._passed = []
        self._changed = threading.Condition()

    def app(self):
        route = Route("/{path:path}", self._pass_on, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        return Starlette(routes=[route], lifespan=self._lifespan)

    def forget(self):
        with self._changed:
            self.faults.clear()
            self._passed.clear()

    def wait_for(self, method, path, *, holding=""):
        """Return the body of such a request once it was answered well; `holding` is a part of it.

        What an earlier test began may still be told meanwhile, and what is refused for a moment comes again.
        """
        with self._changed:
            found = self._changed.wait_for(lambda: self._bodies(method, path, holding), TIMEOUT)
        assert found, f"no {method} {path} came"
        return found[-1]

    def _bodies(self, method, path, holding):
        return [one[2] for one in self._passed if one[:2] == (method, path) and holding in one[2]]

    @contextlib.asynccontextmanager
    async def _lifespan(self, _):
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=False) as self._http:
            yield

    async def _pass_on(self, request):
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        url = httpx.URL(self.upstream).copy_with(raw_path=_raw_path(request))
        passed_on = self._http.build_request(
            request.method,
            url,
            headers=headers | {"accept-encoding": "identity"},
            content=await request.body(),
        )
        answer = await self._http.send(passed_on, stream=True)
        is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
        if not is_stream:
            await answer.aread()
        self._note(passed_on, answer)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
        if is_stream:
            return StreamingResponse(_chunks(answer), answer.status_code, kept)
        return Response(answer.content, answer.status_code, kept)

    def _note(self, request, answer):
        with self._changed:
            self.faults += self._api.faults(request, answer)
            if answer.is_success:
                body = request.content.decode(errors="replace")
                self._passed.append((request.method, request.url.path, body))
                self._changed.notify_all()


@contextlib.contextmanager
def opened(api):
    """Give a passage and its address; its upstream may be set later."""
    made = Passage(api)
    with serving.serving(made.app()) as url:
        yield made, url


def _raw_path(request):
    query = request.scope["query_string"]
    return request.scope["raw_path"] + (b"?" + query if query else b"")


async def _chunks(answer):
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
