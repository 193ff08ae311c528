"""Django needs LangGraph for its checkpointer and for nothing else."""

import os
import subprocess
import sys

WITHOUT_LANGGRAPH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"langgraph", "langchain"}:
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Absent())

import importlib, pkgutil
import django

django.setup()

from django.core.management import CommandError, call_command
from django.urls import get_resolver
import mandate

get_resolver().url_patterns
for module in pkgutil.walk_packages(mandate.__path__, "mandate."):
    if not module.name.startswith("mandate.checkpointing"):
        importlib.import_module(module.name)
call_command("check")
try:
    call_command("mandate_run_graph", "some.module:graph", "--input", "{}")
except CommandError as error:
    print(error)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"langgraph", "langchain"}))
"""


def test_django_starts_without_langgraph_and_says_what_the_command_needs():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANGGRAPH],
        cwd="django_app",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Install django-mandate[langgraph]" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


TOO_LATE = """
import langgraph.graph
import django

django.setup()

from mandate.checkpointing import DjangoSaver

DjangoSaver()
"""


def test_a_saver_that_would_not_know_the_types_of_a_graph_is_refused():
    done = subprocess.run(
        [sys.executable, "-c", TOO_LATE],
        cwd="django_app",
        env={name: value for name, value in os.environ.items() if name != "LANGGRAPH_STRICT_MSGPACK"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "LANGGRAPH_STRICT_MSGPACK=true" in done.stderr
