import json
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mandate import models, testing, tools
from mandate.admin import confirming
from mandate.services import agents, drafts, runs
from practice.models import Module, Task
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus
from shared_schemas.tools import Limits

pytestmark = pytest.mark.django_db

MODELS = [model for model in admin.site._registry if model._meta.app_label == "mandate"]
MADE_BY_HAND = {models.Agent, models.ToolSwitch, models.CatalogueModel}
HISTORY = [model for model in MODELS if model not in MADE_BY_HAND]


def _list_of(model):
    return reverse(f"admin:mandate_{model._meta.model_name}_changelist")


@pytest.fixture
def some_of_each(parked, submitted, agent_service, report):
    """Rows of every model."""
    run, (approval,) = parked("a")
    models.ToolSession.objects.create(run=run, epoch=1, token_hash="x", expires_at=approval.expires_at)
    models.ModelUsage.objects.create(
        run=run, segment=1, model="gpt", calls=1, input_tokens=1, output_tokens=1
    )
    models.Checkpoint.objects.create(
        thread_id="thread", checkpoint_id="1", body={"channel_versions": {}}, metadata={"step": 1}
    )
    kind = ContentType.objects.get_for_model(models.Run)
    models.DraftReview.objects.create(content_type=kind, object_id=str(run.pk), agent=run.agent, drafted={})
    return run


@pytest.fixture
def make_rows(make_user, declare):
    """Make a row of every model, each of a run, an agent and people of its own."""
    tool = declare(name="shown")

    def make():
        person, name = make_user(), uuid.uuid4().hex
        agent = testing.make_agent(tool)
        run = testing.start_run(agent, by=person, model=name)
        testing.call_tool(tool, {"name": name}, run=run)
        call = run.tool_calls.get()
        far = run.created_at + timedelta(days=10_000)
        models.ToolResult.objects.create(tool_call=call, json="{}", size=2)
        models.ToolCallUndo.objects.create(tool_call=call, undone_by=person)
        models.OutboxMessage.objects.create(topic=name, key=name, run=run, tool_call=call)
        models.WebhookReceipt.objects.create(webhook_id=name, type=name, body={}, run=run)
        models.RunNote.objects.create(run=run, kind="cancelled", by=person)
        models.ModelUsage.objects.create(
            run=run, segment=1, model=name, calls=1, input_tokens=1, output_tokens=1
        )
        models.Approval.objects.create(
            run=run,
            tool_call=call,
            permission="a.b",
            message=name,
            arguments={},
            expires_at=far,
            status="approved",
            decided_by=person,
            decided_at=run.created_at,
        )
        models.DraftReview.objects.create(
            content_type=ContentType.objects.get_for_model(Group),
            object_id=str(Group.objects.get(name=name).pk),
            agent=agent,
            run=run,
            drafted={},
            published={},
            status="approved",
            reviewed_by=person,
            reviewed_at=run.created_at,
        )
        models.ToolSwitch.objects.create(tool=name, changed_by=person)
        models.CatalogueModel.objects.create(name=name, provider="openai")
        models.Checkpoint.objects.create(
            thread_id=name, checkpoint_id="1", body={"channel_versions": {}}, metadata={"step": 1}
        )
        models.Comparison.objects.create(name=name, started_by=person)

    return make


@pytest.fixture
def count_queries(admin_client):
    def count(url):
        admin_client.get(url)  # what is cached once per process is not counted
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(url)
        return len(captured)

    return count


@pytest.fixture
def choose(admin_client):
    """Choose an action for rows, and return the page that asks again."""

    def send(action, *rows):
        data = {"action": action, "_selected_action": [str(row.pk) for row in rows], "index": "0"}
        return admin_client.post(_list_of(type(rows[0])), data)

    return send


@pytest.fixture
def act(admin_client, choose):
    """Choose an action for rows, say yes, and return what is told."""

    def send(action, *rows):
        asked = choose(action, *rows).content.decode()
        form = re.search(r'<form method="post">.*</form>', asked, re.DOTALL)[0]
        data = {}
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form):
            data.setdefault(name, []).append(value)
        response = admin_client.post(_list_of(type(rows[0])), data, follow=True)
        return [str(message) for message in response.context["messages"]]

    return send


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_row_can_be_found_and_read(admin_client, some_of_each, model):
    found = admin_client.get(_list_of(model), {"q": "zzz"})
    listed = admin_client.get(_list_of(model))
    row = model.objects.first()
    read = row and admin_client.get(reverse(f"admin:mandate_{model._meta.model_name}_change", args=[row.pk]))

    assert (found.status_code, listed.status_code) == (200, 200)
    assert row is None or read.status_code == 200


@pytest.mark.parametrize("model", HISTORY, ids=lambda model: model.__name__)
def test_history_is_not_made_by_hand(admin_client, model):
    response = admin_client.get(reverse(f"admin:mandate_{model._meta.model_name}_add"))

    assert response.status_code == 403


@pytest.mark.parametrize("model", sorted(MADE_BY_HAND, key=lambda model: model.__name__))
def test_what_people_make_has_a_form(admin_client, model):
    response = admin_client.get(reverse(f"admin:mandate_{model._meta.model_name}_add"))

    assert response.status_code == 200


def test_history_is_not_changed_or_deleted_by_hand(admin_client, some_of_each):
    call = models.ToolCall.objects.get()

    changed = admin_client.post(reverse("admin:mandate_toolcall_change", args=[call.pk]), {"tool": "other"})
    deleted = admin_client.post(reverse("admin:mandate_toolcall_delete", args=[call.pk]), {"post": "yes"})

    assert (changed.status_code, deleted.status_code) == (403, 403)
    assert models.ToolCall.objects.get().tool == "publish"


def test_a_longer_list_takes_no_more_queries(admin_client, start, django_assert_max_num_queries):
    for _ in range(10):
        start()

    with django_assert_max_num_queries(12):
        response = admin_client.get(_list_of(models.Run))

    assert response.context["cl"].result_count == 10


def test_no_list_asks_the_database_for_each_row(count_queries, make_rows):
    """The rows of each list show other rows, of other tables."""
    make_rows()
    few = {model: count_queries(_list_of(model)) for model in MODELS}
    for _ in range(3):
        make_rows()

    many = {model: count_queries(_list_of(model)) for model in MODELS}

    assert many == few


def test_an_action_does_nothing_before_a_person_has_said_so(choose, start):
    run = start()

    asked = choose("cancel", run)

    run.refresh_from_db()
    assert str(run) in asked.content.decode()
    assert "They end for good" in asked.content.decode()
    assert run.status == RunStatus.PENDING


def test_an_action_is_about_so_many_rows_at_most(admin_client, start):
    run = start()
    models.Run.objects.bulk_create(
        models.Run(agent=run.agent, started_by=run.started_by, thread_id=uuid.uuid4(), input={}, model="m")
        for _ in range(confirming.MOST)
    )
    data = {"action": "cancel", "_selected_action": [str(run.pk)], "select_across": "1", "index": "0"}

    response = admin_client.post(_list_of(models.Run), data, follow=True)

    assert "Choose 200 at most; nothing was done." in [str(one) for one in response.context["messages"]]
    assert not models.Run.objects.filter(status=RunStatus.CANCELLED).exists()


def test_the_audits_of_runs_are_exported_as_lines_of_json(choose, start):
    runs_ = [start(), start()]

    response = choose("export_audit", *runs_)

    exported = [json.loads(line) for line in response.content.decode().splitlines()]
    assert "attachment" in response["Content-Disposition"]
    assert {one["run"]["run_id"] for one in exported} == {str(run.pk) for run in runs_}
    assert all(one["entries"][0]["event"] == "created" for one in exported)


def test_a_mandate_is_revoked(act, start, agent, declare, admin_user):
    agents.ensure(agent.slug, graph="g", default_model="m", tools=[declare()])
    run = start()

    said = act("revoke", run)

    run.refresh_from_db()
    assert "1 run left without a mandate." in said
    assert run.tools == []
    assert run.notes.get(kind="mandate_revoked").by == admin_user


@pytest.mark.parametrize("action", ["cancel", "resume", "raise_limits", "revoke"])
def test_who_may_only_see_runs_is_offered_the_export_alone(client, make_user, start, action):
    run = start()
    person = make_user(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client.force_login(person)

    offered = client.get(_list_of(models.Run)).content.decode()
    client.post(
        _list_of(models.Run), {"action": action, "_selected_action": [str(run.pk)], "confirmed": "yes"}
    )

    assert "Export the audit" in offered
    assert f'value="{action}"' not in offered
    assert not run.notes.exists()


def test_who_paused_an_agent_is_kept(act, agent, admin_user):
    act("pause", agent)

    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_edited_object(), entry.change_message) == (admin_user, agent, "Paused.")


def test_a_new_agent_gets_an_account_nobody_can_log_in_with(admin_client):
    admin_client.post(
        reverse("admin:mandate_agent_add"),
        {
            "slug": "tutor",
            "name": "Tutor",
            "graph": "tutor",
            "default_model": "gpt",
            "priority": "0",
            "tools": "",
            "limits": "{}",
        },
    )

    agent = models.Agent.objects.get(slug="tutor")
    assert not agent.user.has_usable_password()


@pytest.mark.parametrize(
    ("field", "value"), [("tools", "no_such_tool"), ("limits", '{"writes": -1}'), ("limits", '{"wishes": 3}')]
)
def test_an_agent_is_not_given_what_does_not_exist(admin_client, agent, field, value):
    fields = {
        "slug": agent.slug,
        "name": "A",
        "graph": "g",
        "default_model": "m",
        "priority": "0",
        "tools": "",
        "limits": "{}",
    }

    response = admin_client.post(
        reverse("admin:mandate_agent_change", args=[agent.pk]), fields | {field: value}
    )

    assert field in response.context["adminform"].form.errors


def test_an_agent_is_paused_and_let_work_again(act, agent):
    act("pause", agent)
    agent.refresh_from_db()
    paused = agent.is_paused

    act("let_work", agent)

    agent.refresh_from_db()
    assert (paused, agent.is_paused) == (True, False)


def test_a_form_that_was_opened_before_a_pause_does_not_end_it(admin_client, act, agent):
    fields = {"slug": agent.slug, "name": "Renamed", "graph": "g", "default_model": "m", "priority": "0"}
    act("pause", agent)

    admin_client.post(
        reverse("admin:mandate_agent_change", args=[agent.pk]), fields | {"tools": "", "limits": "{}"}
    )

    agent.refresh_from_db()
    assert (agent.name, agent.is_paused) == ("Renamed", True)


def test_a_tools_form_that_was_opened_before_a_pause_does_not_end_it(admin_client, act, add_tool):
    admin_client.post(reverse("admin:mandate_toolswitch_add"), {"tool": add_tool})
    switch = models.ToolSwitch.objects.get()
    act("pause", switch)

    url = reverse("admin:mandate_toolswitch_change", args=[switch.pk])
    admin_client.post(url, {"tool": add_tool, "reason": "Later."})

    switch.refresh_from_db()
    assert (switch.reason, switch.is_paused) == ("Later.", True)


def test_a_tool_is_paused_and_let_work_again(admin_client, admin_user, act, add_tool):
    url = reverse("admin:mandate_toolswitch_add")
    admin_client.post(url, {"tool": add_tool, "is_paused": "on", "reason": "Too many groups."})
    switch = models.ToolSwitch.objects.get()
    paused = (switch.is_paused, switch.changed_by)

    act("let_work", switch)

    switch.refresh_from_db()
    assert (paused, switch.is_paused) == ((True, admin_user), False)


def test_a_tool_that_nobody_declares_is_not_paused(admin_client):
    response = admin_client.post(reverse("admin:mandate_toolswitch_add"), {"tool": "missing"})

    assert "tool" in response.context["adminform"].form.errors


def test_runs_are_cancelled_where_they_can_be(act, submitted, agent_service, report, start):
    run, fake_run = submitted
    agent_service.finish(fake_run, {})
    report(fake_run)
    other = start()

    said = act("cancel", run, other)

    other.refresh_from_db()
    assert other.status == RunStatus.CANCELLED
    assert any("cannot become" in line for line in said)
    assert "1 run cancelled." in said


def test_a_failed_run_is_resumed(act, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.fail(fake_run, ErrorCode.GRAPH_FAILED)
    report(fake_run)

    act("resume", run)

    run.refresh_from_db()
    assert run.status == RunStatus.PENDING


def test_a_dead_message_is_delivered_again(act, start, agent_service, deliver):
    run = start()
    deliver()
    runs.cancel(run.pk)
    agent_service.refusing = (400, ErrorCode.INVALID_REQUEST)
    deliver()
    agent_service.refusing = None

    act("redeliver", models.OutboxMessage.objects.get(topic=runs.CANCEL))
    deliver()

    assert len(agent_service.cancelled) == 1


def test_the_final_state_of_a_run_is_shown_and_not_believed(admin_client, submitted, agent_service, report):
    run, fake_run = submitted
    agent_service.finish(fake_run, {"result": "<script>alert(1)</script>", "messages": [{"content": "é"}]})
    report(fake_run)

    page = admin_client.get(reverse("admin:mandate_run_change", args=[run.pk])).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "  &quot;content&quot;: &quot;é&quot;" in page


def test_a_run_that_never_arrived_is_found_by_its_code_and_goes_on(
    act, admin_client, start, agent_service, deliver
):
    agent_service.refusing = (422, ErrorCode.UNKNOWN_MODEL)
    run = start()
    deliver()
    agent_service.refusing = None

    found = admin_client.get(_list_of(models.Run), {"error_code": ErrorCode.SUBMISSION_FAILED})
    act("resume", run)
    deliver()

    run.refresh_from_db()
    assert found.context["cl"].result_count == 1
    assert (run.status, run.segment, run.error_code) == (RunStatus.PENDING, 1, "")
    assert [one.key for one in agent_service.runs] == [runs.segment_key(run)]


def test_of_a_dead_submission_the_run_is_to_be_resumed(act, start, agent_service, deliver):
    agent_service.refusing = (422, ErrorCode.UNKNOWN_MODEL)
    start()
    deliver()
    message = models.OutboxMessage.objects.get()

    said = act("redeliver", message)

    message.refresh_from_db()
    assert message.status == message.Status.DEAD
    assert any("resume its run" in line for line in said)


def test_seeing_runs_is_not_operating_them(client, make_user, start):
    run = start()
    person = make_user(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client.force_login(person)

    client.post(
        _list_of(models.Run), {"action": "cancel", "_selected_action": [str(run.pk)], "confirmed": "yes"}
    )

    run.refresh_from_db()
    assert run.status == RunStatus.PENDING


def test_calls_are_undone_where_they_can_be(act, start_run, declare, add_tool):
    def remove(context, call, answer):
        Group.objects.get(name=call.name).delete()

    undoable = declare(name="add_group_for_now", undo=remove)
    run = start_run(add_tool, undoable)
    answers = [testing.call_tool(tool, {"name": tool}, run=run) for tool in (add_tool, undoable)]

    said = act("undo", *models.ToolCall.objects.filter(pk__in=[answer.tool_call for answer in answers]))

    assert [group.name for group in Group.objects.all()] == [add_tool]
    assert "1 tool call undone." in said
    assert any("does not say how" in line for line in said)


def test_seeing_calls_is_not_undoing_them(client, make_user, start_run, declare):
    tool = declare(undo=lambda _context, _call, _answer: Group.objects.all().delete())
    testing.call_tool(tool, {"name": "red"}, run=start_run(tool))
    person = make_user(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename="view_toolcall"))
    client.force_login(person)
    call = models.ToolCall.objects.get()

    client.post(
        _list_of(models.ToolCall), {"action": "undo", "_selected_action": [str(call.pk)], "confirmed": "yes"}
    )

    assert Group.objects.exists()


def test_a_call_shows_where_its_messages_are(admin_client, start_run, declare):
    def send(context: tools.Context, call: tools.Schema) -> tools.Schema:
        """Send."""
        context.outbox("test.shown", {})
        return call

    tools.topic("test.shown")(lambda _: None)
    tool = declare(send)
    answer = testing.call_tool(tool, {}, run=start_run(tool))

    shown = admin_client.get(reverse("admin:mandate_toolcall_change", args=[answer.tool_call]))

    assert "test.shown" in shown.content.decode()


def test_an_agent_shows_how_good_its_drafts_were(admin_client, admin_user):
    module = Module.objects.create(slug="m", title="M", language="python", body="b", published=True)
    agent = testing.make_agent("add_tasks")
    drafted = {"title": "One", "text": "Write a function that adds."}
    testing.call_tool("add_tasks", {"module_id": module.pk, "tasks": [drafted]}, agent=agent)
    drafts.review(Task.objects.get(), by=admin_user)

    shown = admin_client.get(reverse("admin:mandate_agent_change", args=[agent.pk]))

    assert "1 of 1 approved, 1 unchanged" in shown.content.decode()


def test_who_stopped_a_run_is_known(act, start, admin_user):
    run = start()

    act("cancel", run)

    assert run.notes.get(kind=models.RunNote.Kind.CANCELLED).by == admin_user


def test_a_run_is_given_all_that_its_agent_may_use(act, start, agent, admin_user):
    run = start(limits=Limits(writes=1))

    act("raise_limits", run)

    run.refresh_from_db()
    assert run.limits == {"calls_per_tool": {}}
    assert models.RunNote.objects.get(kind="limits_raised").by == admin_user
