"""The people's API of figures."""

from datetime import UTC, date, datetime

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mandate.api import attachments, parameters, people
from mandate.selectors import performance, prompts, tables
from shared_schemas import figures as wire
from shared_schemas import prompts as prompt_wire

MODEL_COLUMNS = tuple(wire.ModelFigures.model_fields)
PROMPT_COLUMNS = tuple(prompt_wire.PromptFigures.model_fields)


class Figures(APIView):
    """`/api/agents/figures/`, of one agent with `?agent=`, and of runs that were started `?since=` a day."""

    def get(self, request: Request) -> Response:
        figures = wire.Figures(models=_models(request), prompts=_prompts(request))
        return Response(figures.model_dump(mode="json"))


class Models(APIView):
    """`/api/agents/figures/models.csv`."""

    def get(self, request: Request) -> HttpResponse:
        return attachments.csv("models", tables.as_csv(MODEL_COLUMNS, _models(request)))


class Prompts(APIView):
    """`/api/agents/figures/prompts.csv`."""

    def get(self, request: Request) -> HttpResponse:
        return attachments.csv("prompts", tables.as_csv(PROMPT_COLUMNS, _prompts(request)))


def _models(request: Request) -> list[wire.ModelFigures]:
    agent = parameters.agent(request)
    return performance.by_model(people.person(request), agent=agent, since=_since(request))


def _prompts(request: Request) -> list[prompt_wire.PromptFigures]:
    return prompts.by_version(people.person(request), agent=parameters.agent(request))


def _since(request: Request) -> date | None:
    given = request.query_params.get("since")
    if given is None:
        return None
    try:
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise parameters.wrong("since", "It is a day, as 2026-11-30.") from None
