"""The jobs that `make demo` can do; `JOB` names one."""

import os
from collections.abc import Mapping, Sequence
from typing import Protocol

import httpx
import psycopg

from stack import assembly, chain, compare, job, research, services, sql


class Job(Protocol):
    """Does a job once, as a person with a login at the REST API, and returns what came of it in one line."""

    def __call__(
        self, http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say
    ) -> str: ...


JOBS: dict[str, Job] = {
    "chain": chain.do,
    "author": job.do,
    "sql": sql.do,
    "compare": compare.do,
    "research": research.do,
}


def chosen(environment: Mapping[str, str] = os.environ) -> Job:
    """Return the job that `JOB` names; without it, the one of three agents.

    Raises:
        StackError: there is none of that name.
    """
    name = environment.get("JOB") or "chain"
    if name not in JOBS:
        raise assembly.StackError(f"There is no JOB={name}; there are {', '.join(sorted(JOBS))}.")
    return JOBS[name]


def providers_of(do: Job) -> Sequence[str]:
    """Return whose models a job asks: every provider's client takes a while to import."""
    return services.PROVIDERS if do is compare.do else services.PROVIDERS[:1]
