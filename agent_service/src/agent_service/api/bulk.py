"""Several runs in one request: created together, or told to stop together."""

import functools
from typing import Annotated

from fastapi import APIRouter, Body, Response

from agent_service.api import answers, payloads, repeating, submissions
from agent_service.api.dependencies import Idempotency, Services, Writer
from agent_service.api.errors import Responses, problems_for
from agent_service.engine import run

router = APIRouter(tags=["runs"], route_class=repeating.Route)

MOST = 100

_DONE: Responses = {204: {"description": "All of them were told to stop"}}

Batch = Annotated[list[payloads.RunCreate], Body(min_length=1, max_length=MOST)]


@router.post("/runs/batch", responses=problems_for(404, 409, 413, 415))
async def create_runs(
    body: Batch, caller: Writer, services: Services, idempotency: Idempotency
) -> list[answers.Run]:
    """Queue runs, each on a thread of its own. Repeated with its idempotency key, the request goes on."""
    prepared = [
        await submissions.prepare(
            services, item, caller=caller, thread_id=None, idempotency=_key_of(idempotency, place)
        )
        for place, item in enumerate(body)
    ]
    return [answers.Run.of(await services.queue.submit(submission)) for submission in prepared]


@router.post(
    "/runs/cancel",
    status_code=204,
    response_class=Response,
    responses=problems_for(404, 409, 413, 415) | _DONE,
)
async def cancel_runs(
    body: payloads.RunsCancel,
    caller: Writer,
    services: Services,
    action: run.CancelAction = run.CancelAction.INTERRUPT,
) -> None:
    """Ask for the end of runs. Those that have ended stay as they are."""
    owner, by_person = caller.subject, caller.is_person
    cancel_each = functools.partial(
        services.queue.cancel_each, owner=owner, by_person=by_person, action=action
    )
    if body.run_ids is not None and body.thread_id is not None:
        await cancel_each(body.run_ids, thread_id=body.thread_id)
        return
    found = await services.queue.unfinished(
        body.statuses, owner=owner, thread_id=body.thread_id, by_person=by_person
    )
    for thread_id, run_ids in found.items():
        await cancel_each(run_ids, thread_id=thread_id, must_exist=False)


def _key_of(idempotency: run.IdempotencyKey | None, place: int) -> run.IdempotencyKey | None:
    return idempotency and run.IdempotencyKey(key=f"{idempotency.key} {place}", digest=idempotency.digest)
