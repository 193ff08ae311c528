import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from mandate import conf, keys, models, testing
from mandate.services import runs
from shared_schemas import audit, tokens
from shared_schemas import keys as key_texts

DJANGO_APP = Path(keys.__file__).parents[1]


def _bare(*command):
    """Run a command with no settings in the environment."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=DJANGO_APP,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )


def _variables(output):
    return dict(line.split("=", 1) for line in output.splitlines() if line and not line.startswith("#"))


@pytest.mark.parametrize("command", [("manage.py", "mandate_keys"), ("-m", "mandate.keys")])
def test_keys_are_made_before_there_are_settings(command):
    made = _variables(_bare(*command).stdout)

    signing = key_texts.parse_signing(made["MANDATE_SIGNING_KEY"])
    assert made["AGENT_TRUSTED_KEYS"] == signing.public_text()
    assert len(made["DJANGO_SECRET_KEY"]) >= 50


def test_keys_of_two_calls_are_different(capsys):
    call_command("mandate_keys")
    call_command("mandate_keys")

    signing_keys = [line for line in capsys.readouterr().out.splitlines() if "SIGNING" in line]
    assert len(set(signing_keys)) == 2


def test_django_without_keys_says_how_they_are_made():
    refused = _bare("manage.py", "check")

    assert refused.returncode != 0
    assert "mandate_keys" in refused.stderr


def test_a_persons_bearer_stands_on_the_last_line(user, capsys):
    call_command("mandate_token", "--user", user.get_username())

    bearer = capsys.readouterr().out.splitlines()[-1]
    _, claims = tokens.verify(
        bearer,
        types=frozenset({tokens.TokenType.USER}),
        audience=tokens.AGENT_SERVICE,
        trusted=key_texts.parse_trusted([conf.settings().signing_key.public_text()]),
    )
    assert claims.sub == str(user.pk)
    assert tokens.Scope.MANDATE not in claims.scopes


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--user", "nobody"], id="unknown"),
        pytest.param(["--user", "anna", "--minutes", "721"], id="too long"),
        pytest.param(["--user", "anna", "--minutes", "0"], id="no time"),
    ],
)
def test_no_bearer_is_made_where_there_should_be_none(user, arguments):
    with pytest.raises(CommandError):
        call_command("mandate_token", *arguments)


def test_an_agent_is_made_and_brought_up_to_date(db, add_tool):
    call_command("mandate_agent", "tutor", "--graph", "tutor", "--model", "gpt-a")

    call_command(
        "mandate_agent", "tutor", "--graph", "tutor", "--model", "gpt-b", "--tools", add_tool,
        "--limits", '{"writes": 3}',
    )  # fmt: skip

    agent = models.Agent.objects.get()
    assert (agent.default_model, agent.tools, agent.limits["writes"]) == ("gpt-b", [add_tool], 3)
    assert not agent.user.has_usable_password()


@pytest.mark.parametrize(
    "wrong",
    [["--tools", "no_such_tool"], ["--limits", '{"writes": "many"}'], ["--priority", "101"]],
    ids=["tool", "limit", "priority"],
)
def test_an_agent_is_not_given_what_does_not_exist(db, wrong):
    with pytest.raises(CommandError):
        call_command("mandate_agent", "tutor", "--graph", "tutor", "--model", "gpt", *wrong)

    assert not models.Agent.objects.exists()


@pytest.mark.django_db
def test_runs_are_sent_with_their_agents_priority(user, agent_service):
    call_command("mandate_agent", "tutor", "--graph", "tutor", "--model", "gpt", "--priority", "-20")
    run = runs.start(agent="tutor", input={}, by=user)
    models.Agent.objects.update(priority=5)

    call_command("mandate_dispatcher", "--once")

    (submitted,) = agent_service.runs
    assert submitted.body["metadata"]["mandate_priority"] == run.priority == -20


@pytest.mark.django_db
def test_the_dispatcher_does_once_what_is_due(start, agent_service, capsys):
    start()

    call_command("mandate_dispatcher", "--once")

    assert capsys.readouterr().out == "1 messages tried\n"
    assert len(agent_service.runs) == 1


@pytest.fixture
def dispatcher(transactional_db, tmp_path):
    """A dispatcher in a process of its own, at the tests' database."""
    log = tmp_path / "dispatcher.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "mandate_dispatcher"],
            cwd=DJANGO_APP,
            env=os.environ | {"DATABASE_URL": _address(), "DJANGO_SETTINGS_MODULE": "config.settings_test"},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
        yield process
        process.kill()
        process.wait()
        process.stdout.close()


def _address():
    database = connection.settings_dict
    who = f"{database['USER']}:{database['PASSWORD']}"
    where = urlencode({"host": database["HOST"], "port": database["PORT"] or 5432})
    return f"postgresql://{who}@/{database['NAME']}?{where}"


def test_a_dispatcher_ends_when_it_is_told_to(dispatcher):
    ready = dispatcher.stdout.readline()

    dispatcher.terminate()

    assert ready == "dispatcher: ready\n"
    assert dispatcher.wait(60) == 0


@pytest.fixture
def worked(start_run, add_tool):
    """A run that called a tool; no agent service was ever there."""
    run = start_run(add_tool)
    testing.call_tool(add_tool, {"name": "red"}, run=run)
    return run


def test_a_runs_story_is_told_line_by_line(worked, user, capsys):
    call_command("mandate_audit", str(worked.pk))

    heading, *lines = capsys.readouterr().out.splitlines()
    assert str(worked.pk) in heading
    assert [line.split()[3] for line in lines] == ["created", "session_opened", "called", "answered"]
    assert lines[0].split()[2] == user.get_username()
    assert '"name": "red"' in lines[2]


def test_a_runs_story_is_told_to_programs(worked, capsys):
    call_command("mandate_audit", str(worked.pk), "--json")

    story = audit.Audit.model_validate_json(capsys.readouterr().out)
    assert story.run.run_id == worked.pk
    assert len(story.entries) == 4


def test_of_a_run_that_never_was_there_is_no_story(db):
    with pytest.raises(CommandError, match="There is no run"):
        call_command("mandate_audit", "00000000-0000-0000-0000-000000000001")
