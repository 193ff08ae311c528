"""System checks of declared tools and of the agents that use them."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth import get_backends, get_permission_codename
from django.contrib.auth.backends import ModelBackend
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import ProgrammingError
from django.utils.module_loading import import_string

from mandate import conf, models
from mandate.tools import declaration, registry, reviewing


@register("mandate")
def check_tools(*, app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Look for tools that could be declared but could not be used rightly."""
    known = known_permissions()
    chosen = None if app_configs is None else {config.label for config in app_configs}
    return [
        message
        for tool in registry.declared().values()
        if chosen is None or _app_label(tool) in chosen
        for message in (*_check_scope(tool), *_check_permission(tool, known), *_check_record(tool))
    ]


@register("mandate")
def check_reviews(**_: Any) -> list[CheckMessage]:
    """Look for drafts that nobody but superusers could publish."""
    known = known_permissions()
    return [
        Error(
            f"Reviewing drafts of {model._meta.label} needs the permission {rule.permission!r}, "  # noqa: SLF001
            "which no model defines: nobody but superusers could publish them.",
            hint="Write 'app_label.codename' of a permission in a model's Meta.",
            obj=rule.publish,
            id="mandate.E004",
        )
        for model, rule in reviewing.declared().items()
        if rule.permission not in known
    ]


@register("mandate")
def check_on_message(**_: Any) -> list[CheckMessage]:
    """Look whether the function exists that every message calls: without it none can be written."""
    path = conf.settings().on_message
    try:
        found = import_string(path) if path else None
    except ImportError as error:
        return [Error(f"MANDATE['ON_MESSAGE'] names nothing: {error}", id="mandate.E003")]
    if path and not callable(found):
        return [Error(f"MANDATE['ON_MESSAGE'] is {path!r}, which cannot be called.", id="mandate.E003")]
    return []


@register(Tags.database)
def check_agents(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Look for agents that name tools or permissions which do not exist."""
    if not databases:
        return []
    try:
        agents = list(models.Agent.objects.only("slug", "tools", "start_permission"))
    except ProgrammingError:
        # The first migration asks before there are tables.
        return []
    return [message for agent in agents for message in (*_check_tools(agent), *_check_start(agent))]


def _check_tools(agent: models.Agent) -> Iterable[CheckMessage]:
    if unknown := sorted(set(agent.tools) - set(registry.declared())):
        yield Warning(
            f"The agent {agent.slug!r} may use the tools {unknown}, which no app declares.",
            hint="Take them from the agent, or declare them in an app's `agent_tools` module.",
            id="mandate.W001",
        )


def _check_start(agent: models.Agent) -> Iterable[CheckMessage]:
    if agent.start_permission and agent.start_permission not in known_permissions():
        yield Warning(
            f"Starting the agent {agent.slug!r} needs the permission {agent.start_permission!r}, "
            "which no model defines: nobody but superusers can.",
            hint="Write 'app_label.codename' of a permission in a model's Meta, or leave it empty.",
            id="mandate.W003",
        )


def _check_scope(tool: declaration.Tool) -> Iterable[CheckMessage]:
    if not tool.scope:
        yield Error(
            f"The tool {tool.name!r} has no scope.",
            hint="Give it one that looks like 'resource:verb'.",
            obj=tool.function,
            id="mandate.E001",
        )


def _check_permission(tool: declaration.Tool, known: frozenset[str]) -> Iterable[CheckMessage]:
    if tool.approval is not None and tool.approval.permission not in known:
        yield Error(
            f"Approving the tool {tool.name!r} needs the permission {tool.approval.permission!r}, "
            "which no model defines: nobody but superusers could decide.",
            hint="Write 'app_label.codename' of a permission in a model's Meta.",
            obj=tool.function,
            id="mandate.E002",
        )


def _check_record(tool: declaration.Tool) -> Iterable[CheckMessage]:
    if tool.approval is None or tool.approval.record is None:
        return
    # Django's own says no to every permission on a record; another may know better.
    if all(type(backend) is ModelBackend for backend in get_backends()):
        yield Warning(
            f"Approving the tool {tool.name!r} needs a permission on a record, "
            "which no authentication backend of the project knows: nobody but superusers could decide.",
            hint="Add a backend whose `has_perm` answers for a record to AUTHENTICATION_BACKENDS.",
            obj=tool.function,
            id="mandate.W002",
        )


def known_permissions() -> frozenset[str]:
    """Return the permissions that the models of all apps define."""
    return frozenset(
        f"{model._meta.app_label}.{codename}"  # noqa: SLF001 - Django's documented API
        for model in apps.get_models()
        for codename in (
            *(get_permission_codename(action, model._meta) for action in model._meta.default_permissions),  # noqa: SLF001
            *(codename for codename, _ in model._meta.permissions),  # noqa: SLF001
        )
    )


def _app_label(tool: declaration.Tool) -> str | None:
    config = apps.get_containing_app_config(tool.function.__module__)
    return config.label if config else None
