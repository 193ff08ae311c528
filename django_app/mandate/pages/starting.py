"""Pages that start runs: the agents a person may start, and a form made of what an agent's graph takes."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from mandate import exceptions, models
from mandate.pages import forms, safety
from mandate.selectors import agents as selectors
from mandate.services import comparisons, runs
from shared_schemas.problems import ErrorCode


@safety.page
@require_GET
def agents_page(request: HttpRequest) -> HttpResponse:
    """`/agents/`: who can be given work."""
    context = {"agents": selectors.startable_by(safety.person(request))}
    return render(request, "mandate/agents/list.html", context)


@safety.page
@require_http_methods(["GET", "POST"])
def start_page(request: HttpRequest, slug: str) -> HttpResponse:
    """`/agents/{slug}/start/`: the graph's own fields, and one model or several to compare."""
    by = safety.person(request)
    agent = get_object_or_404(models.Agent, slug=slug)
    if not selectors.may_start(agent, by):
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, f"You may not start {agent.name}.")
    try:
        schema = selectors.input_schema(agent, by=by)
    except exceptions.DeliveryFailed:
        return render(request, "mandate/agents/start.html", {"agent": agent}, status=503)
    costs = selectors.usual_costs(agent, schema)
    made = forms.Start(request.POST or None, agent=agent, schema=schema, costs=costs, user=by)
    if request.method == "POST" and made.is_valid():
        try:
            return _start(request, agent, made)
        except exceptions.MandateError as refusal:
            made.refuse(refusal)
    status = 422 if made.errors else 200
    return render(request, "mandate/agents/start.html", {"agent": agent, "form": made}, status=status)


def _start(request: HttpRequest, agent: models.Agent, made: forms.Start) -> HttpResponse:
    by = safety.person(request)
    chosen = made.chosen_models()
    if len(chosen) > 1:
        comparison = comparisons.start(
            agent=agent, input=made.given(), models_=chosen, by=by, idempotency_key=made.key()
        )
        messages.success(request, f"{len(chosen)} runs are started, one for each model.")
        return redirect("mandate-comparison-page", comparison.pk)
    run = runs.start(agent=agent, input=made.given(), model=chosen[0], by=by, idempotency_key=made.key())
    return redirect("mandate-run-page", run.pk)
