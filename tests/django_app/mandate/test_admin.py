import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse

from mandate import models
from mandate.services import runs
from shared_schemas.problems import ErrorCode
from shared_schemas.runs import RunStatus

pytestmark = pytest.mark.django_db

MODELS = [model for model in admin.site._registry if model._meta.app_label == "mandate"]
HISTORY = [model for model in MODELS if model not in {models.Agent, models.ToolSwitch}]


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
    return run


@pytest.fixture
def act(admin_client):
    def send(action, *rows):
        data = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
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


def test_a_new_agent_gets_an_account_nobody_can_log_in_with(admin_client):
    admin_client.post(
        reverse("admin:mandate_agent_add"),
        {
            "slug": "tutor",
            "name": "Tutor",
            "graph": "tutor",
            "default_model": "gpt",
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
    assert "1 runs cancelled." in said


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

    client.post(_list_of(models.Run), {"action": "cancel", "_selected_action": [str(run.pk)]})

    run.refresh_from_db()
    assert run.status == RunStatus.PENDING
