"""The documents of everything that crosses the wire, as committed in `contracts/`."""

import json
import os
from typing import Any

import django

from agent_service import app
from shared_schemas import webhooks
from stack import services

FOLDER = services.ROOT / "contracts"


def documents() -> dict[str, dict[str, Any]]:
    """Return each document by its file name; needs neither a database nor keys."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings_test")
    django.setup()
    from mandate.api import openapi  # noqa: PLC0415 - Django must be set up first
    from mandate.tools import registry  # noqa: PLC0415 - the same
    from shared_schemas import events  # noqa: PLC0415

    return {
        "agent-service.openapi.json": app.openapi(),
        "django-tool-api.openapi.json": openapi.tool_api(),
        "django-people-api.openapi.json": openapi.people_api(),
        "run-events.schema.json": events.schema(),
        "webhooks.schema.json": webhooks.Webhook.model_json_schema(),
        "practice-tools.json": {
            "tools": [tool.spec().model_dump(mode="json") for _, tool in sorted(registry.declared().items())]
        },
    }


def text(document: dict[str, Any]) -> str:
    """Return a document as it is committed."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write() -> None:
    """Write every document."""
    for name, document in documents().items():
        (FOLDER / name).write_text(text(document))
        print(f"contracts/{name}")
