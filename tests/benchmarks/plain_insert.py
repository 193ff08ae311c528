"""What a submission is held against: a FastAPI endpoint that inserts one row."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel


class Note(BaseModel):
    """The same body as a run's."""

    assistant_id: str
    input: dict[str, Any]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["PLAIN_DATABASE_URL"]
    async with AsyncConnectionPool(
        url, kwargs={"autocommit": True}, min_size=2, max_size=20, open=False
    ) as pool:
        await pool.wait()
        async with pool.connection() as connection:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS notes"
                " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, body jsonb)"
            )
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/threads/{thread_id}/runs")
async def insert(thread_id: UUID, note: Note) -> dict[str, int]:
    async with app.state.pool.connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO notes (name, body) VALUES (%s, %s) RETURNING id",
            (f"{thread_id}", Jsonb(note.input)),
        )
        (inserted,) = await cursor.fetchone()
    return {"id": inserted}
