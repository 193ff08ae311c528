"""The people's API of runs."""

import uuid

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate import conf
from mandate.api import bodies, pages, people
from mandate.selectors import results
from mandate.selectors import runs as selectors
from mandate.services import limits, request_keys, runs
from shared_schemas import crashing, idempotency
from shared_schemas import runs as wire


class Runs(APIView):
    """`/api/agents/runs/`."""

    def get(self, request: Request) -> Response:
        paged = pages.NewestFirst()
        found = paged.paginate_queryset(selectors.detailed(selectors.visible_to(request.user)), request, self)
        page = wire.RunPage(
            next=paged.get_next_link(),
            previous=paged.get_previous_link(),
            results=[selectors.describe(run) for run in found or ()],
        )
        return Response(page.model_dump(mode="json"))

    def post(self, request: Request) -> Response:
        asked = bodies.parse(request._request, wire.RunCreate)  # noqa: SLF001 - the bytes, before any parser
        run = runs.start(
            agent=asked.agent or conf.settings().research_agent,
            input={"query": asked.query} if asked.input is None else asked.input,
            by=people.person(request),
            model=asked.model,
            thread_id=asked.thread_id,
            tools=asked.tools,
            limits=asked.limits,
            idempotency_key=request_keys.read(request.headers),
        )
        created = wire.RunCreated(run_id=run.pk, status=wire.RunStatus(run.status))
        replayed = {idempotency.REPLAYED_HEADER: "true"} if run.replayed else None
        return Response(created.model_dump(mode="json"), status=202, headers=replayed)


class Run(APIView):
    """`/api/agents/runs/{id}/`."""

    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        return _described(request, run_id)


class Export(APIView):
    """`/api/agents/runs/{id}/export/`."""

    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        run = selectors.find(run_id, user=request.user)
        return Response(selectors.exported(run).model_dump(mode="json"))


class Cancel(APIView):
    """`/api/agents/runs/{id}/cancel/`."""

    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        selectors.find(run_id, user=request.user, to_change=True)
        runs.cancel(run_id, by=people.person(request))
        crashing.point("cancel.after_commit")
        return _described(request, run_id)


class Resume(APIView):
    """`/api/agents/runs/{id}/resume/`."""

    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        selectors.find(run_id, user=request.user, to_change=True)
        runs.resume(run_id, by=people.person(request))
        return _described(request, run_id, status=202)


class Limits(APIView):
    """`/api/agents/runs/{id}/limits/`."""

    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        selectors.find(run_id, user=request.user, to_change=True)
        asked = bodies.parse(request._request, wire.LimitsChange)  # noqa: SLF001 - the bytes, before any parser
        limits.change(run_id, asked, by=people.person(request))
        return _described(request, run_id)


class Result(APIView):
    """`/api/agents/runs/{id}/results/{id}/`."""

    def get(self, request: Request, run_id: uuid.UUID, result_id: uuid.UUID) -> HttpResponse:
        run = selectors.find(run_id, user=request.user)
        return HttpResponse(results.whole(result_id, run_id=run.pk), content_type="application/json")


def _described(request: Request, run_id: uuid.UUID, *, status: int = 200) -> Response:
    run = selectors.find(run_id, user=request.user)
    return Response(selectors.describe(run).model_dump(mode="json"), status=status)
