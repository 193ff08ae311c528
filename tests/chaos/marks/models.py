"""What the tools of the chaos tests do: leave a mark. Nothing in the table keeps two of them apart."""

from django.db import models


class Mark(models.Model):
    run_id = models.UUIDField(db_index=True)
    name = models.CharField(max_length=100)
    sealed = models.BooleanField(default=False)
    """Made by the tool that needs a person."""

    key = models.CharField(max_length=64)
    """The idempotency key of the call that made it."""

    def __str__(self) -> str:
        return self.name
