import pytest

from mandate.pages import written

STEP = {"langgraph_checkpoint_ns": "write_task:1|model:2"}


@pytest.fixture
def writing():
    return written.Writing()


def chunk(message_id, content="", **more):
    return {"type": "AIMessageChunk", "id": message_id, "content": content, **more}


def test_pieces_of_a_message_are_put_together(writing):
    writing.add("messages", [chunk("a", "Add "), STEP])
    writing.add("messages|write_task:1", [chunk("a", [{"type": "text", "text": "up"}]), STEP])

    [message] = writing.messages
    assert (message.text, message.by) == ("Add up", "write_task")


def test_arguments_of_calls_are_put_together_by_their_place(writing):
    begun = [{"index": 0, "name": "add", "args": '{"n"'}, {"index": 1, "name": "sub", "args": "{}"}]
    writing.add("messages", [chunk("a", tool_call_chunks=begun), STEP])
    writing.add("messages", [chunk("a", tool_call_chunks=[{"index": 0, "name": None, "args": ": 1}"}]), STEP])

    [message] = writing.messages
    assert list(message.calls.values()) == [["add", '{"n": 1}'], ["sub", "{}"]]


def test_a_whole_message_is_not_told_twice(writing):
    whole = {"type": "ai", "id": "a", "content": "Done.", "tool_calls": [{"name": "add", "args": {"n": 1}}]}
    writing.add("messages", [whole, STEP])
    writing.add("messages", [whole, STEP])

    [message] = writing.messages
    assert message.text == "Done."
    assert list(message.calls.values()) == [["add", '{"n":1}']]


@pytest.mark.parametrize(
    ("last", "note"),
    [
        pytest.param({}, "Cut off here; it is written again.", id="cut off"),
        pytest.param({"chunk_position": "last"}, "The same step asked again.", id="whole"),
    ],
)
def test_a_message_that_is_begun_again_is_marked(writing, last, note):
    writing.add("messages", [chunk("a", "Add"), STEP])
    writing.add("messages", [chunk("a", **last), STEP])
    writing.add("messages", [chunk("b", "Add up"), STEP])

    before, after = writing.messages
    assert (before.is_again, before.note) == (True, note)
    assert (after.is_again, after.text) == (False, "Add up")


def test_an_attempt_that_is_made_again_is_noted(writing):
    writing.add("retry", {"attempt": 1, "error": "model_failed", "message": "Busy.", "after_seconds": 1})

    assert writing.messages[0].note == "Attempt 1 failed and is made again: Busy."


@pytest.mark.parametrize("event", ["updates", "custom", "status"])
def test_what_is_no_message_of_a_model_is_left_out(writing, event):
    writing.add(event, {"anything": 1})
    writing.add("messages", [{"type": "tool", "id": "t", "content": "ok"}, STEP])

    assert writing.messages == []
