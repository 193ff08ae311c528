"""The committed documents are what the code says."""

import pytest

from stack import contracts

DOCUMENTS = (
    "agent-service.openapi.json",
    "django-people-api.openapi.json",
    "django-tool-api.openapi.json",
    "practice-tools.json",
    "run-events.schema.json",
    "webhooks.schema.json",
)


@pytest.fixture(scope="module")
def documents():
    return contracts.documents()


def test_every_document_is_committed(documents):
    committed = {path.name for path in contracts.FOLDER.glob("*.json")}

    assert committed == set(documents) == set(DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_document_is_what_the_code_says(documents, name):
    committed = (contracts.FOLDER / name).read_text()

    assert committed == contracts.text(documents[name]), (
        f"contracts/{name} is out of date: run `make contracts`, read the difference, commit it."
    )
