"""The page of those who keep it going: queues, failures, and what waits for somebody."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from mandate import exceptions
from mandate.pages import safety
from mandate.selectors import operation as selectors
from shared_schemas.problems import ErrorCode


@safety.page
@require_GET
def operation_page(request: HttpRequest) -> HttpResponse:
    """`/agents/operation/`: how the whole of it is going."""
    by = safety.person(request)
    if not (by.is_staff and by.has_perms(selectors.PERMISSIONS)):
        needed = " and ".join(selectors.PERMISSIONS)
        raise exceptions.RequestRefused(ErrorCode.FORBIDDEN, f"This page is for staff with {needed}.")
    return render(request, "mandate/operation.html", {"figures": selectors.figures()})
