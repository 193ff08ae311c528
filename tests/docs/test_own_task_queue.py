"""The projects of the page on task queues, each with its queue's own processes, deliver a run."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mandate import fakes
from shared_schemas import keys

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/own-task-queue.md").read_text()
FILES = dict(re.findall(r'^```python title="(.*?)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL))

START = """
from django.contrib.auth.models import User
from django.core.management import call_command
from mandate.services import agents, runs

call_command("migrate", verbosity=0)
agent = agents.ensure("research", graph="research", default_model="any")
run = runs.start(agent=agent, input={"query": "lists"}, by=User.objects.create(username="anna"))
print(run.pk)
"""


@pytest.fixture
def project(tmp_path, make_database):
    """Lays a project of the page out, and runs its commands; what it started is stopped at the end."""
    signing, agents_key = keys.generate(), keys.generate()
    fake = fakes.FakeAgentService(
        signing_key=keys.parse_signing(agents_key),
        trusted=keys.parse_trusted([keys.parse_signing(signing).public_text()]),
    )
    environment = os.environ | {
        "DATABASE_URL": make_database(),
        "MANDATE_SIGNING_KEY": signing,
        "TEST_AGENT_SIGNING_KEY": agents_key,
        "MANDATE_TRUSTED_KEYS": keys.parse_signing(agents_key).public_text(),
        "MANDATE_AGENT_URL": fake.url,
        "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT / "django_app", ROOT))),
    }
    started = []

    def manage(name, *command, wait=True, **variables):
        settings = {"DJANGO_SETTINGS_MODULE": f"{name}.settings"}
        process = subprocess.Popen(
            [sys.executable, "-m", "django", *command],
            env=environment | settings | variables,
            stdout=subprocess.PIPE if wait else subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        if not wait:
            started.append(process)
            return None
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        return output

    for path, code in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        before = "from config.settings_test import *\n" if path.endswith("settings.py") else ""
        (tmp_path / path).write_text(before + code)
    with fake.serving():
        yield manage, fake
        for process in started:
            process.terminate()
        for process in started:
            _end(process)


def _end(process):
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize(
    ("name", "once", "worker", "variables"),
    [
        pytest.param("shop", "tasks.schedule()", ["qcluster"], {"Q_CLUSTER_NAME": "agents"}, id="django-q2"),
        pytest.param("office", "", ["db_worker", "--queue-name", "agents"], {}, id="django tasks"),
    ],
)
def test_a_run_is_delivered_by_the_teams_own_queue(project, name, once, worker, variables):
    manage, fake = project
    code = f"{START}\nfrom {name} import tasks\n{once}"
    started = manage(name, "shell", "--verbosity=0", "-c", code)
    assert fake.runs == []

    manage(name, *worker, wait=False, **variables)

    (submitted,) = fake.submitted()
    assert submitted.body["metadata"]["mandate_run"] == started.strip()
