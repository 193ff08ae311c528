import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from mandate import models as mandate_models
from mandate import testing
from mandate.models import AiStatus
from mandate.tools import choosing
from practice import course, models

CHAINS = reverse("practice-chains-page")


@pytest.fixture
def teacher(client, db):
    course.load(default_model="gpt-4.1-mini")
    person = get_user_model().objects.create_user("teacher")
    person.user_permissions.add(Permission.objects.get(codename="add_task"))
    client.force_login(person)
    return person


@pytest.fixture
def send(client, teacher):
    def post(**fields):
        lesson = models.Module.objects.get(slug="functions")
        return client.post(CHAINS, {"request_key": "one", "module": lesson.pk, "count": 2} | fields)

    return post


def test_a_chain_is_started_from_its_form_and_watched(client, send, teacher):
    student = models.StudentProfile.objects.first()

    started = send(student=student.pk, model="gpt-4.1-mini")

    chain = models.Chain.objects.get()
    assert (chain.count, chain.student, chain.model, chain.started_by) == (
        2,
        student,
        "gpt-4.1-mini",
        teacher,
    )
    page = client.get(started.url).content.decode()
    assert str(mandate_models.Run.objects.get().pk) in page


def test_the_page_of_a_chain_leads_to_what_it_asks(client, send, teacher, make_task):
    page = send().url
    agents = {agent.slug: agent for agent in mandate_models.Agent.objects.select_related("user")}
    task = make_task(ai_user=agents[course.CONDITIONS].user, verified=True, verdict={"passed": True})
    solving = testing.start_run(agents[course.SOLUTION], by=teacher)
    models.ChainStep.objects.create(chain=models.Chain.objects.get(), kind="solution", task=task, run=solving)
    testing.call_tool("publish_task", {"task_id": task.pk}, run=solving)
    mandate_models.Run.objects.filter(pk=solving.pk).update(status="awaiting_approval")

    whole, listed = (client.get(address).content.decode() for address in (page, CHAINS))

    [question] = mandate_models.Approval.objects.all()
    assert question.message == "Show the task 'Double it' of the lesson 'Loops' to students?"
    assert reverse("mandate-approval-page", args=[question.pk]) in whole
    assert all("awaiting approval" in content for content in (whole, listed))


def test_a_form_that_is_sent_twice_starts_one_chain(send):
    first, second = send(), send()

    assert first.url == second.url
    assert models.Chain.objects.count() == mandate_models.Run.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        pytest.param({"module": 999}, "module", id="no such lesson"),
        pytest.param({"count": 0}, "count", id="too few"),
        pytest.param({"count": 99}, "count", id="too many"),
        pytest.param({"model": "gpt-z"}, "model", id="no such model"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(send, fields, refused):
    response = send(**fields)

    assert response.status_code == 422
    assert list(response.context["form"].errors) == [refused]
    assert not models.Chain.objects.exists()


def test_who_may_not_start_the_agents_is_told_above_the_fields(send, teacher):
    teacher.user_permissions.clear()

    response = send()

    assert "practice.add_task" in response.context["form"].non_field_errors()[0]
    assert not models.Chain.objects.exists()


@pytest.mark.parametrize(("status", "is_live"), [("running", True), ("cancelled", False)])
def test_a_chains_page_is_refreshed_while_something_may_change(client, send, status, is_live):
    started = send()
    ended_at = None if is_live else timezone.now()
    mandate_models.Run.objects.update(status=status, ended_at=ended_at)

    content = client.get(started.url).content.decode()

    assert ("data-live" in content) == is_live


def test_a_chain_whose_runs_are_not_kept_any_more_is_over(client, send):
    page = send().url
    mandate_models.Run.objects.all().delete()

    answers = [client.get(address) for address in (page, CHAINS)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert "completed" in answers[0].content.decode()


def test_other_peoples_chains_are_not_there(client, send, teacher):
    send()
    models.Chain.objects.update(started_by=get_user_model().objects.create_user("other"))

    chain = models.Chain.objects.get()
    assert client.get(reverse("practice-chain-page", args=[chain.pk])).status_code == 404
    assert list(client.get(CHAINS).context["page"]) == []


def test_the_page_of_agents_leads_to_the_chains(client, teacher):
    content = client.get(reverse("mandate-agents-page")).content.decode()

    assert f'href="{CHAINS}"' in content
    assert "Practice author" in content


@pytest.mark.parametrize("graph", ["practice_tests", "practice_solution"])
def test_agents_that_work_on_a_draft_are_given_one_by_name(make_task, teacher, graph):
    agent_user = get_user_model().objects.get(username="agent-practice-conditions")
    draft = make_task(ai_user=agent_user, title="Open")
    make_task(ai_user=agent_user, title="Decided", ai_status=AiStatus.APPROVED)
    make_task(ai_user=None, title="A person's")

    offered = choosing.of(graph, "task_id", user=teacher)

    assert offered == [(draft.pk, "Loops: Open")]


@pytest.mark.parametrize("graph", ["practice_author", "practice_conditions"])
def test_lessons_and_students_are_offered_by_name(teacher, graph):
    lessons, students = (choosing.of(graph, field, user=teacher) for field in ("module_id", "student_id"))

    assert "Lists and loops" in dict(lessons).values()
    assert len(students) == models.StudentProfile.objects.count() > 0
