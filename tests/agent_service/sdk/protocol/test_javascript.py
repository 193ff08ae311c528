"""The official JavaScript clients, unmodified: their tests are in `tests/javascript`."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shared_schemas import tokens

ROOT = Path(__file__).parents[4]
SUITE = ROOT / "tests" / "javascript"
INSTALLED = ROOT / ".mandate" / "javascript"

DESCRIPTION = ("package.json", "package-lock.json", ".npmrc")


@pytest.fixture(scope="module")
def suite():
    """The suite beside its installed packages; they are installed again when their list changes."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: the JavaScript clients are not tested")
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed():
            install()
        for file in SUITE.glob("*.js"):
            shutil.copy(file, INSTALLED)
    return INSTALLED


def is_installed():
    made = INSTALLED / "made-from-lock.json"
    return made.exists() and made.read_bytes() == (SUITE / "package-lock.json").read_bytes()


def install():
    for name in DESCRIPTION:
        shutil.copy(SUITE / name, INSTALLED)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=INSTALLED, capture_output=True, text=True, timeout=110, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install the JavaScript clients: {done.stderr.strip()[-500:]}")
    shutil.copy(SUITE / "package-lock.json", INSTALLED / "made-from-lock.json")


@pytest.mark.e2e
@pytest.mark.parametrize("name", sorted(file.name for file in SUITE.glob("*.test.js")))
def test_javascript(suite, service, token, name):
    # A page has a token of its person's own, which lives longer than the minute that one of Django's does.
    person = token(typ=tokens.TokenType.USER)
    environment = os.environ | {"AGENT_URL": service.url, "AGENT_TOKEN": person}

    done = subprocess.run(
        ["node", "--test", "--test-force-exit", "--test-reporter=tap", name],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
