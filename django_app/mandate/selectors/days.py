"""Days of the server's zone as moments: for those there are indexes."""

from datetime import date, datetime, time

from django.utils import timezone


def start(day: date) -> datetime:
    """Return the first moment of a day."""
    return timezone.make_aware(datetime.combine(day, time.min))


def end(day: date) -> datetime:
    """Return the last moment of a day."""
    return timezone.make_aware(datetime.combine(day, time.max))
