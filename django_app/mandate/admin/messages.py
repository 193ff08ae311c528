"""Messages in the admin, to the agent service and from it."""

import functools

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from mandate import models
from mandate.admin import confirming, history
from mandate.services import deliveries


@admin.register(models.OutboxMessage)
class OutboxMessageAdmin(history.History):
    list_display = ("created_at", "topic", "key", "status", "attempts", "next_attempt_at", "delivered_at")
    list_filter = ("status", "topic", "created_at")
    list_select_related = ("run__agent",)
    search_fields = ("key", "run__id", "last_error")
    actions = ("redeliver",)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell who may have messages delivered again, though nobody edits one."""
        return request.user.has_perm(deliveries.PERMISSION)

    @admin.action(description="Deliver again, now", permissions=["operate"])
    @confirming.asked_again("They are sent once more, each with the key it always had.")
    def redeliver(self, request: HttpRequest, chosen: QuerySet[models.OutboxMessage]) -> None:
        act = functools.partial(deliveries.again, by=confirming.person(request))
        confirming.do_each(
            self, request, chosen.values_list("pk", flat=True), act, done="to be delivered again"
        )


@admin.register(models.WebhookReceipt)
class WebhookReceiptAdmin(history.History):
    list_display = ("received_at", "type", "webhook_id", "run")
    list_filter = ("type", "received_at")
    list_select_related = ("run__agent",)
    search_fields = ("webhook_id", "run__id")
