import pytest
from django.core.exceptions import ImproperlyConfigured

from mandate import conf


def test_crash_points_alone_stop_the_start(settings):
    settings.MANDATE = settings.MANDATE | {"CRASH_POINTS": "call.after_commit:1"}

    with pytest.raises(ImproperlyConfigured, match="ALLOW_CRASH_POINTS"):
        conf.settings()


def test_a_project_of_tests_may_have_crash_points(settings):
    allowed = {"CRASH_POINTS": "call.after_commit:1", "ALLOW_CRASH_POINTS": True}
    settings.MANDATE = settings.MANDATE | allowed

    assert conf.settings().crash_points == "call.after_commit:1"


def test_crash_points_that_cannot_be_read_stop_the_start(settings):
    settings.MANDATE = settings.MANDATE | {"CRASH_POINTS": "call", "ALLOW_CRASH_POINTS": True}

    with pytest.raises(ImproperlyConfigured, match="name:passage"):
        conf.settings()
