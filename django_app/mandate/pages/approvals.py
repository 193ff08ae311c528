"""Pages of approvals: what waits for a person, and one question with all that is needed to decide it."""

import json
import uuid
from collections.abc import Collection

from django.contrib import messages
from django.contrib.auth.models import AbstractUser
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods
from pydantic import ValidationError

from mandate import exceptions, models
from mandate.pages import edits, filters, linking, safety, timeline
from mandate.selectors import approvals as selectors
from mandate.services import approvals, previews
from mandate.tools import registry
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision

PER_PAGE = 50

CHANGE = "change"
"""What the button of the fields sends; `edit` sends JSON."""

REFUSED = 409
UNFIT = 422

_Status = models.Approval.Status


@safety.page
@require_GET
def approvals_page(request: HttpRequest) -> HttpResponse:
    """`/agents/approvals/`: pending ones first to expire, others latest first."""
    by = safety.person(request)
    narrowed = filters.Approvals(request.GET, queryset=selectors.visible_to(by))
    visible = narrowed.qs
    counts = visible.order_by().aggregate(
        **{status.value: Count("pk", filter=Q(status=status)) for status in _Status}
    )
    chosen = request.GET.get("status", _Status.PENDING.value)
    shown = visible.filter(status=chosen) if chosen in counts else visible
    order = ("expires_at", "pk") if chosen == _Status.PENDING else ("-created_at", "-pk")
    paged = Paginator(shown.order_by(*order), PER_PAGE).get_page(request.GET.get("page"))
    kept = request.GET.copy()
    for name in ("page", "status"):
        kept.pop(name, None)
    narrowed_by = kept.urlencode()
    kept["status"] = chosen
    context = {
        "page": paged,
        "filter": narrowed,
        "narrowed_by": narrowed_by,
        "query": kept.urlencode(),
        "counts": counts,
        "chosen": chosen,
        "rows": [(approval, selectors.may_decide(approval, by)) for approval in paged],
        "now": timezone.now(),
    }
    return render(request, "mandate/approvals/list.html", context)


@safety.page
@require_http_methods(["GET", "POST"])
def approval_page(request: HttpRequest, approval_id: uuid.UUID) -> HttpResponse:
    """`/agents/approvals/{id}/`: who asks for what; approve, edit or reject."""
    by = safety.person(request)
    approval = selectors.find(approval_id, user=by)
    written = request.POST.get("arguments") or timeline.pretty(approval.arguments)
    form, status = _form(request, approval), 200
    if request.method == "POST":
        if _decide(request, approval, form):
            return redirect("mandate-approval-page", approval_id)
        approval = selectors.find(approval_id, user=by)
        status = UNFIT if form.errors else REFUSED
    context = {
        "approval": approval,
        "described": selectors.as_wire(approval, reader=by),
        "arguments": timeline.pretty(approval.arguments),
        "preview": previews.of(approval),
        "drafts": linking.drafts_of([approval.tool_call_id], made_for=approval.run.started_by, reader=by).get(
            approval.tool_call_id, []
        ),
        "written": written,
        "comment": request.POST.get("comment", ""),
        "form": form,
        "previous": _neighbour(approval, by, later=False),
        "next": _neighbour(approval, by, later=True),
    }
    return render(request, "mandate/approvals/detail.html", context, status=status)


def waiting(run_ids: Collection[uuid.UUID], reader: AbstractUser) -> list[tuple[models.Approval, bool]]:
    """Return what people are asked about runs, and whether the reader may decide: for `mandate/waiting.html`."""
    asked = selectors.open_about(run_ids, reader).order_by("created_at", "pk")
    return [(approval, selectors.may_decide(approval, reader)) for approval in asked]


def _form(request: HttpRequest, approval: models.Approval) -> edits.Edit:
    tool = registry.declared().get(approval.tool_call.tool)
    schema = tool.spec().input_schema if tool else {}
    sent = request.POST if request.POST.get("decision") == CHANGE else None
    return edits.Edit(sent, schema=schema, arguments=approval.arguments)


def _neighbour(approval: models.Approval, by: AbstractUser, *, later: bool) -> models.Approval | None:
    """Return the question before or after one, in the order of the inbox."""
    order = ("expires_at", "pk") if later else ("-expires_at", "-pk")
    beside = "gt" if later else "lt"
    ahead = Q(**{f"expires_at__{beside}": approval.expires_at}) | Q(
        expires_at=approval.expires_at, **{f"pk__{beside}": approval.pk}
    )
    pending = selectors.visible_to(by).filter(status=_Status.PENDING)
    return pending.filter(ahead).order_by(*order).first()


def _decide(request: HttpRequest, approval: models.Approval, form: edits.Edit) -> bool:
    by = safety.person(request)
    try:
        decision = _decision(request, form)
        if decision is None:
            return False
        approvals.decide(approval.pk, decision, by=by)
    except exceptions.MandateError as refusal:
        if form.is_bound and getattr(refusal, "errors", []):
            form.refuse(refusal)
        else:
            safety.tell(request, refusal)
        return False
    done = {"approve": "Approved, and done.", "edit": "Approved as edited, and done.", "reject": "Rejected."}
    messages.success(request, done[decision.decision])
    return True


def _decision(request: HttpRequest, form: edits.Edit) -> Decision | None:
    """Return what a person decided; nothing where a field says what is wrong with it."""
    asked = {"decision": request.POST.get("decision", ""), "comment": request.POST.get("comment", "")}
    try:
        if form.is_bound:
            if not form.is_valid():
                return None
            return Decision(**asked | {"decision": "edit"}, arguments=form.given())  # type: ignore[arg-type]
        if asked["decision"] == "edit":
            return Decision(**asked, arguments=json.loads(request.POST.get("arguments", "")))  # type: ignore[arg-type]
        return Decision(**asked)  # type: ignore[arg-type]
    except (json.JSONDecodeError, RecursionError) as error:
        raise exceptions.RequestRefused(
            ErrorCode.INVALID_ARGUMENTS, f"The arguments are not JSON that can be read: {error}."
        ) from None
    except ValidationError as error:
        raise exceptions.RequestRefused.by_schema(
            ErrorCode.INVALID_REQUEST, "This decision cannot be read.", error
        ) from None
