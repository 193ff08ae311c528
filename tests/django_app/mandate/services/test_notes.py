import pytest
from django.db import IntegrityError, transaction

from mandate import models
from mandate.services import notes

pytestmark = pytest.mark.django_db


@pytest.fixture
def note(start_run, add_tool):
    notes.write(start_run(add_tool).pk, notes.Kind.CANCELLED, {"why": "asked"})
    return models.RunNote.objects.get(kind="cancelled")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda note: models.RunNote.objects.filter(pk=note.pk).update(data={}), id="update"),
        pytest.param(lambda note: note.save(), id="save"),
    ],
)
def test_a_note_is_never_changed(note, change):
    note.data = {"why": "nobody knows"}

    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        change(note)

    note.refresh_from_db()
    assert note.data == {"why": "asked"}


def test_notes_go_with_their_run(note):
    note.run.delete()

    assert not models.RunNote.objects.exists()
