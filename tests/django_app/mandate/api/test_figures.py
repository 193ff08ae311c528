import csv
import io

import pytest
from django.urls import reverse

from mandate import models, testing
from mandate.models import ToolCallLink
from practice.models import Module, Task
from shared_schemas import figures as wire
from shared_schemas.problems import ErrorCode

pytestmark = pytest.mark.django_db

FIGURES = reverse("mandate-figures")


@pytest.fixture
def module():
    return Module.objects.create(slug="m", title="M", language="python", body="b", published=True)


@pytest.fixture
def agent(db):
    return testing.make_agent("add_tasks")


@pytest.fixture
def draft(module, agent, user):
    """Let a run with some model and version of the prompts draft tasks, of which the first ones pass their check."""

    def start(model, version, *, count, passed, by=user):
        run = testing.start_run(agent, by=by, model=model, prompt_version=version)
        texts = [
            {"title": f"Task {number}", "text": "Write a function that adds."} for number in range(count)
        ]
        added = testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": texts}, run=run)
        made = [task["task_id"] for task in added.result["tasks"]]
        Task.objects.filter(pk__in=made[:passed]).update(verified=True, verdict={"passed": True})
        return run

    return start


@pytest.fixture
def read(client, user):
    client.force_login(user)

    def get(**query):
        return wire.Figures.model_validate_json(client.get(FIGURES, query).content)

    return get


def test_each_model_and_version_has_its_share_of_verified_drafts(draft, read):
    draft("quick", "one", count=3, passed=1)
    draft("quick", "two", count=1, passed=1)
    draft("thorough", "two", count=2, passed=2)

    figures = read()

    models_ = {one.model: (one.drafts, one.verified, one.verification_rate) for one in figures.models}
    prompts = {one.prompt_version: (one.drafts, one.verified) for one in figures.prompts}
    assert models_ == {"quick": (4, 2, 0.5), "thorough": (2, 2, 1.0)}
    assert prompts == {"one": (3, 1), "two": (3, 3)}


def test_a_draft_counts_for_the_run_that_made_it(draft, read):
    draft("quick", "one", count=2, passed=0)
    later = draft("thorough", "two", count=1, passed=1)
    links = ToolCallLink.objects.exclude(tool_call__run=later)
    again = later.tool_calls.get()
    for link in links:
        ToolCallLink.objects.create(tool_call=again, content_type=link.content_type, object_id=link.object_id)

    drafts = {one.model: one.drafts for one in read().models}

    assert drafts == {"quick": 2, "thorough": 1}


def test_what_is_gone_or_a_persons_does_not_count(draft, read):
    draft("quick", "one", count=3, passed=3)
    first, second, _ = Task.objects.order_by("pk")
    first.delete()
    Task.objects.filter(pk=second.pk).update(ai_user=None)

    (one,) = read().models

    assert (one.drafts, one.verified) == (1, 1)


def test_without_drafts_there_is_no_share(start_run, read):
    start_run()

    (one,) = read().models

    assert (one.drafts, one.verified, one.verification_rate) == (0, None, None)


def test_figures_are_of_the_runs_that_a_person_may_see(draft, read, make_user):
    draft("quick", "one", count=1, passed=1, by=make_user())

    assert read() == wire.Figures(models=[], prompts=[])


def test_figures_are_narrowed_by_agent_and_day(draft, read, agent):
    run = draft("quick", "one", count=1, passed=1)
    models.Run.objects.filter(pk=run.pk).update(created_at="2026-11-20T12:00:00Z")

    shown = [len(read(since=day).models) for day in ("2026-11-20", "2026-11-21")]

    assert shown == [1, 0]
    assert len(read(agent=agent.slug).models) == 1
    assert read(agent="another").models == []


@pytest.mark.parametrize("since", ["yesterday", "", "2026-W01-1", "2026-02-30"])
def test_a_day_that_is_none_is_refused(client, read, problem_of, since):
    assert problem_of(client.get(FIGURES, {"since": since})) == (422, ErrorCode.INVALID_REQUEST)


@pytest.mark.parametrize("agent", ["", "a b", "a\0b", "ä", "a\n"])
@pytest.mark.parametrize(
    "name",
    ["mandate-figures", "mandate-model-figures", "mandate-prompt-figures", "mandate-prompt-versions"],
)
def test_a_name_that_no_agent_can_have_is_refused(client, user, problem_of, name, agent):
    client.force_login(user)

    answer = client.get(reverse(name), {"agent": agent})

    assert problem_of(answer) == (422, ErrorCode.INVALID_REQUEST)


@pytest.mark.parametrize(
    ("name", "column"),
    [("mandate-model-figures", "model"), ("mandate-prompt-figures", "prompt_version")],
)
def test_tables_have_a_line_for_each(client, draft, read, name, column):
    draft("=quick", "-one", count=2, passed=1)

    answer = client.get(reverse(name))

    (row,) = csv.DictReader(io.StringIO(answer.content.decode()))
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert row[column] in {"'=quick", "'-one"}
    assert (row["drafts"], row["verified"], row["verification_rate"]) == ("2", "1", "0.5")


def test_the_page_shows_the_share_and_leads_to_the_tables(client, draft, read, agent):
    draft("quick", "one", count=4, passed=3)

    page = client.get(reverse("mandate-figures-page"), {"agent": agent.slug, "days": "0"}).content.decode()

    assert page.count("3 of 4") == 2
    for name in ("mandate-model-figures", "mandate-prompt-figures", "mandate-figures"):
        assert f'href="{reverse(name)}?agent={agent.slug}"' in page
