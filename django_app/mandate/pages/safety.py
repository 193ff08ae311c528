"""What every page has round it: a person who is signed in, and a strict policy of what the page may do."""

import functools
import logging
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string

from mandate import exceptions
from shared_schemas.problems import ErrorCode

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content Security Policy, level 3: nothing inline and nothing from elsewhere, whatever a model wrote."""

RETRY_AFTER = 1
"""Seconds until a page is worth asking for again whose database did not answer."""

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

logger = logging.getLogger(__name__)


def page(view: View[P]) -> View[P]:
    """Show a view to people who are signed in; what they may not see does not exist."""

    @login_required
    @functools.wraps(view)
    def seen(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except exceptions.RequestRefused as refusal:
            if refusal.code is ErrorCode.NOT_FOUND:
                raise Http404(refusal.detail) from None
            if refusal.code is ErrorCode.FORBIDDEN:
                raise PermissionDenied(refusal.detail) from None
            raise

    @functools.wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            response = seen(request, *args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            logger.warning("page.unavailable path=%s reason=%s", request.path, error)
            response = _unavailable()
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "private, no-store"
        return response

    return guarded


def _unavailable() -> HttpResponse:
    # Not the other pages' frame, which counts what waits.
    return HttpResponse(
        render_to_string("mandate/unavailable.html"), status=503, headers={"Retry-After": str(RETRY_AFTER)}
    )


def person(request: HttpRequest) -> AbstractUser:
    """Return who is signed in."""
    assert isinstance(request.user, AbstractUser), "`page` lets nobody unknown in"
    return request.user


def tell(request: HttpRequest, refusal: exceptions.MandateError) -> None:
    """Show a person why something was not done; what does not exist for them is a page of its own."""
    if refusal.code is ErrorCode.NOT_FOUND:
        raise Http404(refusal.detail)
    places = getattr(refusal, "errors", [])
    details = [refusal.detail, *(f"{place.pointer}: {place.detail}" for place in places)]
    messages.error(request, " ".join(details))


def attempt(request: HttpRequest, action: Callable[[], Any], *, done: str) -> bool:
    """Do something a person asked for, and tell them what came of it."""
    try:
        action()
    except exceptions.MandateError as refusal:
        tell(request, refusal)
        return False
    messages.success(request, done)
    return True
