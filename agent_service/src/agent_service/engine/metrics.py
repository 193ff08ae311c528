"""What a process and its database show to Prometheus, on a port of their own."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from psycopg.rows import dict_row

from agent_service import database
from agent_service.engine import run

PREFIX = "mandate_agent_"
ANSWER_WITHIN = 5
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
TABLES = ("runs", "run_events", "run_results", "checkpoints", "checkpoint_blobs", "checkpoint_writes")

_QUERIES = database.load_queries(resources.files("agent_service.engine").joinpath("metrics.sql").read_text())

_log = structlog.get_logger(__name__)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            f"{PREFIX}run_seconds",
            "From a run's first claim to its end.",
            ("graph", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._attempts = Counter(
            f"{PREFIX}attempts", "Claims of runs by this process.", ("graph",), registry=self.registry
        )
        self._postponed = Counter(
            f"{PREFIX}attempts_postponed",
            "Attempts that failed by something that passes, and are made again.",
            ("graph",),
            registry=self.registry,
        )

    def began(self, claimed: run.Run) -> None:
        self._attempts.labels(claimed.graph_id).inc()

    def postponed(self, failed: run.Run) -> None:
        self._postponed.labels(failed.graph_id).inc()

    def ended(self, row: run.Run) -> None:
        if row.ended_at is not None and row.started_at is not None:
            seconds = (row.ended_at - row.started_at).total_seconds()
            self._seconds.labels(row.graph_id, row.status.value).observe(seconds)


class Database(Collector):
    """What the database holds: the same from every process. It is asked when somebody looks."""

    def __init__(self, url: str) -> None:
        self._url = url

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily(f"{PREFIX}database_up", "1 if the database answered just now.")
        try:
            with psycopg.connect(
                self._url, autocommit=True, connect_timeout=ANSWER_WITHIN, row_factory=dict_row
            ) as connection:
                found = list(_gauges(connection))
        except psycopg.Error:
            _log.warning("metrics.database_away", exc_info=True)
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        return [up, *found]

    def describe(self) -> Iterable[Metric]:
        return []


@contextmanager
def serving(metrics: Metrics, *, url: str, host: str, port: int | None) -> Iterator[None]:
    """Answer Prometheus in a thread, if there is a port for it."""
    if port is None:
        yield
        return
    metrics.registry.register(Database(url))
    server, thread = start_http_server(port, host, metrics.registry)
    _log.info("metrics.serving", host=host, port=server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _gauges(connection: psycopg.Connection[dict[str, object]]) -> Iterator[Metric]:
    started = time.monotonic()
    connection.execute(f"SET statement_timeout = '{ANSWER_WITHIN}s'")
    runs = GaugeMetricFamily(f"{PREFIX}runs", "Unfinished runs.", labels=("graph", "status"))
    for row in connection.execute(_QUERIES["runs"]):
        runs.add_metric([str(row["graph_id"]), str(row["status"])], _number(row["count"]))
    yield runs
    row = connection.execute(_QUERIES["ages"]).fetchone() or {}
    for name, text in (
        ("runs_oldest_pending_seconds", "How long the oldest run waits that could be worked on."),
        ("threads_parked", "Threads that wait for an answer or a next step."),
        ("webhooks_pending", "Webhooks that nobody took yet."),
        ("webhooks_oldest_seconds", "How long the oldest of them waits."),
        ("webhooks_abandoned", "Webhooks that were tried for the last time, and are kept."),
    ):
        yield GaugeMetricFamily(f"{PREFIX}{name}", text, _number(row[name]))
    size = GaugeMetricFamily(f"{PREFIX}table_bytes", "Size with indexes.", labels=("table",))
    rows = GaugeMetricFamily(f"{PREFIX}table_rows", "Rows, as PostgreSQL estimates them.", labels=("table",))
    for row in connection.execute(_QUERIES["tables"], {"names": list(TABLES)}):
        size.add_metric([str(row["name"])], _number(row["bytes"]))
        rows.add_metric([str(row["name"])], _number(row["estimate"]))
    yield size
    yield rows
    yield GaugeMetricFamily(
        f"{PREFIX}scrape_seconds", "What asking the database took.", time.monotonic() - started
    )


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
