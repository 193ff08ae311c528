import json

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from mandate.models import Agent
from practice import course, models

pytestmark = pytest.mark.django_db


def test_loading_twice_changes_nothing(capsys):
    call_command("load_lessons")
    first = list(models.Module.objects.values()), list(models.StudentProfile.objects.values())

    call_command("load_lessons")

    second = list(models.Module.objects.values()), list(models.StudentProfile.objects.values())
    assert first == second
    assert (Agent.objects.count(), get_user_model().objects.count()) == (5, 5)


def test_a_loaded_lesson_is_brought_up_to_date(tmp_path):
    course.load(default_model="gpt-4.1-mini")
    (tmp_path / "functions.md").write_text("A new text.")
    one = [{"slug": "functions", "title": "Functions", "language": "python", "position": 2}]
    (tmp_path / "course.json").write_text(json.dumps({"modules": one, "students": []}))

    course.load(default_model="gpt-4.1-mini", folder=tmp_path)

    assert models.Module.objects.get(slug="functions").body == "A new text."
    assert models.Module.objects.count() == 3


@pytest.mark.parametrize("lesson", sorted(course.FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_a_lesson_has_the_length_of_one_sitting(lesson):
    assert 600 <= len(lesson.read_text().split()) <= 1000


def test_the_author_may_call_the_practice_tools_as_its_own_account():
    course.load(default_model="gpt-4.1-mini")

    author = Agent.objects.get(slug=course.AUTHOR)
    assert set(author.tools) == set(course.AUTHOR_TOOLS)
    assert not author.user.has_usable_password()
