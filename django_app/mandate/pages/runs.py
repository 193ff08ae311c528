"""Pages of runs: all of them, and one as it works."""

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import etag, require_GET, require_POST

from mandate import models
from mandate.models.run import ENDED
from mandate.pages import advice, filters, paging, safety, timeline, written
from mandate.selectors import agents as agent_selectors
from mandate.selectors import approvals as approval_selectors
from mandate.selectors import audit, versions
from mandate.selectors import runs as selectors
from mandate.services import runs
from shared_schemas.runs import RunStatus

PER_PAGE = 50


@safety.page
@require_GET
def runs_page(request: HttpRequest) -> HttpResponse:
    """`/agents/runs/`: newest first, narrowed by filters."""
    by = safety.person(request)
    chosen = filters.Runs(request.GET, queryset=selectors.visible_to(by), request=request)
    paged = paging.Page.of(selectors.listed(chosen.qs), request.GET.get("page"), size=PER_PAGE)
    kept = request.GET.copy()
    kept.pop("page", None)
    context = {
        "page": paged,
        "filter": chosen,
        "query": kept.urlencode(),
        "address": reverse("mandate-runs-page"),
        "show_person": "started_by" in chosen.filters,
        "may_change": any(run.status not in ENDED for run in paged),
    }
    return render(request, "mandate/runs/list.html", context)


@safety.page
@require_GET
def run_page(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """`/agents/runs/{id}/`: the whole story; follows the run while it works.

    With `?written` what models wrote is in the page itself: browsers without JavaScript go there.
    """
    # Before the run is read: what changes meanwhile makes another version.
    version = _version(request, run_id)
    run = selectors.find(run_id, user=safety.person(request), read=audit.detailed)
    context = _context(request, run) | {"version": version}
    if "written" in request.GET:
        context["writing"] = written.of(run)
    return render(request, "mandate/runs/detail.html", context)


def _version(request: HttpRequest, run_id: uuid.UUID) -> str | None:
    return versions.of(run_id, reader=safety.person(request))


@safety.page
@require_GET
@etag(_version)
def timeline_part(request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
    """`/agents/runs/{id}/timeline/`: the part of the page that changes while the run works.

    Whoever sends the `ETag` of what they have is told by 304 that nothing has changed, after one query.
    """
    run = selectors.find(run_id, user=safety.person(request), read=audit.detailed)
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
    advised = advice.of(described.error.code) if described.error else None
    return {
        "run": run,
        "described": described,
        "advice": advised,
        "may_start": advised and not advised.goes_on and agent_selectors.may_start(run.agent, by),
        "lines": timeline.of(run, reader=by),
        "waiting": approval_selectors.open_in(run, by),
        "may_change": run.started_by_id == by.pk or by.has_perm(selectors.CHANGES_ALL),
        "may_cancel": not run.is_ended,
        "may_resume": run.status == RunStatus.FAILED,
        "result": timeline.pretty(run.result) if run.result is not None else "",
    }
