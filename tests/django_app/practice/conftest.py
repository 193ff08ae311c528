import pytest
from django.contrib.auth import get_user_model

from practice import models, schemas


@pytest.fixture
def agent_user(db):
    return get_user_model().objects.create_user("agent-author")


@pytest.fixture
def editor(db):
    return get_user_model().objects.create_user("editor")


@pytest.fixture
def module(db):
    return models.Module.objects.create(
        slug="loops", title="Loops", language="python", body="Round and round.", published=True
    )


@pytest.fixture
def sql_module(db):
    return models.Module.objects.create(
        slug="joins", title="Joins", language="sql", body="Side by side.", published=True
    )


@pytest.fixture
def make_task(module, agent_user):
    def make(**fields):
        given = {
            "module": module,
            "ai_user": agent_user,
            "title": "Double it",
            "text": "Write double(number).",
            "tests": [{"input": "double(2)", "expected": 4}],
            "solution": "def double(number):\n    return 2 * number\n",
        }
        return models.Task.objects.create(**given | fields)

    return make


@pytest.fixture
def draft():
    return schemas.TaskDraft(title="Double it", text="Write double(number), twice the number.")
