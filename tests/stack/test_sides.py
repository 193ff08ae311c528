"""Each side installs by itself, as its image does, and carries nothing of the other's framework."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack import services


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    requirements: str
    packages: tuple[str, ...]
    own: tuple[str, ...]
    foreign: tuple[str, ...]


AGENT = Side(
    requirements="agent_service/requirements.txt",
    packages=("shared_schemas", "agent_service"),
    own=("agent_service.app", "agent_service.__main__", "langgraph", "fastapi"),
    foreign=("django", "rest_framework", "mandate", "practice"),
)
DJANGO = Side(
    requirements="django_app/requirements.txt",
    packages=("shared_schemas", "django_app"),
    own=("mandate", "django", "langgraph_sdk", "uvicorn"),
    foreign=("langgraph.graph", "langchain", "fastapi", "agent_service", "pgqueuer"),
)


PROBE = """
import importlib.util

def is_there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False

print([name for name in {own!r} if not is_there(name)], [name for name in {foreign!r} if is_there(name)])
"""


def run(*command):
    done = subprocess.run(command, cwd=services.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("side", [pytest.param(AGENT, id="agent service"), pytest.param(DJANGO, id="Django")])
def test_a_side_installs_without_the_other(side, tmp_path):
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(tmp_path / "bin" / "python")
    packages = [str(services.ROOT / package) for package in side.packages]
    run(uv, "venv", "--quiet", "--python", sys.executable, str(tmp_path))
    run(uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", side.requirements)
    run(uv, "pip", "install", "--quiet", "--python", python, "--no-deps", *packages)

    found = run(python, "-I", "-c", PROBE.format(own=side.own, foreign=side.foreign))

    assert found.strip() == "[] []", "first what is missing, then what should not be there"
