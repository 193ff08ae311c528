"""The people's API of comparisons."""

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate.api import attachments, bodies, pages, people
from mandate.selectors import comparisons as selectors
from mandate.services import comparisons, request_keys
from shared_schemas import comparisons as wire


class Comparisons(APIView):
    """`/api/agents/comparisons/`."""

    def get(self, request: Request) -> Response:
        paged = pages.NewestFirst()
        found = paged.paginate_queryset(selectors.detailed(selectors.visible_to(request.user)), request, self)
        page = wire.ComparisonPage(
            next=paged.get_next_link(),
            previous=paged.get_previous_link(),
            results=selectors.describe(found or ()),
        )
        return Response(page.model_dump(mode="json"))

    def post(self, request: Request) -> Response:
        asked = bodies.parse(request._request, wire.ComparisonCreate)  # noqa: SLF001 - the bytes, before any parser
        comparison = comparisons.start(
            agent=asked.agent,
            input=asked.input,
            models_=asked.models,
            by=people.person(request),
            name=asked.name,
            idempotency_key=request_keys.read(request.headers),
        )
        started = comparison.runs.order_by("created_at", "id").values_list("pk", flat=True)
        created = wire.ComparisonCreated(comparison_id=comparison.pk, run_ids=list(started))
        return Response(created.model_dump(mode="json"), status=202)


class Comparison(APIView):
    """`/api/agents/comparisons/{id}/`."""

    def get(self, request: Request, comparison_id: int) -> Response:
        return Response(_described(request, comparison_id).model_dump(mode="json"))


class Export(APIView):
    """`/api/agents/comparisons/{id}/figures.csv`."""

    def get(self, request: Request, comparison_id: int) -> HttpResponse:
        text = selectors.as_csv(_described(request, comparison_id))
        return attachments.csv(f"comparison-{comparison_id}", text)


def _described(request: Request, comparison_id: int) -> wire.Comparison:
    (described,) = selectors.describe([selectors.find(comparison_id, user=request.user)])
    return described
