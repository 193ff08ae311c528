"""The project as it is served, with one more address: the view that the ledger is compared with."""

from config.settings import *  # noqa: F403 - the settings that are measured

ROOT_URLCONF = "tests.benchmarks.plain"
