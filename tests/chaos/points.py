"""The crash matrix: every named point of both sides, and the process that passes it."""

from dataclasses import dataclass

WORKERS = ("worker-1", "worker-2")
AGENT = ("agent",)
DJANGO = ("django",)
DISPATCHER = ("dispatcher",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One scenario of the matrix."""

    name: str
    processes: tuple[str, ...]
    latest: int = 8
    """A process dies at one of its first so many passages; fewer where a scenario passes seldom."""

    draining: bool = False
    """Passed only by a worker that is told to stop while it has runs."""


def _points(processes: tuple[str, ...], *names: str, latest: int = 8, draining: bool = False) -> list[Point]:
    return [Point(name=name, processes=processes, latest=latest, draining=draining) for name in names]


MATRIX = (
    *_points(
        WORKERS,
        "worker.after_claim",
        "session.after_open",
        "model.after_answer",
        "checkpoint.before_write",
        "checkpoint.before_commit",
        "checkpoint.after_commit",
        "request.before_send",
        "request.after_answer",
        "interrupt.before",
        "interrupt.after_decision",
        "resume.after_read",
        "session.before_close",
        "events.after_write",
        "worker.before_end",
        "worker.in_end",
        "worker.after_end",
        "webhook.before_post",
        "webhook.after_answer",
    ),
    *_points(WORKERS, "worker.in_drain", latest=1, draining=True),
    *_points(WORKERS, "worker.before_release", "worker.after_release", latest=3, draining=True),
    *_points(AGENT, "submission.before_commit", "submission.after_commit"),
    *_points(AGENT, "stop.before_commit", latest=1),
    *_points(
        DJANGO,
        "call.after_claim",
        "effect.before_answer",
        "call.before_commit",
        "call.after_commit",
        "approval.after_question",
        "session.before_commit",
        "session.after_commit",
        "start.before_commit",
        "start.after_commit",
    ),
    *_points(DJANGO, "webhook.before_apply", "webhook.before_commit", "webhook.after_commit", latest=4),
    *_points(
        DJANGO,
        "approval.before_effect",
        "approval.after_effect",
        "approval.before_commit",
        "approval.after_commit",
        latest=3,
    ),
    *_points(DJANGO, "rejection.before_commit", "cancel.before_commit", "cancel.after_commit", latest=1),
    *_points(
        DISPATCHER,
        "outbox.before_delivery",
        "submission.after_answer",
        "outbox.before_commit",
        "outbox.after_commit",
    ),
)

BY_NAME = {point.name: point for point in MATRIX}
