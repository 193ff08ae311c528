import pytest

from mandate import exceptions, models, testing
from mandate.models import AiStatus
from mandate.selectors import drafts as selectors
from mandate.services import drafts
from practice import agent_tools
from practice.models import Module, Task
from shared_schemas.problems import ErrorCode

pytestmark = pytest.mark.django_db

TEXT = "Write a function that adds two numbers."


@pytest.fixture
def write_draft(user):
    """Has an agent draft a task, with a model."""
    module = Module.objects.create(slug="m", title="M", language="python", body="b", published=True)
    agent = testing.make_agent(agent_tools.add_tasks.__name__)

    def write(title="Add", *, model="gpt", text=TEXT):
        run = testing.start_run(agent, by=user, model=model)
        draft = {"title": title, "text": text}
        testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": [draft]}, run=run)
        return Task.objects.get(title=title)

    return write


def test_what_an_agent_makes_is_a_draft(write_draft):
    assert write_draft().ai_status == AiStatus.DRAFT


def test_the_agents_text_the_published_text_and_their_difference_are_kept(write_draft, user):
    task = write_draft()
    better = TEXT.replace("two", "three")

    review = drafts.review(task, by=user, changes={"text": better}, comment="More is better.")

    task.refresh_from_db()
    assert (task.text, task.ai_status) == (better, AiStatus.APPROVED)
    assert (review.drafted["text"], review.published["text"]) == (TEXT, better)
    assert list(review.difference) == ["text"]
    assert f"+{better}" in review.difference["text"]
    assert 0.9 < review.similarity < 1
    assert (review.model, review.reviewed_by, review.comment) == ("gpt", user, "More is better.")


def test_the_agents_text_is_that_of_before_a_persons_first_change(write_draft, user):
    task = write_draft()
    for title in ("Sum", "Total"):
        drafts.keep_text(task, by=user)
        Task.objects.filter(pk=task.pk).update(title=title)

    review = drafts.review(task, by=user)

    assert (review.drafted["title"], review.published["title"]) == ("Add", "Total")
    assert models.DraftReview.objects.count() == 1


def test_a_change_that_does_not_fit_decides_nothing(write_draft, user):
    task = write_draft()

    with pytest.raises(Exception, match="at most 120 characters"):
        drafts.review(task, by=user, changes={"title": "x" * 121})

    task.refresh_from_db()
    assert (task.ai_status, models.DraftReview.objects.count()) == (AiStatus.DRAFT, 0)


def test_a_draft_is_decided_about_once(write_draft, user):
    task = write_draft()
    drafts.review(task, by=user, approve=False)

    with pytest.raises(exceptions.RequestRefused) as refused:
        drafts.review(task, by=user)

    assert refused.value.code == ErrorCode.CONFLICT


def test_an_agent_reviews_nothing(write_draft):
    task = write_draft()

    with pytest.raises(exceptions.RequestRefused) as refused:
        drafts.review(task, by=task.ai_user)

    assert refused.value.code == ErrorCode.FORBIDDEN


def test_of_what_a_person_wrote_nothing_is_kept(write_draft, user):
    task = Task.objects.create(module=write_draft().module, title="Mine", text=TEXT)

    assert drafts.review(task, by=user) is None
    assert not models.DraftReview.objects.exists()


def test_the_figures_are_by_agent_and_model(write_draft, user):
    drafts.review(write_draft("One"), by=user)
    drafts.review(write_draft("Two"), by=user, changes={"text": "Quite another thing: nothing is kept!"})
    drafts.review(write_draft("Three", model="other"), by=user, approve=False)
    drafts.keep_text(write_draft("Four"), by=user)

    other, ours = sorted(selectors.figures(), key=lambda one: one.reviews)

    assert (ours.model, ours.reviews, ours.approved, ours.unchanged) == ("gpt", 2, 2, 1)
    assert 0.4 < ours.similarity < 0.8
    assert (other.model, other.rejected, other.similarity) == ("other", 1, None)


def test_a_review_outlives_the_run(write_draft, user):
    review = drafts.review(write_draft(), by=user)

    models.Run.objects.all().delete()

    assert selectors.figures(review.agent)[0].model == "gpt"


@pytest.mark.timeout(20, func_only=True)
def test_an_enormous_text_is_compared_in_a_moment(write_draft, user):
    task = write_draft()
    lines = [f"{number} {number}\n" for number in range(5_000)]
    Task.objects.filter(pk=task.pk).update(text="a\n" + "".join(lines) + "b")

    review = drafts.review(task, by=user, changes={"text": "c\n" + "".join(lines) + "d"})

    assert review.similarity > 0.99
