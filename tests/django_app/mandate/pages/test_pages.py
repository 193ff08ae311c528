import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Permission
from django.contrib.staticfiles import finders
from django.db import OperationalError, connection
from django.urls import reverse

from mandate import models, testing
from mandate.pages import safety
from mandate.services import runs
from practice import agent_tools
from practice import models as practice_models
from shared_schemas.problems import ErrorCode, Failure
from shared_schemas.runs import RunStatus
from shared_schemas.tools import ToolCallStatus

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script><img src=http://evil.test/x>"


class Inline(HTMLParser):
    """Finds what the policy would forbid."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.found += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        if tag in {"style", "iframe", "object", "img"} or (tag == "script" and "src" not in given):
            self.found.append(tag)


@pytest.fixture
def send(client, user):
    client.force_login(user)

    def post(name, *args, **fields):
        return client.post(reverse(name, args=args), fields, follow=True)

    return post


@pytest.fixture
def start(agent, user):
    def start_run(**fields):
        return runs.start(**{"agent": agent.slug, "input": {"topic": EVIL}, "by": user} | fields)

    return start_run


@pytest.fixture
def asked(start, agent, user):
    """A question about a call that shows people what a model wrote."""

    def make(**fields):
        run = start()
        call = models.ToolCall.objects.create(
            run=run,
            key=str(run.pk),
            tool="publish",
            arguments={"text": EVIL},
            status=ToolCallStatus.PENDING_APPROVAL,
            agent_user=agent.user,
            acting_for=user,
            epoch=1,
        )
        given = {"permission": "auth.change_user", "message": EVIL, "arguments": {"text": EVIL}}
        return models.Approval.objects.create(
            run=run, tool_call=call, expires_at=run.created_at + timedelta(days=10_000), **given | fields
        )

    return make


@pytest.fixture
def listed(page):
    """The keys of the runs that the list shows."""

    def read(**query):
        return [run.pk for run in page("mandate-runs-page", **query).context["page"]]

    return read


@pytest.mark.parametrize("name", ["mandate-runs-page", "mandate-approvals-page", "mandate-agents-page"])
def test_nobody_unknown_sees_a_page(client, name):
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response.headers["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("place", ["runs", "run", "timeline", "approvals", "approval"])
def test_what_a_model_wrote_is_text_and_nothing_is_inline(page, asked, place):
    approval = asked()
    response = {
        "runs": lambda: page("mandate-runs-page"),
        "run": lambda: page("mandate-run-page", approval.run_id),
        "timeline": lambda: page("mandate-run-timeline", approval.run_id),
        "approvals": lambda: page("mandate-approvals-page"),
        "approval": lambda: page("mandate-approval-page", approval.pk),
    }[place]()

    inline = Inline()
    inline.feed(response.content.decode())
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == safety.POLICY
    assert inline.found == []


@pytest.mark.parametrize(
    "file",
    [
        "mandate.css",
        "icon.svg",
        "pages.js",
        "events.js",
        "messages.js",
        "follow.js",
        "keys.js",
        "refresh.js",
        "start.js",
    ],
)
def test_what_the_pages_load_is_there(file):
    assert finders.find(f"mandate/{file}")


def test_a_person_sees_their_own_runs_only(page, start, make_user):
    own, other = start(), start(by=make_user())

    content = page("mandate-runs-page").content.decode()

    assert str(own.pk) in content
    assert str(other.pk) not in content
    assert page("mandate-run-page", other.pk).status_code == 404


def test_runs_are_narrowed_by_status_and_model(listed, start):
    cheap, dear = start(model="gpt-mini"), start(model="gpt-large")
    runs.cancel(dear.pk)

    by_model = listed(model="MINI")
    by_status = listed(status="cancelled")

    assert (by_model, by_status) == ([cheap.pk], [dear.pk])


def test_a_list_asks_the_database_equally_often_however_long_it_is(
    page, start, django_assert_num_queries, django_assert_max_num_queries
):
    page("mandate-runs-page")  # a process keeps some answers: it asks once
    with django_assert_max_num_queries(9) as none:
        page("mandate-runs-page")
    for _ in range(20):
        start()

    with django_assert_num_queries(len(none)):
        page("mandate-runs-page")


def test_runs_are_narrowed_by_the_days_of_the_servers_zone(listed, start, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    late, early = start(), start()
    models.Run.objects.filter(pk=late.pk).update(created_at=datetime(2026, 11, 20, 15, 0, tzinfo=UTC))
    models.Run.objects.filter(pk=early.pk).update(created_at=datetime(2026, 11, 20, 14, 59, tzinfo=UTC))

    since, until = listed(since="2026-11-21"), listed(until="2026-11-20")
    ever = listed(since="0001-01-01", until="9999-12-31")

    assert (since, until, ever) == ([late.pk], [early.pk], [late.pk, early.pk])


def test_every_page_tells_how_many_questions_wait(page, asked, user):
    user.user_permissions.add(Permission.objects.get(codename="change_user"))
    asked()

    shown = page("mandate-agents-page").content.decode()

    assert 'Approvals <span class="count">1<span class="spoken"> waiting</span></span>' in shown


def test_a_part_that_has_not_changed_is_not_sent_again(client, page, start, django_assert_max_num_queries):
    run = start()
    address = reverse("mandate-run-timeline", args=[run.pk])
    tag = page("mandate-run-timeline", run.pk).headers["ETag"]

    with django_assert_max_num_queries(3):
        same = client.get(address, headers={"if-none-match": tag})
    runs.cancel(run.pk)
    changed = client.get(address, headers={"if-none-match": tag})

    assert (same.status_code, same.content) == (304, b"")
    assert (changed.status_code, changed.headers["ETag"] == tag) == (200, False)
    assert "Now cancelled" in changed.content.decode()


def test_a_page_says_which_version_of_the_part_it_shows(page, start):
    run = start()

    content = page("mandate-run-page", run.pk).content.decode()
    tag = page("mandate-run-timeline", run.pk).headers["ETag"]

    assert f"data-version={tag}" in content


def test_the_version_of_somebody_elses_run_is_not_told(client, page, start, make_user):
    run = start()
    tag = page("mandate-run-timeline", run.pk).headers["ETag"]
    client.force_login(make_user())

    answer = client.get(reverse("mandate-run-timeline", args=[run.pk]), headers={"if-none-match": tag})

    assert answer.status_code == 404


def test_a_runs_page_tells_what_happened(page, start):
    run = start()
    runs.cancel(run.pk)

    content = page("mandate-run-page", run.pk).content.decode()

    assert "Now cancelled" in content
    assert "practice-author with gpt-5-mini" in content


def test_a_failed_run_says_why_and_offers_to_go_on(page, send, start):
    run = start()
    models.Run.objects.filter(pk=run.pk).update(agent_run_id=run.pk)
    runs.move(
        runs.locked(run.pk), RunStatus.FAILED, failure=Failure(code=ErrorCode.MODEL_FAILED, message="No.")
    )

    shown = page("mandate-run-page", run.pk).content.decode()
    send("mandate-run-resume-page", run.pk)

    run.refresh_from_db()
    assert "model_failed" in shown
    assert "Let it go on" in shown
    assert run.status == RunStatus.PENDING


def test_a_run_is_shown_though_the_agent_service_does_not_tell_what_was_written(page, start, settings):
    settings.MANDATE = settings.MANDATE | {"AGENT_URL": "http://127.0.0.1:9"}
    run = start()
    models.Run.objects.filter(pk=run.pk).update(agent_run_id=run.pk)

    response = page("mandate-run-page", run.pk, written="")

    assert response.status_code == 200
    assert not response.context["writing"].is_all
    assert "did not tell all" in response.content.decode()


def test_a_failure_that_cannot_be_got_over_leads_to_a_new_run(page, start):
    run = start()
    refused = Failure(code=ErrorCode.INVALID_REQUEST, message="/count: too large")
    runs.move(runs.locked(run.pk), RunStatus.FAILED, failure=refused)

    content = page("mandate-run-page", run.pk).content.decode()

    assert "Start a new one with that corrected" in content
    assert reverse("mandate-start-page", args=[run.agent.slug]) in content


def test_what_cannot_be_done_is_said(send, start):
    run = start()

    response = send("mandate-run-resume-page", run.pk)

    assert "pending" in str(next(iter(response.context["messages"])))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param({"words": "RENAME"}, 1, id="words"),
        pytest.param({"tool": "publ"}, 2, id="tool"),
        pytest.param({"tool": "other"}, 0, id="another tool"),
        pytest.param({"person": "ANNA"}, 2, id="person"),
        pytest.param({"person": "nobody"}, 0, id="another person"),
    ],
)
def test_questions_are_narrowed_and_counted(page, asked, query, count):
    asked(message="Rename it?")
    asked(message="Publish it?")

    shown = page("mandate-approvals-page", **query).context

    assert len(shown["rows"]) == shown["counts"]["pending"] == count


def test_a_person_rejects_with_a_comment(send, asked, user):
    user.user_permissions.add(Permission.objects.get(codename="change_user"))
    approval = asked()

    response = send("mandate-approval-page", approval.pk, decision="reject", comment="Not now.")

    approval.refresh_from_db()
    assert (approval.status, approval.decided_by, approval.comment) == ("rejected", user, "Not now.")
    assert "Rejected." in response.content.decode()


def test_who_may_not_decide_sees_why(page, asked):
    content = page("mandate-approval-page", asked().pk).content.decode()

    assert "auth.change_user" in content
    assert 'value="approve"' not in content


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param("{", "not JSON", id="no JSON"),
        pytest.param("[1]", "/arguments", id="no object"),
        pytest.param("[" * 100_000, "not JSON", id="nested too deeply"),
    ],
)
def test_an_edit_that_cannot_be_read_is_not_lost(send, asked, user, arguments, told):
    user.user_permissions.add(Permission.objects.get(codename="change_user"))
    approval = asked()

    response = send(
        "mandate-approval-page", approval.pk, decision="edit", arguments=arguments, comment="Mine"
    )

    approval.refresh_from_db()
    content = response.content.decode()
    assert approval.status == "pending"
    assert told in str(next(iter(response.context["messages"])))
    assert arguments in content
    assert "Mine" in content


def test_an_approval_that_is_edited_runs_what_the_person_wrote(send, user):
    module = practice_models.Module.objects.create(
        slug="m", title="M", language="python", body="b", published=True
    )
    author = testing.make_agent(agent_tools.add_tasks.__name__, agent_tools.publish_task.__name__)
    run = testing.start_run(author, by=user)
    texts = [{"title": f"Task {number}", "text": "Write a function that adds up."} for number in range(2)]
    testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": texts}, run=run)
    first, second = practice_models.Task.objects.order_by("pk")
    practice_models.Task.objects.update(verified=True, verdict={"passed": True})
    testing.call_tool("publish_task", {"task_id": first.pk}, run=run)
    approval = models.Approval.objects.get()
    user.user_permissions.add(Permission.objects.get(codename="publish_task"))

    send("mandate-approval-page", approval.pk, decision="edit", arguments=json.dumps({"task_id": second.pk}))

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.active, second.active) == (False, True)


def away(*_):
    raise OperationalError("couldn't get a connection after 10.00 sec")


def test_a_page_whose_database_does_not_answer_says_so_and_when_to_ask_again(page, start):
    run = start()

    with connection.execute_wrapper(away):
        response = page("mandate-run-timeline", run.pk)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert response.headers["Content-Security-Policy"] == safety.POLICY
    assert "The database does not answer" in response.content.decode()
