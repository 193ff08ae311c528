"""The people's API of approvals."""

import uuid

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate import models
from mandate.api import bodies, pages, parameters, people
from mandate.selectors import approvals as selectors
from mandate.services import approvals
from shared_schemas import runs as wire


class Pages(pages.Pages):
    """Oldest first: who waited longest is asked about first."""

    ordering = ("created_at", "id")


class Approvals(APIView):
    """`/api/agents/approvals/`, all or those of one `status` or `run`."""

    def get(self, request: Request) -> Response:
        paged = Pages()
        found = selectors.visible_to(people.person(request)).filter(**_filters(request))
        page = wire.ApprovalPage(
            results=[
                selectors.as_wire(approval, reader=people.person(request))
                for approval in paged.paginate_queryset(found, request, self) or ()
            ],
            next=paged.get_next_link(),
            previous=paged.get_previous_link(),
        )
        return Response(page.model_dump(mode="json"))


class Approval(APIView):
    """`/api/agents/approvals/{id}/`."""

    def get(self, request: Request, approval_id: uuid.UUID) -> Response:
        by = people.person(request)
        approval = selectors.find(approval_id, user=by)
        return Response(selectors.as_wire(approval, reader=by).model_dump(mode="json"))


class Decision(APIView):
    """`/api/agents/approvals/{id}/decision/`."""

    def post(self, request: Request, approval_id: uuid.UUID) -> Response:
        decision = bodies.parse(request._request, wire.Decision)  # noqa: SLF001 - the bytes, before any parser
        approval = approvals.decide(approval_id, decision, by=people.person(request))
        return Response(selectors.as_wire(approval, reader=people.person(request)).model_dump(mode="json"))


def _filters(request: Request) -> dict[str, str]:
    filters = {name: request.query_params[name] for name in ("status", "run") if name in request.query_params}
    if filters.get("status") not in {None, *models.Approval.Status.values}:
        raise parameters.wrong("status", f"It is one of {', '.join(models.Approval.Status.values)}.")
    try:
        uuid.UUID(filters.get("run", str(uuid.UUID(int=0))))
    except ValueError:
        raise parameters.wrong("run", "It is a run's id.") from None
    return filters
