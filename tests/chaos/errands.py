"""People who start runs, decide and cancel, whatever dies meanwhile; each asks again until it is answered."""

import contextlib
import random
import time
import uuid
from dataclasses import dataclass, field

import httpx

from tests.chaos import house

ENDED = ("completed", "failed", "cancelled")
ENDINGS = ("approve", "approve", "approve", "reject", "cancel")
"""A share of each, by an errand's number."""

TICK = 0.05
STARTS_PER_STEP = 8

_STATUSES = "SELECT id::text, status FROM mandate_run WHERE id = ANY(%s::uuid[])"
_QUESTIONS = """
    SELECT approval.run_id::text, approval.id::text, run.status
    FROM mandate_approval AS approval JOIN mandate_run AS run ON run.id = approval.run_id
    WHERE approval.run_id = ANY(%s::uuid[]) AND approval.status = 'pending'
"""
_EFFECTS = "SELECT count(*) FROM marks_mark WHERE run_id = %s"
_UNDELIVERED = """
    SELECT DISTINCT run_id::text FROM mandate_outboxmessage
    WHERE run_id = ANY(%s::uuid[]) AND status <> 'delivered'
"""
_UNFINISHED = (
    "SELECT thread_id::text FROM runs WHERE status IN ('pending', 'running') AND thread_id = ANY(%s::uuid[])"
)


@dataclass(slots=True, kw_only=True)
class Errand:
    """One run, what its person wants of it, and what they were told."""

    ending: str
    is_eager: bool
    """Decides before the run is known to be parked."""

    cancel_after: float
    """Seconds."""

    starts_after: float = 0.0
    """Seconds since the crowd began."""

    thinking: float = 0.2
    """Seconds that a model takes to answer."""

    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    run_id: str | None = None
    started: float = 0.0
    effects_at_cancel: int | None = None
    """When the cancel's answer came; nothing where the run had ended before."""

    is_cancelled: bool = False
    status: str = ""

    @property
    def is_done(self) -> bool:
        return self.status in ENDED and (self.ending != "cancel" or self.is_cancelled)


def make(
    count: int, dice: random.Random, *, thinking: float = 0.2, every: float = 0.0, cancel_within: float = 2.0
) -> list[Errand]:
    """Return errands with a share of each ending, one to start each `every` seconds."""
    return [
        Errand(
            ending=ENDINGS[number % len(ENDINGS)],
            is_eager=dice.random() < 0.5,
            cancel_after=dice.uniform(0, cancel_within),
            starts_after=number * every,
            thinking=thinking,
        )
        for number in range(count)
    ]


@dataclass(slots=True, kw_only=True)
class Crowd:
    """The people of one scenario."""

    http: httpx.Client
    django: house.Database
    agent: house.Database
    errands: list[Errand]
    began: float = field(default_factory=time.monotonic)

    @property
    def run_ids(self) -> list[str]:
        return [errand.run_id for errand in self.errands if errand.run_id]

    @property
    def has_begun(self) -> bool:
        """Whether every run was accepted."""
        return len(self.run_ids) == len(self.errands)

    @property
    def is_done(self) -> bool:
        """Whether both sides have ended everything, and nothing is on its way."""
        return (
            all(errand.is_done for errand in self.errands)
            and not self.unfinished()
            and not self.undelivered()
        )

    def step(self) -> None:
        """Let each person do what is next for them; what is not answered is asked again in the next step."""
        now = time.monotonic() - self.began
        waiting = [e for e in self.errands if e.run_id is None and e.starts_after <= now][:STARTS_PER_STEP]
        for errand in self.errands:
            with contextlib.suppress(httpx.HTTPError):
                if errand in waiting:
                    self._start(errand)
                elif errand.run_id and errand.ending == "cancel" and not errand.is_cancelled:
                    self._cancel(errand)
        self._look()
        self._decide()

    def unfinished(self) -> set[str]:
        """Return the runs that the agent service still works on, or will."""
        return {row[0] for row in self.agent.execute(_UNFINISHED, [self.run_ids]).fetchall()}

    def undelivered(self) -> set[str]:
        """Return the runs that Django still has to tell the agent service about."""
        return {row[0] for row in self.django.execute(_UNDELIVERED, [self.run_ids]).fetchall()}

    def _look(self) -> None:
        statuses = dict(self.django.execute(_STATUSES, [self.run_ids]).fetchall())
        for errand in self.errands:
            errand.status = statuses.get(errand.run_id, "")

    def _start(self, errand: Errand) -> None:
        answer = self.http.post(
            "/api/agents/runs/",
            json={"agent": house.AGENT, "input": {"messages": [["user", str(errand.thinking)]]}},
            headers={"Idempotency-Key": f'"{errand.key}"'},
        )
        if answer.status_code == httpx.codes.ACCEPTED:
            errand.run_id, errand.started = answer.json()["run_id"], time.monotonic()

    def _cancel(self, errand: Errand) -> None:
        if time.monotonic() < errand.started + errand.cancel_after:
            return
        answer = self.http.post(f"/api/agents/runs/{errand.run_id}/cancel/", json={})
        if answer.status_code == httpx.codes.OK:
            row = self.django.execute(_EFFECTS, [errand.run_id]).fetchone()
            assert row is not None
            errand.effects_at_cancel = row[0]
        errand.is_cancelled = answer.status_code in {httpx.codes.OK, httpx.codes.CONFLICT}

    def _decide(self) -> None:
        by_run = {errand.run_id: errand for errand in self.errands}
        for run_id, approval_id, status in self.django.execute(_QUESTIONS, [self.run_ids]).fetchall():
            errand = by_run[run_id]
            if status == "awaiting_approval" or errand.is_eager:
                decision = "reject" if errand.ending == "reject" else "approve"
                with contextlib.suppress(httpx.HTTPError):
                    self.http.post(
                        f"/api/agents/approvals/{approval_id}/decision/", json={"decision": decision}
                    )


@contextlib.contextmanager
def crowd(inside: house.House, errands: list[Errand], *, url: str | None = None):
    """Yield people with connections of their own; they reach Django at `url`."""
    headers = {"Authorization": f"Token {inside.token}"}
    with (
        house.connected(inside) as (django, agent),
        httpx.Client(base_url=url or inside.layout.django_url, headers=headers, timeout=10) as http,
    ):
        yield Crowd(http=http, django=django, agent=agent, errands=errands)
