"""Serves an ASGI application over real HTTP, from a thread of its own."""

import contextlib
import threading

import uvicorn

KEEP_ALIVE = 75
"""Seconds that a connection may be idle; clients close theirs long before."""


class ThreadedServer(uvicorn.Server):
    """Says when it is ready, or that it never will be."""

    def __init__(self, config):
        super().__init__(config)
        self.decided = threading.Event()

    async def startup(self, sockets=None):
        try:
            await super().startup(sockets)
        finally:
            self.decided.set()

    @property
    def url(self):
        host, port = self.servers[0].sockets[0].getsockname()
        return f"http://{host}:{port}"


@contextlib.contextmanager
def serving(application, *, port=0, **options):
    """Serve meanwhile, at the address that is given."""
    server = ThreadedServer(
        uvicorn.Config(
            application,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=KEEP_ALIVE,
            **options,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    server.decided.wait()
    assert server.started, "the server did not start"
    try:
        yield server.url
    finally:
        server.should_exit = True
        thread.join()
