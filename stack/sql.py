"""The demo's job on the lesson in SQL: the same agent, with tables and queries instead of functions."""

import httpx
import psycopg

from stack import job

SLUG = "sql-joins"


def do(http: httpx.Client, database: psycopg.Connection, *, by: str, within: float, say: job.Say) -> str:
    """Have tasks in SQL written, and publish the one that is asked about.

    Raises:
        JobError: with the step that failed.
    """
    return job.write(http, database, module_id=job.lesson(database, SLUG), by=by, within=within, say=say)
