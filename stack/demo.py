"""`make demo`: one job once, as a person would do it over REST, with every step shown."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx
import psycopg

from stack import assembly, interrupts, job, jobs, processes, services, state

FOLDER = state.Folder(path=services.ROOT / ".mandate" / "demo")

JOB_WITHIN, JOB_WITH_PROVIDER_WITHIN = 120.0, 900.0
"""Seconds that the job may take."""


class DemoError(Exception):
    """The job did not end as it should."""


def demo(folder: state.Folder = FOLDER, environment: Mapping[str, str] = os.environ) -> None:
    """Start a stack of its own, do the job, stop the stack.

    Raises:
        DemoError, StackError, ProcessError, PostgresError: with the step and what is known.
    """
    do = jobs.chosen(environment)
    folder.make()
    with state.locked(folder) as ours, interrupts.interruptible():
        if not ours:
            raise assembly.StackError("Another `make demo` is at work here; wait for it.")
        steps = Steps()
        # What an earlier demo left that was killed outright.
        assembly.stop(folder, state.noted_in(folder).alive)
        try:
            databases = assembly.open_databases(folder, steps.say)
            layout = _layout(databases, folder, jobs.providers_of(do))
            login = assembly.prepare(layout, folder, steps.say)
            with assembly.running(layout, folder, steps.say) as started:
                summary = _do(do, layout, login, steps, started)
                steps.say("stopping everything")
                with interrupts.deaf():
                    assembly.stop(folder, started)
        finally:
            with interrupts.deaf():
                assembly.stop_database(folder)
    print(summary, flush=True)


@dataclass(slots=True)
class Steps:
    """Prints what happens, with the seconds since the start."""

    started: float = field(default_factory=time.monotonic)
    latest: str = ""

    def say(self, text: str) -> None:
        self.latest = text
        print(f"[{time.monotonic() - self.started:5.1f} s] {text}", flush=True)


def _do(
    do: jobs.Job,
    layout: services.Layout,
    login: state.Login,
    steps: Steps,
    started: list[processes.Process],
) -> str:
    """Do the job and return what came of it.

    Raises:
        DemoError: with the end of the log of the process that failed.
    """
    within = JOB_WITHIN if layout.model_port else JOB_WITH_PROVIDER_WITHIN
    headers = {"Authorization": f"Token {login.token}"}
    try:
        with (
            httpx.Client(base_url=layout.django_url, headers=headers, timeout=60) as http,
            psycopg.connect(layout.database_url, autocommit=True) as database,
        ):
            return do(http, database, by=login.username, within=within, say=steps.say)
    except (job.JobError, httpx.HTTPError) as error:
        blamed = error.blamed if isinstance(error, job.JobError) else "django"
        tails = [
            f"\nThe end of {blamed}'s log:\n{process.tail()}" for process in started if process.name == blamed
        ]
        raise DemoError(f"after {steps.latest!r}: {error}{''.join(tails)}") from None


def _layout(databases: assembly.Databases, folder: state.Folder, providers: Sequence[str]) -> services.Layout:
    return services.Layout(
        database_url=databases.django,
        agent_database_url=databases.agent,
        django_port=processes.free_port(),
        agent_port=processes.free_port(),
        model_port=None if services.has_provider() else processes.free_port(),
        secrets=state.secrets_of(folder),
        providers=providers,
        catalogue=services.catalogue(),
    )
