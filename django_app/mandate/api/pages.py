"""Lists in pages that keep their place while records are added."""

import re

from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from mandate.api import parameters

MAX_SIZE = 200

_SIZE = re.compile("[1-9][0-9]{0,2}")


class Pages(CursorPagination):
    """As many as `limit` says; a limit that cannot be kept is refused, not replaced."""

    page_size = 50
    page_size_query_param = "limit"

    def get_page_size(self, request: Request) -> int | None:
        limit: str = request.query_params.get("limit", str(self.page_size))
        if not _SIZE.fullmatch(limit) or int(limit) > MAX_SIZE:
            raise parameters.wrong("limit", f"It is a number from 1 to {MAX_SIZE}.")
        return int(limit)


class NewestFirst(Pages):
    """For what is looked at while more of it is made."""

    ordering = ("-created_at", "-id")
