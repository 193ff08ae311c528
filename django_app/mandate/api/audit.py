"""The people's API of what agents did: a run's story, undoing, redelivery, the quality of drafts."""

import uuid

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate import exceptions, models
from mandate.api import bodies, people
from mandate.selectors import audit as selectors
from mandate.selectors import drafts
from mandate.selectors import runs as run_selectors
from mandate.services import deliveries, undo
from shared_schemas import audit as wire
from shared_schemas import quality
from shared_schemas.problems import ErrorCode


class Audit(APIView):
    """`/api/agents/runs/{id}/audit/`."""

    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        story = selectors.story(run_selectors.find(run_id, user=request.user, read=selectors.detailed))
        return Response(story.model_dump(mode="json"))


class Undo(APIView):
    """`/api/agents/tool-calls/{id}/undo/`."""

    def post(self, request: Request, call_id: uuid.UUID) -> Response:
        asked = bodies.parse(request._request, wire.UndoRequest)  # noqa: SLF001 - the bytes, before any parser
        call = models.ToolCall.objects.filter(
            pk=call_id, run__in=run_selectors.visible_to(request.user)
        ).first()
        if call is None:
            raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, f"There is no tool call {call_id}.")
        done = undo.undo(call.pk, by=people.person(request), comment=asked.comment)
        answer = wire.Undone(
            tool_call=call.pk,
            undone_by=done.undone_by.get_username(),
            undone_at=done.undone_at,
            comment=done.comment,
        )
        return Response(answer.model_dump(mode="json"))


class Redelivery(APIView):
    """`/api/agents/messages/{id}/redeliver/`."""

    def post(self, request: Request, message_id: int) -> Response:
        _check_permission(request, deliveries.PERMISSION)
        message = deliveries.again(message_id, by=people.person(request))
        answer = wire.Message(
            message_id=message.pk,
            topic=message.topic,
            key=message.key,
            status=message.status,  # type: ignore[arg-type]  # its choices
            attempts=message.attempts,
            last_error=message.last_error,
            delivered_at=message.delivered_at,
        )
        return Response(answer.model_dump(mode="json"), status=202)


class Quality(APIView):
    """`/api/agents/quality/`."""

    def get(self, request: Request) -> Response:
        _check_permission(request, "mandate.view_draftreview")
        return Response(quality.QualityList(results=drafts.figures()).model_dump(mode="json"))


def _check_permission(request: Request, permission: str) -> None:
    if not request.user.has_perm(permission):
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, f"This needs the permission {permission!r}.")
