"""Answers that a browser keeps as files."""

from django.http import HttpResponse


def csv(name: str, text: str) -> HttpResponse:
    """Return RFC 4180 text as a file of this name, without its ending."""
    return HttpResponse(
        text,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )
