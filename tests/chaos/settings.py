"""The Django project of the chaos tests: the example project, one app of marks, and leave to die."""

from datetime import timedelta

from config.settings import *  # noqa: F403 - a project like the one that is served
from config.settings import INSTALLED_APPS, MANDATE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.chaos.marks.apps.MarksConfig"]

# A lost webhook is looked for soon, so that a scenario takes seconds.
MANDATE = MANDATE | {"ALLOW_CRASH_POINTS": True, "RECONCILE_AFTER": timedelta(seconds=2)}
