"""Pages of approvals: what waits for a person, and one question with all that is needed to decide it."""

import json
import uuid

from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods
from pydantic import ValidationError

from mandate import exceptions, models
from mandate.pages import safety, timeline
from mandate.selectors import approvals as selectors
from mandate.services import approvals, previews
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import Decision

PER_PAGE = 50

_Status = models.Approval.Status


@safety.page
@require_GET
def approvals_page(request: HttpRequest) -> HttpResponse:
    """`/agents/approvals/`: pending ones first to expire, others latest first."""
    by = safety.person(request)
    visible = selectors.visible_to(by)
    counts = visible.order_by().aggregate(
        **{status.value: Count("pk", filter=Q(status=status)) for status in _Status}
    )
    chosen = request.GET.get("status", _Status.PENDING.value)
    shown = visible.filter(status=chosen) if chosen in counts else visible
    order = ("expires_at", "pk") if chosen == _Status.PENDING else ("-created_at", "-pk")
    paged = Paginator(shown.order_by(*order), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": paged,
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
    approval = selectors.visible_to(by).filter(pk=approval_id).first()
    if approval is None:
        raise exceptions.RequestRefused(ErrorCode.NOT_FOUND, "There is no such approval.")
    written = timeline.pretty(approval.arguments)
    if request.method == "POST":
        written = request.POST.get("arguments") or written
        if _decide(request, approval):
            return redirect("mandate-approval-page", approval_id)
        approval = selectors.visible_to(by).get(pk=approval_id)
    context = {
        "approval": approval,
        "described": selectors.as_wire(approval, reader=by),
        "arguments": timeline.pretty(approval.arguments),
        "preview": previews.of(approval),
        "written": written,
        "comment": request.POST.get("comment", ""),
    }
    return render(
        request, "mandate/approvals/detail.html", context, status=409 if request.method == "POST" else 200
    )


def _decide(request: HttpRequest, approval: models.Approval) -> bool:
    by = safety.person(request)
    try:
        decision = _decision(request)
    except exceptions.RequestRefused as refusal:
        safety.tell(request, refusal)
        return False
    done = {"approve": "Approved, and done.", "edit": "Approved as edited, and done.", "reject": "Rejected."}
    return safety.attempt(
        request, lambda: approvals.decide(approval.pk, decision, by=by), done=done[decision.decision]
    )


def _decision(request: HttpRequest) -> Decision:
    asked = {"decision": request.POST.get("decision", ""), "comment": request.POST.get("comment", "")}
    try:
        if asked["decision"] == "edit":
            return Decision(**asked, arguments=json.loads(request.POST.get("arguments", "")))  # type: ignore[arg-type]
        return Decision(**asked)  # type: ignore[arg-type]
    except json.JSONDecodeError as error:
        raise exceptions.RequestRefused(
            ErrorCode.INVALID_ARGUMENTS, f"The arguments are not JSON: {error}."
        ) from None
    except ValidationError as error:
        raise exceptions.RequestRefused.by_schema(
            ErrorCode.INVALID_REQUEST, "This decision cannot be read.", error
        ) from None
