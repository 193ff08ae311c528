"""Every word that users can meet is explained."""

import dataclasses
import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from agent_service.settings import Settings
from mandate import conf
from shared_schemas import audit, problems

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def explained(page):
    return set(re.findall(r"^\| `([a-z0-9_]+)` \|", (REFERENCE / page).read_text(), re.MULTILINE))


@pytest.mark.parametrize("code", [code.value for code in problems.ErrorCode])
def test_every_error_code_is_explained(code):
    assert code in explained("errors.md")


def test_no_error_code_is_explained_that_does_not_exist():
    assert explained("errors.md") <= {code.value for code in problems.ErrorCode}


@pytest.mark.parametrize("name", [field.name.upper() for field in dataclasses.fields(conf.Settings)])
def test_every_key_of_the_mandate_setting_is_explained(name):
    assert f"| `{name}` |" in (REFERENCE / "settings.md").read_text()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_variable_of_the_agent_service_is_explained(name):
    variable = Settings.model_fields[name].validation_alias or f"AGENT_{name.upper()}"

    assert f"`{variable}`" in (ROOT / "agent_service" / "README.md").read_text()


def test_every_command_of_mandate_is_explained():
    page = (ROOT / "django_app" / "README.md").read_text()

    commands = [name for name, app in get_commands().items() if app == "mandate"]

    assert [name for name in commands if f"manage.py {name}" not in page] == []


def test_every_event_of_an_audit_is_explained_and_no_other():
    assert explained("audit.md") == {event.value for event in audit.Event}
