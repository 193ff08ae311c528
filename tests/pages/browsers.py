"""A Chromium that is there already, or that the system's package manager brings."""

import os
import shutil
import subprocess
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_WITHIN = 100
"""Seconds."""


class NoBrowserError(Exception):
    """There is none, and why none could be had."""


def find() -> str:
    """Return the path of a Chromium; as root on Debian it is installed where it is missing.

    Raises:
        NoBrowserError: the message says what was tried.
    """
    if found := _found():
        return found
    told = _install()
    if found := _found():
        return found
    raise NoBrowserError(f"no Chromium ({', '.join(NAMES)}, or `playwright install chromium`): {told}")


def _found() -> str | None:
    for name in NAMES:
        if path := shutil.which(name):
            return path
    try:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
    except Error:
        return None
    return own if Path(own).exists() else None


def _install() -> str:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return "only root may install Debian's"
    command = [apt, "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return f"apt-get was not done within {INSTALL_WITHIN} s"
    return (done.stderr.strip().splitlines() or ["apt-get installed it, but it is not on the PATH"])[-1]
