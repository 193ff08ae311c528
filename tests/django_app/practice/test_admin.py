import pytest
from django.contrib.admin import site
from django.urls import reverse

from mandate import models as ledger
from mandate import testing
from mandate.services import undo
from practice import models, services

pytestmark = pytest.mark.django_db

TASKS = reverse("admin:practice_task_changelist")


@pytest.fixture
def drafted(module):
    """A task that an agent drafted by its tool, verified."""
    draft = {"title": "Double it", "text": "Write double(number), twice the number."}
    testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": [draft]})
    task = models.Task.objects.get()
    task.tests = [{"input": "double(2)", "expected": 4}]
    task.solution = "def double(number):\n    return 2 * number\n"
    services.record_verdict(task, services.check(task))
    task.save()
    return task


def test_an_editors_changes_are_told_from_the_agents_text(admin_client, admin_user, drafted):
    fields = {"module": drafted.module_id, "title": "Twice", "text": drafted.text, "starting_code": ""}
    admin_client.post(reverse("admin:practice_task_change", args=[drafted.pk]), fields)

    admin_client.post(TASKS, {"action": "publish", "_selected_action": [str(drafted.pk)]})

    review = ledger.DraftReview.objects.get()
    drafted.refresh_from_db()
    assert (drafted.title, drafted.active) == ("Twice", True)
    assert (review.drafted["title"], review.published["title"]) == ("Double it", "Twice")
    assert (review.reviewed_by, list(review.difference)) == (admin_user, ["title"])


def test_an_editors_changes_take_nothing_back_of_what_an_agent_does_meanwhile(rf, admin_user, drafted):
    tasks, request = site.get_model_admin(models.Task), rf.post("/")
    request.user = admin_user
    fields = {"module": drafted.module_id, "title": "Twice", "text": drafted.text, "starting_code": ""}
    form = tasks.get_form(request, drafted, change=True)(fields, instance=drafted)
    changed = tasks.save_form(request, form, change=True)
    services.set_solution(models.Task.objects.get(), "def double(number):\n    return number + number\n")

    tasks.save_model(request, changed, form, change=True)

    task = models.Task.objects.get()
    assert (task.title, task.verified, "number + number" in task.solution) == ("Twice", False, True)


def test_an_editor_rejects_a_draft(admin_client, drafted):
    admin_client.post(TASKS, {"action": "reject", "_selected_action": [str(drafted.pk)]})

    drafted.refresh_from_db()
    assert (drafted.ai_status, drafted.active) == ("rejected", False)
    assert ledger.DraftReview.objects.get().status == "rejected"


def test_drafts_that_were_added_are_taken_back(admin_user, drafted):
    undo.undo(ledger.ToolCall.objects.get().pk, by=admin_user)

    assert not models.Task.objects.exists()


def test_what_people_published_is_not_taken_back_behind_their_backs(admin_user, drafted):
    services.publish(drafted, by=admin_user)

    with pytest.raises(Exception, match="withdraw and delete by hand"):
        undo.undo(ledger.ToolCall.objects.get().pk, by=admin_user)

    assert models.Task.objects.get().active
