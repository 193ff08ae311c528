"""Tells the whole story of a run, in order, from Django's tables alone."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Prefetch, QuerySet

from mandate import models
from mandate.selectors import runs as run_selectors
from shared_schemas import audit as wire
from shared_schemas.audit import Event

_NOTED = {
    models.RunNote.Kind.MOVED: Event.MOVED,
    models.RunNote.Kind.CANCELLED: Event.CANCELLED,
    models.RunNote.Kind.RESUMED: Event.RESUMED,
    models.RunNote.Kind.LIMITS_RAISED: Event.LIMITS_RAISED,
    models.RunNote.Kind.MANDATE_REVOKED: Event.MANDATE_REVOKED,
    models.RunNote.Kind.CALL_REFUSED: Event.REFUSED,
    models.RunNote.Kind.DECISION_REFUSED: Event.DECISION_REFUSED,
    models.RunNote.Kind.REDELIVERED: Event.MESSAGE_REDELIVERED,
}

_ORDER = {event: place for place, event in enumerate(Event)}


def detailed(runs: QuerySet[models.Run]) -> QuerySet[models.Run]:
    """Fetch what `story` needs: one query for each kind of thing that can happen, however much of it did."""
    calls = models.ToolCall.objects.select_related("agent_user", "acting_for", "undo__undone_by")
    return runs.select_related("agent", "started_by").prefetch_related(
        "usage",
        # Before the calls: a call that is made meanwhile may be read without its question, not the reverse.
        Prefetch("approvals", models.Approval.objects.select_related("decided_by")),
        Prefetch("notes", models.RunNote.objects.select_related("by")),
        Prefetch("sessions", models.ToolSession.objects.order_by("epoch")),
        Prefetch("tool_calls", calls),
        "tool_calls__outbox_messages",
        "outbox_messages",
        "webhook_receipts",
        Prefetch("draft_reviews", models.DraftReview.objects.select_related("reviewed_by", "content_type")),
    )


def story(run: models.Run) -> wire.Audit:
    """Return everything that is known of a run that `detailed` read, oldest first."""
    entries = [
        *_of_run(run),
        *_of_notes(run),
        *_of_sessions(run),
        *_of_calls(run),
        *_of_approvals(run),
        *_of_messages(run),
        *_of_webhooks(run),
        *_of_drafts(run),
    ]
    entries.sort(key=lambda entry: (entry.at, _ORDER[entry.event]))
    return wire.Audit(run=run_selectors.describe(run), entries=entries)


def _entry(
    at: datetime,
    event: Event,
    by: AbstractBaseUser | None = None,
    call: models.ToolCall | None = None,
    /,
    **details: Any,
) -> wire.Entry:
    return wire.Entry(
        at=at,
        event=event,
        by=by.get_username() if by else None,
        tool_call=call.pk if call else None,
        details={name: value for name, value in details.items() if value not in (None, "")},
    )


def _of_run(run: models.Run) -> Iterator[wire.Entry]:
    yield _entry(
        run.created_at,
        Event.CREATED,
        run.started_by,
        agent=run.agent.slug,
        model=run.model,
        input=run.input,
        tools=run.tools or _revoked(run),
        limits=run.limits,
        thread=str(run.thread_id),
    )


def _revoked(run: models.Run) -> list[str]:
    """Return the tools that a run was started with, if all were taken away since."""
    kind = models.RunNote.Kind.MANDATE_REVOKED
    return next((note.data["tools"] for note in run.notes.all() if note.kind == kind), [])


def _of_notes(run: models.Run) -> Iterator[wire.Entry]:
    for note in run.notes.all():
        yield _entry(note.at, _NOTED[models.RunNote.Kind(note.kind)], note.by, **note.data)


def _of_sessions(run: models.Run) -> Iterator[wire.Entry]:
    earlier = False
    for session in run.sessions.all():
        yield _entry(session.created_at, Event.SESSION_OPENED, epoch=session.epoch, takeover=earlier)
        if session.revoked_at:
            yield _entry(session.revoked_at, Event.SESSION_CLOSED, epoch=session.epoch)
        earlier = True


def _of_calls(run: models.Run) -> Iterator[wire.Entry]:
    for call in run.tool_calls.all():
        yield _entry(
            call.created_at,
            Event.CALLED,
            call.agent_user,
            call,
            tool=call.tool,
            arguments=call.arguments,
            acting_for=call.acting_for.get_username(),
            key=call.key,
            epoch=call.epoch,
            repeat_of=call.repeat_of_id and str(call.repeat_of_id),
        )
        if call.finished_at:
            yield _entry(
                call.finished_at,
                Event.ANSWERED,
                None,
                call,
                tool=call.tool,
                status=call.status,
                answer=call.response,
                replays=call.replay_count or None,
                replayed_at=call.replayed_at and call.replayed_at.isoformat(),
            )
        for epoch, moment in call.replays.items():
            first = datetime.fromisoformat(moment)
            yield _entry(first, Event.REPLAYED, None, call, tool=call.tool, epoch=int(epoch))
        if undo := getattr(call, "undo", None):
            yield _entry(
                undo.undone_at, Event.UNDONE, undo.undone_by, call, tool=call.tool, comment=undo.comment
            )


def _of_approvals(run: models.Run) -> Iterator[wire.Entry]:
    calls = {call.pk: call for call in run.tool_calls.all()}
    for approval in run.approvals.all():
        call = calls[approval.tool_call_id]
        about = {"approval": str(approval.pk), "tool": call.tool}
        yield _entry(
            approval.created_at,
            Event.APPROVAL_ASKED,
            None,
            call,
            message=approval.message,
            arguments=approval.arguments,
            permission=approval.permission,
            expires_at=approval.expires_at.isoformat(),
            **about,
        )
        if approval.warned_at:
            yield _entry(approval.warned_at, Event.APPROVAL_WARNED, None, call, **about)
        if approval.decided_at:
            yield _entry(
                approval.decided_at,
                Event.APPROVAL_DECIDED,
                approval.decided_by,
                call,
                status=approval.status,
                edited_arguments=approval.edited_arguments,
                comment=approval.comment,
                **about,
            )


def _of_messages(run: models.Run) -> Iterator[wire.Entry]:
    # A tool's message is not the run's: it holds up none of those.
    own: list[tuple[models.OutboxMessage, models.ToolCall | None]]
    own = [(message, None) for message in run.outbox_messages.all()]
    own += [(message, call) for call in run.tool_calls.all() for message in call.outbox_messages.all()]
    for message, call in own:
        about = {"message": message.pk, "topic": message.topic, "key": message.key}
        tried = about | {"attempts": message.attempts, "last_error": message.last_error}
        yield _entry(message.created_at, Event.MESSAGE_WRITTEN, None, call, **about)
        if message.delivered_at:
            yield _entry(message.delivered_at, Event.MESSAGE_DELIVERED, None, call, **tried)
        elif message.status == message.Status.DEAD:
            yield _entry(message.next_attempt_at, Event.MESSAGE_DEAD, None, call, **tried)


def _of_webhooks(run: models.Run) -> Iterator[wire.Entry]:
    for receipt in run.webhook_receipts.all():
        yield _entry(
            receipt.received_at,
            Event.WEBHOOK_RECEIVED,
            id=receipt.webhook_id,
            type=receipt.type,
            body=receipt.body,
        )


def _of_drafts(run: models.Run) -> Iterator[wire.Entry]:
    for review in run.draft_reviews.all():
        if review.reviewed_at is None:
            continue
        yield _entry(
            review.reviewed_at,
            Event.DRAFT_REVIEWED,
            review.reviewed_by,
            record=f"{review.content_type.model} {review.object_id}",
            status=review.status,
            similarity=round(review.similarity, 4),
            difference=review.difference,
            comment=review.comment,
        )
