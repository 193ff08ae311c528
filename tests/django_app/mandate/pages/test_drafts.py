import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from mandate import models, testing, tools
from mandate.models import AiStatus
from mandate.pages import safety
from mandate.services import drafts
from mandate.tools import reviewing
from practice import agent_tools
from practice.models import Module, Task

pytestmark = pytest.mark.django_db

KIND = "practice.task"
TEXT = "Write a function that adds two numbers."


@pytest.fixture
def draft(user):
    """Have an agent draft a task in a run of somebody's."""
    module = Module.objects.create(slug="m", title="M", language="python", body="b", published=True)
    agent = testing.make_agent(agent_tools.add_tasks.__name__)

    def write(title="Add", *, by=user, text=TEXT, verified=True):
        run = testing.start_run(agent, by=by, model="gpt")
        task = {"title": title, "text": text}
        testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": [task]}, run=run)
        Task.objects.filter(title=title).update(verified=verified, verdict={"passed": True, "tests": 1})
        return Task.objects.get(title=title)

    return write


@pytest.fixture
def reviewer(user):
    user.user_permissions.add(Permission.objects.get(codename="publish_task"))
    return user


@pytest.fixture
def send(client, user):
    client.force_login(user)

    def post(task, act, **fields):
        given = {"act": act, "seen": drafts.fingerprint(task), **drafts.texts_of(task)}
        address = reverse("mandate-draft-page", args=[KIND, task.pk])
        return client.post(address, given | fields, follow=True)

    return post


def shown(response):
    return [row.record for row in response.context["rows"]]


def test_a_person_sees_the_drafts_of_their_own_runs(page, draft, make_user):
    own, other = draft("Own"), draft("Other", by=make_user())

    listed = page("mandate-drafts-page", KIND)

    assert shown(listed) == [own]
    assert page("mandate-draft-page", KIND, other.pk).status_code == 404
    assert b'value="publish"' not in page("mandate-draft-page", KIND, own.pk).content


def test_who_may_publish_sees_all_drafts_and_how_many_wait(page, draft, reviewer, make_user):
    tasks = [draft("Own"), draft("Other", by=make_user())]
    drafts.review(draft("Done"), by=reviewer)

    listed = page("mandate-drafts-page", KIND)

    assert shown(listed) == tasks
    assert '<span class="count">2<span class="spoken"> waiting</span></span>' in listed.content.decode()


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        pytest.param({"words": "MULTIPLIES"}, ["Times"], id="words"),
        pytest.param({"checked": "no"}, ["Times"], id="check"),
        pytest.param({"person": "ANNA"}, ["Add"], id="person"),
        pytest.param({"status": "rejected"}, ["Bad"], id="status"),
    ],
)
def test_drafts_are_narrowed(page, draft, reviewer, make_user, query, titles):
    draft()
    draft("Times", text="Write a function that multiplies.", verified=False, by=make_user())
    drafts.review(draft("Bad", by=make_user()), by=reviewer, approve=False)

    found = shown(page("mandate-drafts-page", KIND, **query))

    assert [task.title for task in found] == titles


def test_a_draft_is_published_with_last_changes_by_the_projects_rule(send, draft, reviewer):
    task = draft()

    response = send(task, "publish", title="Sum", comment="Shorter.")

    task.refresh_from_db()
    review = models.DraftReview.objects.get()
    assert (task.title, task.ai_status, task.active) == ("Sum", AiStatus.APPROVED, True)
    assert (review.drafted["title"], review.published["title"], review.comment) == ("Add", "Sum", "Shorter.")
    assert list(review.difference) == ["title"]
    assert "<del>Add</del>" in response.content.decode()
    assert "<ins>Sum</ins>" in response.content.decode()


def test_what_is_saved_stays_a_draft_and_is_marked(send, draft, reviewer):
    task = draft()

    content = send(task, "save", text=TEXT.replace("two", "three")).content.decode()

    task.refresh_from_db()
    assert (task.ai_status, task.text) == (AiStatus.DRAFT, TEXT.replace("two", "three"))
    assert "<del>two</del>" in content
    assert "<ins>three</ins>" in content


def test_what_a_browser_does_to_line_ends_is_no_change(send, draft, reviewer):
    task = draft(text="Write a function.\nIt adds two numbers.\n")

    send(task, "save", text=task.text.replace("\n", "\r\n"))

    task.refresh_from_db()
    assert "\r" not in task.text
    assert not models.DraftReview.objects.exists()


def test_a_draft_is_rejected_with_a_comment_and_without_the_changes(send, draft, reviewer):
    task = draft()

    send(task, "reject", title="x" * 500, comment="Too easy.")

    task.refresh_from_db()
    assert (task.title, task.ai_status) == ("Add", AiStatus.REJECTED)
    assert models.DraftReview.objects.get().comment == "Too easy."


def test_a_change_that_does_not_fit_is_shown_at_its_field_and_kept(send, draft, reviewer):
    task = draft()

    response = send(task, "publish", title="x" * 121)

    task.refresh_from_db()
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["title"]
    assert "x" * 121 in response.content.decode()
    assert task.ai_status == AiStatus.DRAFT


def test_a_rule_that_refuses_is_shown_and_nothing_is_changed(send, draft, reviewer):
    task = draft(verified=False)

    response = send(task, "publish", title="Sum")

    task.refresh_from_db()
    assert "Only a task whose solution passes" in response.context["form"].non_field_errors()[0]
    assert response.context["form"]["title"].value() == "Sum"
    assert (task.title, task.ai_status) == ("Add", AiStatus.DRAFT)


def test_what_was_changed_meanwhile_is_not_overwritten(send, draft, reviewer):
    task = draft()
    seen = drafts.fingerprint(task)
    Task.objects.filter(pk=task.pk).update(text="Write a function that adds three numbers.")

    response = send(task, "save", title="Sum", seen=seen)

    task.refresh_from_db()
    assert "changed while you looked" in response.context["form"].non_field_errors()[0]
    assert response.context["seen"] == drafts.fingerprint(task)
    assert task.title == "Add"


def test_a_draft_is_decided_once(send, draft, reviewer):
    task = draft()
    send(task, "publish")

    response = send(task, "reject")

    task.refresh_from_db()
    assert response.status_code == 409
    assert task.ai_status == AiStatus.APPROVED


def test_who_may_not_publish_decides_nothing(send, draft):
    task = draft()

    send(task, "publish", title="Sum")

    task.refresh_from_db()
    assert (task.title, task.ai_status) == ("Add", AiStatus.DRAFT)


def test_several_are_published_each_by_itself(client, page, draft, reviewer):
    good, bad, changed = draft("Good"), draft("Bad", verified=False), draft("Changed")
    asked = page("mandate-drafts-publish-page", KIND, chosen=[good.pk, bad.pk, changed.pk])
    seen = [value for _, value in asked.context["chosen"]]
    Task.objects.filter(pk=changed.pk).update(text="Something that nobody has looked at.")

    answer = client.post(reverse("mandate-drafts-publish-page", args=[KIND]), {"seen": seen})

    results = {result.record.title: result.refused for result in answer.context["results"]}
    assert results["Good"] == ""
    assert "Only a task whose solution passes" in results["Bad"]
    assert "changed while you looked" in results["Changed"]
    assert list(Task.objects.filter(active=True)) == [good]


def test_nothing_chosen_is_told(page, reviewer, draft):
    draft()

    response = page("mandate-drafts-publish-page", KIND)

    assert response.url == reverse("mandate-drafts-page", args=[KIND])


def test_who_may_not_publish_publishes_no_several(client, page, draft):
    task = draft()

    answer = client.post(
        reverse("mandate-drafts-publish-page", args=[KIND]), {"seen": f"{drafts.fingerprint(task)}:{task.pk}"}
    )

    assert answer.status_code in {403, 404}
    assert page("mandate-drafts-publish-page", KIND, chosen=[task.pk]).status_code == 403


def test_drafts_are_linked_where_they_were_made(page, draft):
    task = draft()
    run = models.Run.objects.get()

    content = page("mandate-run-page", run.pk).content.decode()

    assert f'href="{reverse("mandate-draft-page", args=[KIND, task.pk])}"' in content


@pytest.mark.parametrize("address", ["/agents/drafts/practice.module/", "/agents/drafts/x/record/1/"])
def test_what_is_no_kind_of_draft_is_not_there(client, user, address):
    client.force_login(user)

    assert client.get(address).status_code == 404


@pytest.mark.parametrize("pk", ["x", "999", "99999999999999999999999"])
def test_a_draft_that_is_not_there_is_not_found(page, pk):
    assert page("mandate-draft-page", KIND, pk).status_code == 404


def test_the_list_asks_equally_often_however_long_it_is(
    page, draft, reviewer, django_assert_max_num_queries, django_assert_num_queries
):
    draft()
    page("mandate-drafts-page", KIND)
    with django_assert_max_num_queries(14) as few:
        page("mandate-drafts-page", KIND)
    for number in range(5):
        draft(f"Task {number}")

    with django_assert_num_queries(len(few)):
        page("mandate-drafts-page", KIND)


def test_what_an_agent_wrote_is_text(page, draft, reviewer):
    task = draft("<script>alert(1)</script>", text="<img src=http://evil.test/x> is what <b>it</b> wrote")

    for response in (page("mandate-drafts-page", KIND), page("mandate-draft-page", KIND, task.pk)):
        content = response.content.decode()
        assert "<script>alert" not in content
        assert "<img" not in content
        assert response.headers["Content-Security-Policy"] == safety.POLICY


@pytest.fixture
def without_rule():
    """The model as it is where no app says what publishing means."""
    rule = reviewing.declared()[Task]
    reviewing.forget(Task)
    yield
    tools.publishes(Task, permission=rule.permission, preview=rule.preview)(rule.publish)


@pytest.mark.usefixtures("without_rule")
def test_without_a_rule_publishing_is_approving_by_who_may_change_the_record(send, draft, user):
    task = draft(verified=False)
    user.user_permissions.add(Permission.objects.get(codename="change_task"))

    send(task, "publish", title="Sum", comment="Fine.")

    task.refresh_from_db()
    assert (task.title, task.ai_status, task.active) == ("Sum", AiStatus.APPROVED, False)
    assert models.DraftReview.objects.get().comment == "Fine."


def test_the_question_about_a_draft_leads_to_it(page, draft, user):
    task = draft()
    agent = testing.make_agent("publish_task")
    Task.objects.update(ai_user=agent.user)
    testing.call_tool("publish_task", {"task_id": task.pk}, run=testing.start_run(agent, by=user))

    content = page("mandate-approval-page", models.Approval.objects.get().pk).content.decode()

    assert f'href="{reverse("mandate-draft-page", args=[KIND, task.pk])}"' in content
