"""The jobs that `make demo` can do; `JOB` names one."""

import os
from collections.abc import Mapping
from typing import Protocol

import httpx
import psycopg

from stack import assembly, job, research


class Job(Protocol):
    """Does a job once, as a person with a login at the REST API, and returns what came of it in one line."""

    def __call__(
        self, http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say
    ) -> str: ...


JOBS: dict[str, Job] = {"python": job.do, "research": research.do}


def chosen(environment: Mapping[str, str] = os.environ) -> Job:
    """Return the job that `JOB` names; without it, the one of the lesson in Python.

    Raises:
        StackError: there is none of that name.
    """
    name = environment.get("JOB") or "python"
    if name not in JOBS:
        raise assembly.StackError(f"There is no JOB={name}; there are {', '.join(sorted(JOBS))}.")
    return JOBS[name]
