"""Who watches comes behind who reads."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from agent_service.events import readers
from agent_service.events.threads import START, Place

THREAD = uuid.UUID(int=1)
END = Place(1, 7)


@pytest.fixture
def reading():
    return readers.Readers()


async def waiting_for(reading):
    """Return a task that has begun to wait."""
    waiting = asyncio.create_task(reading.have_passed(THREAD, END, within=timedelta(seconds=20)))
    await asyncio.sleep(0)
    return waiting


async def test_nobody_waits_for_nobody(reading):
    await reading.have_passed(THREAD, END)


async def test_who_is_behind_is_waited_for(reading):
    with reading.reading(THREAD, START) as reader:
        waiting = await waiting_for(reading)
        reader.pass_by(Place(1, 6))
        await asyncio.sleep(0)
        assert not waiting.done()

        reader.pass_by(END)

        await waiting


async def test_who_leaves_is_not_waited_for(reading):
    with reading.reading(THREAD, START):
        waiting = await waiting_for(reading)

    await waiting


async def test_each_who_is_behind_is_waited_for(reading):
    with reading.reading(THREAD, START) as first, reading.reading(THREAD, START) as second:
        waiting = await waiting_for(reading)
        second.pass_by(END)
        await asyncio.sleep(0)
        assert not waiting.done()

        first.pass_by(END)

        await waiting


async def test_who_reads_another_thread_is_not_waited_for(reading):
    with reading.reading(uuid.UUID(int=2), START):
        await reading.have_passed(THREAD, END)


async def test_who_does_not_read_is_not_waited_for_long(reading):
    with reading.reading(THREAD, START):
        await reading.have_passed(THREAD, END, within=timedelta(milliseconds=1))
