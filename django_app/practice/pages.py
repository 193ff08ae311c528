"""Pages of chains: have tasks written by three agents in a row, and see how far they are."""

import uuid
from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from mandate import exceptions
from mandate.models import Agent
from mandate.models.run import ENDED
from mandate.pages import approvals, safety
from mandate.pages import forms as start_forms
from practice import chains, course, models, schemas, selectors
from shared_schemas.problems import ErrorCode

PER_PAGE = 20

UNFIT = 422


class StartChain(forms.Form):
    """For which lesson, and how many tasks."""

    request_key = forms.CharField(widget=forms.HiddenInput, max_length=50)
    module = forms.ModelChoiceField(models.Module.objects.none(), label="Lesson")
    student = forms.ModelChoiceField(
        models.StudentProfile.objects.none(), required=False, empty_label="not given"
    )
    count = forms.IntegerField(
        label="Number of tasks",
        min_value=1,
        max_value=schemas.MAX_TASKS,
        initial=schemas.StartChain.model_fields["count"].default,
    )
    model = forms.ChoiceField(required=False, help_text="Of all three.")

    def __init__(self, data: Any) -> None:
        super().__init__(data, initial={"request_key": str(uuid.uuid4())})
        self.fields["module"].queryset = selectors.lessons()  # type: ignore[attr-defined]  # declared above
        self.fields["student"].queryset = models.StudentProfile.objects.all()  # type: ignore[attr-defined]  # the same
        first = Agent.objects.filter(slug=course.CONDITIONS).first()
        offered = start_forms.model_choices(first.default_model if first else "")
        self.fields["model"].choices = [("", "each agent's own"), *offered]  # type: ignore[attr-defined]  # the same


@safety.page
@require_http_methods(["GET", "POST"])
def chains_page(request: HttpRequest) -> HttpResponse:
    """`/practice/chains/`: a form, and the reader's own chains below."""
    form = StartChain(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            chain = chains.start(by=safety.person(request), **form.cleaned_data)
        except exceptions.RequestRefused as refusal:
            form.add_error("model" if refusal.code is ErrorCode.UNKNOWN_MODEL else None, refusal.detail)
        else:
            return redirect("practice-chain-page", chain.pk)
    own = selectors.chains_of(safety.person(request))
    page = Paginator(own, PER_PAGE).get_page(request.GET.get("page"))
    rows = [(chain, selectors.status_of(chain)) for chain in page]
    context = {"form": form, "page": page, "rows": rows}
    return render(request, "practice/chains.html", context, status=UNFIT if form.errors else 200)


@safety.page
@require_GET
def chain_page(request: HttpRequest, chain_id: int) -> HttpResponse:
    """`/practice/chains/{id}/`: how it stands, what a person is asked, and each step with its run and its task."""
    reader = safety.person(request)
    chain = get_object_or_404(selectors.chains_of(reader), pk=chain_id)
    status = selectors.status_of(chain)
    context = {
        "chain": chain,
        "status": status,
        "is_live": status not in ENDED,
        "waiting": approvals.waiting(selectors.runs_of(chain), reader),
    }
    return render(request, "practice/chain.html", context)
