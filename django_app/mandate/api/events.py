"""The stream of a run's events."""

import uuid

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.views import APIView

from mandate import models
from mandate.api import following, problems
from mandate.selectors import runs as selectors
from shared_schemas.problems import ErrorCode


async def stream(request: HttpRequest, run_id: uuid.UUID) -> HttpResponseBase:
    """`GET /api/agents/runs/{id}/events/`: server-sent events, resumable by `Last-Event-ID`."""
    if request.method != "GET":
        return _only_get(request)
    try:
        after = following.Position.parse(request.headers.get("Last-Event-ID"))
        run = await _visible_run(request, run_id)
    except Exception as error:  # noqa: BLE001 - the framework's last handler, which logs it
        return problems.answer(problems.of(error))
    frames = following.follow(run.pk, thread_id=run.thread_id, acting_for=run.started_by, after=after)
    return StreamingHttpResponse(
        frames,
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@sync_to_async(thread_sensitive=False)
def _visible_run(request: HttpRequest, run_id: uuid.UUID) -> models.Run:
    """Find the run as any other view of the API would: REST framework has no asynchronous ones."""
    view = APIView()
    asked = view.initialize_request(request)
    try:
        view.perform_authentication(asked)
        view.check_permissions(asked)
        run = selectors.find(run_id, user=asked.user)
        assert run.started_by.pk, "read here, in the thread that may"
        return run
    finally:
        connection.close()


def _only_get(request: HttpRequest) -> HttpResponse:
    refusal = problems.describe(
        ErrorCode.METHOD_NOT_ALLOWED, f"{request.method} is not possible here; use GET."
    )
    answer = problems.answer(refusal)
    answer["Allow"] = "GET"
    return answer
