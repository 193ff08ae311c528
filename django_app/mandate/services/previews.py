"""What a call that waits for a person would do, as that person may read it."""

from dataclasses import dataclass

import nh3
from django.utils.safestring import SafeString, mark_safe

from mandate import exceptions, models
from mandate.services import effects
from mandate.tools import context as tool_context
from mandate.tools import registry

TAGS = frozenset(
    {
        *("p", "br", "hr", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "strong", "em", "del", "ins"),
        *("ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tr", "th", "td"),
    }
)
"""Nothing that leads elsewhere or loads anything: a model may have written what it says."""

ATTRIBUTES = {"th": {"scope"}}


@dataclass(frozen=True, slots=True)
class Preview:
    """One of the two is empty."""

    html: SafeString
    problem: str
    """Why there is none."""


def of(approval: models.Approval) -> Preview | None:
    """Return the preview that the tool's rule makes, cleaned; none if the rule makes none, or it is decided."""
    if approval.status != models.Approval.Status.PENDING:
        return None
    tool = registry.declared().get(approval.tool_call.tool)
    if tool is None or tool.approval is None or tool.approval.preview is None:
        return None
    run = approval.run
    context = tool_context.Context(
        run_id=run.pk, agent_user=run.agent.user, acting_for=run.started_by, records=tool.records
    )
    try:
        with effects.guarded(tool, context):
            written = tool.approval.preview(context, effects.validate(tool, approval.arguments))
    except exceptions.MandateError as refusal:
        return Preview(SafeString(), str(refusal))
    return Preview(clean(written), "")


def clean(html: str) -> SafeString:
    """Keep of HTML what shows text."""
    cleaned = nh3.clean(html, tags=set(TAGS), attributes=ATTRIBUTES)
    return mark_safe(cleaned)  # noqa: S308 - this is what makes it safe
