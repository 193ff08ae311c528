import pytest
from pydantic import SecretStr

from agent_service import models
from agent_service.testing import model_server, scripts

NAMES = {
    "openai": "gpt-4.1",
    "anthropic": "claude-sonnet-4-6",
    "google": "gemini-3-flash-preview",
}
FORMATS = {
    "openai": ("openai", {}),
    "openai responses": ("openai", {"use_responses_api": True}),
    "anthropic": ("anthropic", {}),
    "google": ("google", {}),
}
"""The provider that speaks each format, and how it is told to."""
ENTRIES = {
    "rules": [
        {
            "when": {"answered": "lookup"},
            "take": {"found": {"tool": "lookup", "path": "a/0"}},
            "answer": {"text": "It is ${found}."},
        },
        {
            "when": {"tools": ["lookup"], "last": "both"},
            "take": {"id": {"pattern": r"number (\d+)"}},
            "answer": {"calls": [{"name": "lookup", "arguments": {"id": "${id}"}}] * 2},
        },
        {
            "when": {"tools": ["lookup"], "last": "look"},
            "take": {"id": {"pattern": r"number (\d+)"}},
            "answer": {"text": "I look.", "calls": [{"name": "lookup", "arguments": {"id": "${id}"}}]},
        },
        {
            "when": {"wants": "Verdict"},
            "answer": {"structured": {"name": "Verdict", "value": {"score": 7, "because": "It holds."}}},
        },
        {"when": {"turn": 2}, "answer": {"text": "You are the second."}},
        {
            "when": {"system": "polite", "last": "hello"},
            "answer": {"text": "Hello, this is a somewhat longer answer."},
        },
    ]
}


@pytest.fixture(params=FORMATS)
def format_(request):
    return FORMATS[request.param]


@pytest.fixture(params=FORMATS)
def other_format(request):
    return FORMATS[request.param]


@pytest.fixture
def provider(format_):
    return format_[0]


@pytest.fixture
def server():
    return model_server.ModelServer(script=scripts.Script.model_validate(ENTRIES))


@pytest.fixture
async def url(server):
    async with model_server.serving(server) as address:
        yield address


@pytest.fixture
async def model(format_, url):
    opened = []

    def make(*, max_output=None, spoken=format_, **options):
        provider, how = spoken
        options = {"max_retries": 0, "timeout": 20} | options
        reached = models.Provider(
            api_key=SecretStr("none"), base_url=model_server.base_urls(url)[provider], **options
        )
        catalogue = models.Catalogue(providers={provider: reached})
        opened.append(catalogue)
        return catalogue.get(NAMES[provider], max_output=max_output, **how)

    yield make
    for catalogue in opened:
        await catalogue.aclose()


@pytest.fixture
def name(provider):
    return NAMES[provider]
