"""A task as a person reads it before students do."""

import json
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from markdown_it import MarkdownIt

from practice import models

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def of(task: models.Task) -> str:
    """Return HTML: what the student sees, then tests, solution and verdict."""
    context = {
        "task": task,
        "text": mark_safe(_MARKDOWN.render(task.text)),  # noqa: S308 - it lets no HTML through
        "tests": [_test(test) for test in task.tests],
    }
    return render_to_string("practice/task_preview.html", context)


def _test(test: dict[str, Any]) -> tuple[str, str]:
    if "tables" in test:
        tables = (f"{table['table']}: {_json(table['rows'])}" for table in test["tables"])
        return "\n".join(tables), _json(test["expected"])
    return test["input"], test["holds"] if "holds" in test else _json(test["expected"])


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
