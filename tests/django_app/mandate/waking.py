"""What the setting `ON_MESSAGE` may name."""

CALLS = []


def wake():
    CALLS.append("woken")


def fail():
    CALLS.append("failed")
    raise ConnectionError("the queue is away")
