"""Whether this process can serve."""

from django.db import connection
from django.http import HttpRequest, JsonResponse

from mandate.api import problems


@problems.answered("GET")
def ok(_: HttpRequest) -> JsonResponse:
    """`GET /ok`: 200 while the database answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"ok": True})
