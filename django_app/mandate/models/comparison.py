"""The same work given to several models."""

from django.conf import settings
from django.db import models


class Comparison(models.Model):
    """Runs that differ in their model only."""

    name = models.CharField(max_length=200)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return self.name
