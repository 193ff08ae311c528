import pytest
from django.contrib.auth.models import Permission

from mandate import models, testing
from mandate.services import previews
from practice import agent_tools
from practice import models as practice_models

pytestmark = pytest.mark.django_db


@pytest.fixture
def task(asked):
    return practice_models.Task.objects.get()


@pytest.fixture
def asked(user):
    """A question about a task whose words a model wrote."""
    module = practice_models.Module.objects.create(
        slug="m", title="M", language="python", body="b", published=True
    )
    author = testing.make_agent(agent_tools.add_tasks.__name__, agent_tools.publish_task.__name__)
    run = testing.start_run(author, by=user)
    text = "# Sum\n\nWrite `total(payments)`.\n\n<script>alert(1)</script>![x](http://evil.test/x)[y](http://evil.test)"
    tasks = [{"title": "<b>Till</b>", "text": text}]
    testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": tasks}, run=run)
    task = practice_models.Task.objects.get()
    practice_models.Task.objects.update(
        verified=True,
        solution="def total(payments): return 1 < 2",
        tests=[{"input": "total([1])", "expected": 1}, {"input": "total([])", "holds": "result == 0"}],
        verdict={"passed": True, "tests": 2, "failures": [], "isolation": "limits"},
    )
    testing.call_tool("publish_task", {"task_id": task.pk}, run=run)
    return models.Approval.objects.get()


def test_a_question_shows_the_rendered_task_with_tests_and_verdict(asked):
    html = previews.of(asked).html

    assert "<code>total(payments)</code>" in html
    assert "<td><code>total([1])</code></td><td><code>1</code></td>" in html
    assert "<code>result == 0</code>" in html
    assert "return 1 &lt; 2" in html
    assert "passes all 2 tests" in html


def test_nothing_of_a_models_words_leads_elsewhere_or_runs(asked):
    html = previews.of(asked).html

    assert "<script" not in html
    assert "<img" not in html
    assert "evil.test" not in html
    assert "<h1" not in html
    assert "&lt;b&gt;Till" in html


def test_a_preview_that_cannot_be_made_says_why(asked, task):
    task.delete()

    shown = previews.of(asked)

    assert shown.html == ""
    assert shown.problem


def test_what_is_decided_has_none(asked, user):
    user.user_permissions.add(Permission.objects.get(codename="publish_task"))
    testing.decide(asked.pk, "reject", by=user)

    asked.refresh_from_db()

    assert previews.of(asked) is None


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert(1)</script>",
        "<style>p{}</style>",
        "<img src=x onerror=alert(1)>",
        '<p onclick="x" style="y">t</p>',
    ],
)
def test_cleaned_html_does_nothing(written):
    assert previews.clean(written) in {"", "<p>t</p>"}
