"""Pages of runs: all of them, and one as it works."""

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from mandate import models
from mandate.pages import advice, approvals, filters, safety, timeline, written
from mandate.selectors import agents as agent_selectors
from mandate.selectors import runs as selectors
from mandate.services import runs
from shared_schemas.runs import RunStatus

PER_PAGE = 50


@safety.page
@require_GET
def runs_page(request: HttpRequest) -> HttpResponse:
    """`/agents/runs/`: newest first, narrowed by filters."""
    visible = selectors.visible_to(safety.person(request)).select_related("agent", "started_by")
    chosen = filters.Runs(
        request.GET, queryset=visible.defer("input", "result", "final_state"), request=request
    )
    paged = Paginator(chosen.qs, PER_PAGE).get_page(request.GET.get("page"))
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "page": paged,
        "filter": chosen,
        "query": kept.urlencode(),
        "show_person": "started_by" in chosen.filters,
        "may_change": any(not run.is_ended for run in paged),
    }
    return render(request, "mandate/runs/list.html", context)


@safety.page
@require_GET
def run_page(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """`/agents/runs/{id}/`: the whole story; follows the run while it works.

    With `?written` what models wrote is in the page itself: browsers without JavaScript go there.
    """
    run = selectors.find(run_id, user=safety.person(request))
    context = _context(request, run)
    if "written" in request.GET:
        context["writing"] = written.of(run)
    return render(request, "mandate/runs/detail.html", context)


@safety.page
@require_GET
def timeline_part(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """`/agents/runs/{id}/timeline/`: the part of the page that changes while the run works."""
    run = selectors.find(run_id, user=safety.person(request))
    return render(request, "mandate/runs/timeline.html", _context(request, run))


@safety.page
@require_POST
def cancel(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """`/agents/runs/{id}/cancel/`."""
    by = safety.person(request)
    selectors.find(run_id, user=by, to_change=True)
    safety.attempt(request, lambda: runs.cancel(run_id, by=by), done="The run is cancelled.")
    return redirect("mandate-run-page", run_id)


@safety.page
@require_POST
def resume(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """`/agents/runs/{id}/resume/`."""
    by = safety.person(request)
    selectors.find(run_id, user=by, to_change=True)
    safety.attempt(request, lambda: runs.resume(run_id, by=by), done="The run goes on from where it stopped.")
    return redirect("mandate-run-page", run_id)


def _context(request: HttpRequest, run: models.Run) -> dict[str, object]:
    by = safety.person(request)
    described = selectors.describe(run)
    return {
        "run": run,
        "described": described,
        "advice": advice.of(described.error.code) if described.error else None,
        "may_start": agent_selectors.may_start(run.agent, by),
        "lines": timeline.of(run, reader=by),
        "waiting": approvals.waiting([run.pk], by),
        "may_change": run.started_by_id == by.pk or by.has_perm(selectors.CHANGES_ALL),
        "may_cancel": not run.is_ended,
        "may_resume": run.status == RunStatus.FAILED,
        "result": timeline.pretty(run.result) if run.result is not None else "",
    }
