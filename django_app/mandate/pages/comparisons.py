"""Pages of comparisons: the same work given to several models, and what all runs say of models and prompts."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from mandate.pages import charts, filters, safety, timeline
from mandate.selectors import comparisons as selectors
from mandate.selectors import performance, prompts
from mandate.templatetags import mandate_figures as figures
from shared_schemas.comparisons import ModelFigures

PER_PAGE = 30

_Shown = Callable[[Any], str]


@safety.page
@require_GET
def comparisons_page(request: HttpRequest) -> HttpResponse:
    """`/agents/comparisons/`: newest first."""
    listed = selectors.listed(selectors.visible_to(safety.person(request)))
    paged = Paginator(listed, PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "mandate/comparisons/list.html", {"page": paged})


@safety.page
@require_GET
def comparison_page(request: HttpRequest, comparison_id: int) -> HttpResponse:
    """`/agents/comparisons/{id}/`: a line for each model, and pictures of it."""
    found = selectors.find(comparison_id, user=safety.person(request))
    (described,) = selectors.describe([found])
    context = {
        "comparison": described,
        "charts": _charts(described.results),
        "input": timeline.pretty(described.input),
    }
    return render(request, "mandate/comparisons/detail.html", context)


@safety.page
@require_GET
def figures_page(request: HttpRequest) -> HttpResponse:
    """`/agents/figures/`: every model and every version of the prompts, over all runs the reader may see."""
    by = safety.person(request)
    period = filters.Period(request.GET)
    asked = period.asked()
    context = {
        "period": period,
        "models": performance.by_model(by, agent=asked.agent, since=asked.since),
        "prompts": prompts.by_version(by, agent=asked.agent),
        "since": asked.since,
        "asked": _query(asked),
    }
    return render(request, "mandate/comparisons/figures.html", context)


def _query(asked: filters.Asked) -> str:
    given = {"agent": asked.agent, "since": asked.since.isoformat() if asked.since else ""}
    chosen = urlencode({name: value for name, value in given.items() if value})
    return f"?{chosen}" if chosen else ""


_PICTURES: tuple[tuple[str, str, Callable[[ModelFigures], float | None], _Shown], ...] = (
    ("first", "First piece of the answer", lambda one: one.first_token, figures.seconds),
    ("time", "Time worked", lambda one: one.seconds, figures.seconds),
    ("tokens", "Tokens", lambda one: one.input_tokens + one.output_tokens or None, figures.whole),
    ("money", "Money", lambda one: None if one.cost is None else float(one.cost), figures.money),
    ("verified", "Passed their check", lambda one: one.verification_rate, figures.share),
    ("approved", "Approved by people", lambda one: one.approval_rate, figures.share),
    ("kept", "Left as the model wrote it", lambda one: one.similarity, figures.share),
)


def _charts(results: Iterable[ModelFigures]) -> list[charts.Chart]:
    listed = list(results)
    drawn = [
        charts.of(
            name,
            title,
            [
                charts.Bar(label=one.model, value=value, shown=shown(value))
                for one in listed
                if (value := figure(one)) is not None
            ],
        )
        for name, title, figure, shown in _PICTURES
    ]
    return [chart for chart in drawn if chart]
