import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.urls import reverse

from mandate import models

pytestmark = pytest.mark.django_db

SCHEMA = {"properties": {"topic": {"type": "string"}}, "required": ["topic"]}


@pytest.fixture
def known(agent):
    """An agent of whose graph the agent service has told what it takes."""
    key = f"mandate-input-schema:{agent.graph}"
    cache.set(key, SCHEMA)
    yield agent
    cache.delete(key)


@pytest.fixture
def send(client, user, known):
    client.force_login(user)

    def post(**fields):
        given = {"request_key": "one", "models": [known.default_model], "input-topic": "Loops"}
        return client.post(reverse("mandate-start-page", args=[known.slug]), given | fields)

    return post


def test_a_form_that_is_sent_twice_starts_one_run(send):
    first, second = send(), send()

    run = models.Run.objects.get()
    assert run.input == {"topic": "Loops"}
    assert first.url == second.url == reverse("mandate-run-page", args=[run.pk])


def test_what_is_missing_is_told_and_nothing_starts(send):
    response = send(**{"input-topic": ""})

    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["input-topic"]
    assert not models.Run.objects.exists()


def test_a_paused_agent_is_refused_above_the_fields(send, known):
    models.Agent.objects.filter(pk=known.pk).update(is_paused=True)

    response = send()

    assert "is paused" in response.context["form"].non_field_errors()[0]


def test_an_agent_is_started_by_those_who_may(send, client, known, user):
    models.Agent.objects.filter(pk=known.pk).update(start_permission="auth.change_user")

    refused = send()
    offered = client.get(reverse("mandate-agents-page")).context["agents"]
    user.user_permissions.add(Permission.objects.get(codename="change_user"))

    assert (refused.status_code, offered) == (403, [])
    assert send().status_code == 302


def test_without_the_agent_service_the_page_says_so(client, user, agent):
    client.force_login(user)

    response = client.get(reverse("mandate-start-page", args=[agent.slug]))

    assert response.status_code == 503
    assert "does not answer" in response.content.decode()
