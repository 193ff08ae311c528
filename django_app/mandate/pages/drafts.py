"""Pages of drafts: what agents wrote and nobody has decided about, one of them beside its text, and several at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from mandate import exceptions, models
from mandate.models import AgentOwned, AiStatus
from mandate.pages import differences, draft_forms, filters, safety
from mandate.selectors import reviewing as selectors
from mandate.services import drafts, previews, reviewing
from mandate.tools import reviewing as rules
from shared_schemas.problems import ErrorCode

PER_PAGE = 50

REFUSED = 409
UNFIT = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A draft in a list."""

    record: AgentOwned
    agent: models.Agent
    run: models.Run | None
    """The one that made it, if the ledger still tells."""

    checked: bool | None
    """Whether it passed its check; nothing where its model has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of a draft: as the agent wrote it, and as it is."""

    label: str
    difference: differences.Difference
    field: Any = None
    """Of the form, where the reader may change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one draft of several."""

    record: AgentOwned | None
    refused: str


@safety.page
@require_GET
def first_page(request: HttpRequest) -> HttpResponse:
    """`/agents/drafts/`: the kind of which there are drafts, or else any."""
    by = safety.person(request)
    names = sorted(selectors.kinds(), key=lambda name: not selectors.waiting(selectors.kinds()[name], by))
    if not names:
        return render(request, "mandate/drafts/list.html", {"kinds": []})
    return redirect("mandate-drafts-page", names[0])


@safety.page
@require_GET
def drafts_page(request: HttpRequest, kind: str) -> HttpResponse:
    """`/agents/drafts/{kind}/`: the oldest first, narrowed by filters."""
    by, model = safety.person(request), selectors.kind(kind)
    may_review = selectors.may_review(model, by)
    given = request.GET.copy()
    given.setdefault("status", AiStatus.DRAFT.value)
    visible = selectors.with_origin(selectors.visible_to(model, by))
    chosen = filters.Drafts(given, queryset=visible, shows_all=may_review)
    paged = Paginator(chosen.qs.order_by("pk"), PER_PAGE).get_page(request.GET.get("page"))
    given.pop("page", None)
    context = {
        "kind": kind,
        "kinds": [
            (name, _plural(each), selectors.waiting(each, by)) for name, each in selectors.kinds().items()
        ],
        "most": selectors.MOST_COUNTED,
        "page": paged,
        "rows": _rows(list(paged)),
        "filter": chosen,
        "query": given.urlencode(),
        "may_review": may_review,
        "has_check": model.verified_field is not None,
    }
    return render(request, "mandate/drafts/list.html", context)


@safety.page
@require_http_methods(["GET", "POST"])
def draft_page(request: HttpRequest, kind: str, pk: str) -> HttpResponse:
    """`/agents/drafts/{kind}/{pk}/`: the agent's text beside its fields; save, publish or reject."""
    by, model = safety.person(request), selectors.kind(kind)
    may_review = selectors.may_review(model, by)
    record = selectors.find(model, pk, user=by)
    form, status = draft_forms.of(record, request.POST or None), 200
    if request.method == "POST":
        if _decide(request, record, form):
            return redirect("mandate-draft-page", kind, pk)
        record = selectors.find(model, pk, user=by)
        status = UNFIT if form.errors else REFUSED
    is_open = may_review and record.ai_status == AiStatus.DRAFT
    review = selectors.latest_review(record)
    context = {
        "kind": kind,
        "row": _rows([record])[0],
        "review": review,
        "preview": _preview(record),
        "parts": _parts(record, review, form if is_open else None),
        "form": form if is_open else None,
        "seen": drafts.fingerprint(record),
        "comment": request.POST.get("comment", ""),
        "next": selectors.next_waiting(record, by),
        "needs": "" if may_review else selectors.permission(model),
    }
    return render(request, "mandate/drafts/detail.html", context, status=status)


@safety.page
@require_http_methods(["GET", "POST"])
def publish_page(request: HttpRequest, kind: str) -> HttpResponse:
    """`/agents/drafts/{kind}/publish/`: several at once, after a look at what they are."""
    by, model = safety.person(request), selectors.kind(kind)
    if not selectors.may_review(model, by):
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, "You may not publish these drafts.")
    if request.method == "POST":
        results = [_publish_one(request, model, chosen) for chosen in request.POST.getlist("seen")]
        done = sum(not result.refused for result in results)
        context = {"kind": kind, "results": results, "done": done, "left": len(results) - done}
        return render(request, "mandate/drafts/published.html", context)
    found = [selectors.find(model, pk, user=by) for pk in request.GET.getlist("chosen")[:PER_PAGE]]
    if not found:
        messages.error(request, "Choose the drafts to publish first.")
        return redirect("mandate-drafts-page", kind)
    chosen = [(row, f"{drafts.fingerprint(row.record)}:{row.record.pk}") for row in _rows(found)]
    return render(request, "mandate/drafts/publish.html", {"kind": kind, "chosen": chosen})


def _decide(request: HttpRequest, record: AgentOwned, form: draft_forms.Draft) -> bool:
    by, seen = safety.person(request), request.POST.get("seen", "")
    comment = request.POST.get("comment", "")
    act = request.POST.get("act", "")
    if act == "reject":
        return safety.attempt(
            request,
            lambda: reviewing.reject(record, by=by, seen=seen, comment=comment),
            done="Rejected.",
        )
    if not form.is_valid():
        return False
    changes = form.changes()
    try:
        if act == "publish":
            reviewing.publish(record, by=by, seen=seen, changes=changes, comment=comment)
        elif changes:
            reviewing.change(record, by=by, changes=changes, seen=seen)
    except exceptions.MandateError as refusal:
        form.refuse(refusal)
        return False
    done = {True: "Published.", False: "Saved; it is still a draft." if changes else "Nothing was changed."}
    messages.success(request, done[act == "publish"])
    return True


def _publish_one(request: HttpRequest, model: type[AgentOwned], chosen: str) -> Result:
    seen, _, pk = chosen.partition(":")
    by, record = safety.person(request), None
    try:
        record = selectors.find(model, pk, user=by)
        reviewing.publish(record, by=by, seen=seen)
    except exceptions.MandateError as refusal:
        return Result(record=record, refused=refusal.detail)
    return Result(record=record, refused="")


def _rows(records: Sequence[AgentOwned]) -> list[Row]:
    accounts = {record.ai_user_id for record in records if record.ai_user_id}
    agents = {agent.user_id: agent for agent in models.Agent.objects.filter(user_id__in=accounts)}
    made_in = [record.made_in for record in records]  # type: ignore[attr-defined]  # annotated
    runs = models.Run.objects.select_related("started_by").in_bulk([pk for pk in made_in if pk])
    return [
        Row(
            record=record,
            agent=agents[record.ai_user_id],  # type: ignore[index]  # what is visible has an agent
            run=runs.get(run_id),
            checked=None if record.verified_field is None else bool(getattr(record, record.verified_field)),
        )
        for record, run_id in zip(records, made_in, strict=True)
    ]


def _parts(
    record: AgentOwned, review: models.DraftReview | None, form: draft_forms.Draft | None
) -> list[Part]:
    now = drafts.texts_of(record)
    was = review.drafted if review else now
    return [
        Part(
            label=str(draft_forms.label(type(record), name)),
            difference=differences.of(drafts.plain(was.get(name)), drafts.plain(text)),
            field=form[name] if form else None,
        )
        for name, text in now.items()
    ]


def _preview(record: AgentOwned) -> str:
    rule = rules.declared().get(type(record))
    return previews.clean(rule.preview(record)) if rule and rule.preview else ""


def _plural(model: type[AgentOwned]) -> str:
    return str(model._meta.verbose_name_plural)  # noqa: SLF001 - Django's documented API
