"""What people made of the records that agents drafted."""

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models

from mandate.models.agent import Agent
from mandate.models.run import Run


class DraftReview(models.Model):
    """One draft from the moment a person first touches it until it is approved or rejected.

    It outlives the run, whose ledger is deleted after a while: agent and model are kept here.
    """

    class Status(models.TextChoices):
        """How far the person is."""

        OPEN = "open", "open"
        """A person changes it and has not decided."""

        APPROVED = "approved", "approved"
        REJECTED = "rejected", "rejected"

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE, related_name="+")
    object_id = models.CharField(max_length=64)
    record = GenericForeignKey("content_type", "object_id")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="draft_reviews")
    model = models.CharField(max_length=100, blank=True)
    """The model of the run that drafted it; empty if the ledger no longer tells."""

    run = models.ForeignKey(
        Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="draft_reviews"
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    drafted = models.JSONField()
    """The agent's text by field, as it was before any person changed it."""

    published = models.JSONField(null=True, blank=True)
    """The text by field as it was approved or rejected."""

    difference = models.JSONField(default=dict, blank=True)
    """A unified diff of each field that differs."""

    drafted_characters = models.PositiveIntegerField(default=0)
    published_characters = models.PositiveIntegerField(default=0)
    kept_characters = models.PositiveIntegerField(default=0)
    """How many characters of the draft are in the published text, in their order."""

    comment = models.TextField(blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                name="mandate_review_open",
                fields=("content_type", "object_id"),
                condition=models.Q(status="open"),
            ),
            models.CheckConstraint(
                name="mandate_review_decided",
                condition=models.Q(status="open", reviewed_at__isnull=True)
                | models.Q(
                    status__in=["approved", "rejected"],
                    reviewed_at__isnull=False,
                    reviewed_by__isnull=False,
                    published__isnull=False,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.content_type} {self.object_id}: {self.status}"

    @property
    def similarity(self) -> float:
        """How much of both texts they share: 1 is unchanged, 0 nothing in common."""
        both = self.drafted_characters + self.published_characters
        return 2 * self.kept_characters / both if both else 1.0
