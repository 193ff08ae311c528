from datetime import timedelta

from google.genai import errors

from agent_service.providers import google


def test_the_pause_is_read_from_the_body():
    body = {
        "error": {
            "code": 429,
            "message": "Slow down.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}],
        }
    }

    assert google.pause(errors.ClientError(429, body)) == timedelta(seconds=34.5)


def test_no_pause_is_none():
    assert google.pause(ValueError("a bug")) is None
