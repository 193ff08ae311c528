"""Who asks the people's API."""

from django.contrib.auth.models import AbstractUser, AnonymousUser
from rest_framework.request import Request


def person(request: Request) -> AbstractUser:
    """Return who is signed in."""
    assert not isinstance(request.user, AnonymousUser), "the permission classes let nobody unknown in"
    return request.user
