"""What answers tool calls in the tests of the tool API's law: the shipped fake, and the real Django."""

import uuid
from datetime import timedelta

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connections
from django.utils import timezone
from pydantic import BaseModel, Field

from agent_service.testing import django
from agent_service.tools import client
from mandate import models, testing, tools
from mandate.services import approvals, runs
from shared_schemas import keys
from shared_schemas import tools as shared_tools
from shared_schemas.runs import Decision
from tests.contract import exchanges


class AddNote(tools.Schema):
    """Add a note."""

    text: str = Field(min_length=1)
    lines: int = Field(default=1, ge=1)


class ReadNotes(tools.Schema):
    """Read the notes."""


class CopyNote(tools.Schema):
    """Add a note, and answer with many copies of it."""

    text: str
    copies: int


class PublishNote(tools.Schema):
    """Publish a note."""

    text: str


class Note(BaseModel):
    note: str


class Notes(BaseModel):
    notes: list[str]


class FakeSubject:
    def __init__(self, trusted):
        self.django = django.FakeDjango(trusted=trusted)
        self.django.offer("add_note", AddNote, self._add)
        self.django.offer("read_notes", ReadNotes, self._read, effect=shared_tools.Effect.READ)
        self.django.offer("copy_note", CopyNote, lambda call: {"note": call.text * call.copies})
        self.django.offer("publish_note", PublishNote, lambda call: {"note": call.text}, needs_approval=True)

    def _add(self, call):
        if call.text == "forbidden":
            raise django.RuleError("This note is not allowed.")
        return {"note": call.text}

    def _read(self, _):
        return {"notes": [arguments["text"] for _, arguments in self.django.effects]}

    async def start_run(self, *names):
        return self.django.start_run(*names)

    async def approve(self, approval_id):
        self.django.approve(approval_id)

    async def reject(self, approval_id, comment):
        self.django.reject(approval_id, comment)

    async def expire_token(self, run_id):
        self.django.expire_token(run_id)

    async def cancel(self, run_id):
        self.django.cancel(run_id)

    async def effects(self):
        return [arguments["text"] for _, arguments in self.django.effects]


def in_django(function):
    """Run a method in Django's thread, and leave no connection behind."""

    def run(*args):
        try:
            return function(*args)
        finally:
            connections.close_all()

    return sync_to_async(run)


class RealSubject:
    """Notes are groups: every Django has them."""

    def __init__(self, url):
        self.url = url

    def declare(self):
        def add_note(context: tools.Context, call: AddNote) -> Note:
            """Add a note."""
            if call.text == "forbidden":
                raise tools.ToolRejected("This note is not allowed.")
            return _keep(call.text)

        def read_notes(context: tools.Context, call: ReadNotes) -> Notes:
            """Read the notes."""
            return Notes(notes=_kept())

        def copy_note(context: tools.Context, call: CopyNote) -> Note:
            """Add a note, and answer with many copies of it."""
            return Note(note=_keep(call.text).note * call.copies)

        def publish_note(context: tools.Context, call: PublishNote) -> Note:
            """Publish a note."""
            return _keep(call.text)

        tools.tool(scope="notes:write", effect=tools.Effect.WRITE)(add_note)
        tools.tool(scope="notes:write", effect=tools.Effect.WRITE)(copy_note)
        tools.tool(scope="notes:read", effect=tools.Effect.READ)(read_notes)
        rule = tools.ApprovalRule(permission="auth.add_group")
        tools.tool(scope="notes:write", effect=tools.Effect.WRITE, approval=rule)(publish_note)

    @in_django
    def start_run(self, *names):
        agent = testing.make_agent(*(names or ("add_note", "read_notes", "copy_note", "publish_note")))
        return str(testing.start_run(agent, by=_person()).pk)

    @in_django
    def approve(self, approval_id):
        approvals.decide(approval_id, Decision(decision="approve"), by=_person())

    @in_django
    def reject(self, approval_id, comment):
        approvals.decide(approval_id, Decision(decision="reject", comment=comment), by=_person())

    @in_django
    def expire_token(self, run_id):
        past = timezone.now() - timedelta(minutes=1)
        models.ToolSession.objects.filter(run=run_id).update(expires_at=past)

    @in_django
    def cancel(self, run_id):
        runs.cancel(uuid.UUID(run_id))

    @in_django
    def effects(self):
        return _kept()


def _keep(text):
    return Note(note=Group.objects.create(name=text).name)


def _kept():
    return list(Group.objects.order_by("pk").values_list("name", flat=True))


def _person():
    person, _ = User.objects.get_or_create(username="person", defaults={"is_superuser": True})
    return person


@pytest.fixture(params=["fake", pytest.param("django", marks=pytest.mark.django_db(transaction=True))])
def subject(request, signing_key):
    if request.param == "fake":
        yield FakeSubject(keys.parse_trusted([signing_key.public_text()]))
        return
    with testing.temporary_tools():
        real = RealSubject(url=request.getfixturevalue("live_server").url)
        real.declare()
        yield real


@pytest.fixture(scope="session")
def tool_api():
    return exchanges.Api(exchanges.TOOL_API)


@pytest.fixture
async def tool_client(subject, signing_key, tool_api):
    """The agent service's client; every request and every answer is held against Django's document."""
    if isinstance(subject, FakeSubject):
        url, inner, key = "http://django.test", httpx.ASGITransport(subject.django.app()), signing_key
    else:
        url, inner, key = (
            subject.url,
            httpx.AsyncHTTPTransport(),
            keys.parse_signing(settings.AGENT_SIGNING_KEY),
        )
    transport = exchanges.CheckedTransport(inner, tool_api)
    async with client.open_client(django_url=url, signing_key=key, transport=transport) as opened:
        yield opened


@pytest.fixture
def open_session(subject, tool_client):
    async def open_one(*granted, run_id=None, epoch=1):
        run_id = run_id or await subject.start_run(*granted)
        return await tool_client.open_session(run_id=run_id, thread_id=run_id, epoch=epoch)

    return open_one
