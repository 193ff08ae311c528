"""Actions that a person is asked about again, and told afterwards what came of them."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.auth.models import AbstractUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from mandate import exceptions
from mandate.admin import history

MOST = 200
"""Rows that one action may change: a page can list them, and a request can do them."""

_CONFIRMED = "confirmed"

Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


def asked_again(consequence: str) -> Callable[[Action], Action]:
    """Have an action name its rows and its consequence, and do nothing, until a person says so."""

    def decorate(action: Action) -> Action:
        @functools.wraps(action)
        def ask(page: history.ModelAdmin, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
            if too_many(page, request, chosen):
                return None
            if request.POST.get(_CONFIRMED):
                return action(page, request, chosen)
            return _question(page, request, chosen, consequence)

        return ask

    return decorate


def too_many(page: history.ModelAdmin, request: HttpRequest, chosen: QuerySet[Any]) -> bool:
    """Refuse more rows than an action may be about, and say so."""
    if chosen.count() <= MOST:
        return False
    page.message_user(request, f"Choose {MOST} at most; nothing was done.", messages.ERROR)
    return True


def do_each(
    page: history.ModelAdmin,
    request: HttpRequest,
    keys: Iterable[Any],
    act: Callable[[Any], Any],
    *,
    done: str,
) -> None:
    """Do something to rows one by one; what is refused is told with its reason, and the rest is done."""
    succeeded = 0
    for key in list(keys):
        try:
            act(key)
        except exceptions.MandateError as refusal:
            page.message_user(request, f"{key}: {refusal.detail}", messages.WARNING)
        else:
            succeeded += 1
    tell(page, request, succeeded, done)


def tell(page: history.ModelAdmin, request: HttpRequest, count: int, done: str) -> None:
    """Say to how many rows something was done."""
    named = page.opts.verbose_name if count == 1 else page.opts.verbose_name_plural
    level = messages.SUCCESS if count else messages.WARNING
    page.message_user(request, f"{count} {named} {done}.", level)


def person(request: HttpRequest) -> AbstractUser:
    """Return who acts."""
    assert isinstance(request.user, AbstractUser), "the admin lets nobody unknown in"
    return request.user


def _question(
    page: history.ModelAdmin, request: HttpRequest, chosen: QuerySet[Any], consequence: str
) -> TemplateResponse:
    name = request.POST["action"]
    found = page.get_action(name)
    assert found, "the list offered it, and took it"
    context = page.admin_site.each_context(request) | {
        "title": found[2],
        "opts": page.opts,
        "action": name,
        "rows": chosen,
        "consequence": consequence,
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
        "confirmed": _CONFIRMED,
    }
    return TemplateResponse(request, "admin/mandate/confirm.html", context)
