"""Has messages delivered again because a person says so."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from pydantic import JsonValue

from mandate import exceptions, models
from mandate.services import notes, outbox, runs
from shared_schemas.problems import ErrorCode

PERMISSION = "mandate.change_outboxmessage"


@transaction.atomic
def again(message_id: int, *, by: AbstractBaseUser) -> models.OutboxMessage:
    """Deliver a message again, with the key it always had; one that is on its way, from the first attempt on.

    Raises:
        RequestRefused: NOT_FOUND; CONFLICT, it is a submission that was given up: its run is resumed instead.
    """
    message = models.OutboxMessage.objects.select_for_update(of=("self",)).filter(pk=message_id).first()
    if message is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"There is no message {message_id}.")
    is_dead = message.status == models.OutboxMessage.Status.DEAD
    if is_dead and message.topic in {runs.SUBMIT, runs.RESUME}:
        raise exceptions.RequestRefused(ErrorCode.CONFLICT, f"{message}: resume its run instead.")
    outbox.redeliver(message)
    run_id = message.run_id or (message.tool_call.run_id if message.tool_call else None)
    if run_id is not None:
        data: dict[str, JsonValue] = {
            "message": message.pk,
            "topic": message.topic,
            "key": message.key,
            "was": message.status,
        }
        notes.write(run_id, notes.Kind.REDELIVERED, data, by=by)
    message.refresh_from_db()
    return message
