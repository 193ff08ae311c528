import random
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import BaseModel, Field

from agent_service.testing import django
from agent_service.tools import client
from shared_schemas import keys, tools


class AddNote(BaseModel):
    """Add a note."""

    text: str = Field(min_length=1)
    lines: int = Field(default=1, ge=1)


class ReadNotes(BaseModel):
    """Read the notes."""


class PublishNote(BaseModel):
    """Publish a note."""

    note_id: int


@dataclass
class Clock:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def offer_notes(subject):
    def add(call):
        if call.text == "forbidden":
            raise django.RuleError("This note is not allowed.")
        return {"note": call.text}

    subject.offer("add_note", AddNote, add)
    subject.offer("add_final_note", AddNote, add, return_direct=True)
    subject.offer("add_careful_note", AddNote, add, tell_model_rejections=True)
    subject.offer("read_notes", ReadNotes, lambda _: ["one", "two"], effect=tools.Effect.READ)
    subject.offer("publish_note", PublishNote, lambda call: {"published": call.note_id}, needs_approval=True)


@pytest.fixture
def signing_key():
    return keys.parse_signing(keys.generate())


@pytest.fixture
def subject(signing_key):
    fake = django.FakeDjango(trusted=keys.parse_trusted([signing_key.public_text()]))
    offer_notes(fake)
    return fake


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def patience(clock):
    return client.Patience(clock=clock, sleep=clock.sleep, between=random.Random(1).uniform)


@pytest.fixture
async def tool_client(subject, signing_key, patience):
    transport = httpx.ASGITransport(subject.app())
    async with client.open_client(
        django_url="http://django.test", signing_key=signing_key, transport=transport, patience=patience
    ) as opened:
        yield opened


@pytest.fixture
def open_session(subject, tool_client):
    async def open_one(*granted, run_id=None, epoch=1):
        return await tool_client.open_session(
            run_id=run_id or subject.start_run(*granted), thread_id="thread", epoch=epoch
        )

    return open_one
