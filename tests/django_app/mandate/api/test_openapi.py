import re

import pytest
from django.urls import URLPattern

from mandate import urls
from mandate.api import openapi

DOCUMENTS = [openapi.people_api(), openapi.tool_api()]


def _references(node):
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


@pytest.mark.parametrize("document", DOCUMENTS, ids=["people", "tools"])
def test_every_reference_leads_somewhere(document):
    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    missing = set(_references(document)) - named

    assert missing == set()


def test_every_address_of_the_apis_is_described():
    served = {
        re.sub(r"<\w+:(\w+)>", r"{\1}", f"/{pattern.pattern}")
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern) and str(pattern.pattern).startswith(("api/", "agent-api/"))
    }

    described = {path for document in DOCUMENTS for path in document["paths"]}

    assert described == served
