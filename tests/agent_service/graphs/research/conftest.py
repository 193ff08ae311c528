import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, SecretStr

from agent_service import checkpointing, models
from agent_service.graphs import registry
from agent_service.testing import model_server
from agent_service.tools import binding
from shared_schemas import tools

RECORDS = [
    {
        "ref": "lesson-3",
        "kind": "lesson",
        "id": 3,
        "title": "Joining tables",
        "lesson": "Joining tables",
        "rank": 0.91,
        "snippet": "An INNER JOIN keeps the pairs that match. A LEFT JOIN keeps the rest too.",
    },
    {
        "ref": "task-7",
        "kind": "task",
        "id": 7,
        "title": "Orders without a customer",
        "lesson": "Joining tables",
        "rank": 0.44,
        "snippet": "List the orders that no customer made.",
    },
]


class SearchCourse(BaseModel):
    """Search."""

    query: str
    limit: int = 5


class Library:
    """What the search finds."""

    def __init__(self):
        self.records = RECORDS
        self.asked = []

    def search(self, call):
        self.asked.append(call.query)
        return {"records": self.records[: call.limit]}


@pytest.fixture
def library(subject):
    library = Library()
    subject.offer("search_course", SearchCourse, library.search, effect=tools.Effect.READ)
    return library


@pytest.fixture
async def all_providers(provider):
    async with model_server.serving(provider) as url:
        opened = models.Catalogue(
            providers={
                name: models.Provider(api_key=SecretStr("none"), base_url=base_url, max_retries=0)
                for name, base_url in model_server.base_urls(url).items()
            }
        )
        yield opened
        await opened.aclose()


@pytest.fixture
def researcher(library, session, all_providers):
    async def build(model="gpt-4.1", fallback=None):
        graphs = await registry.load()
        graph = await graphs.build(
            "research",
            tools=binding.bind(session.tools),
            model=all_providers.get(model),
            fallback=all_providers.get(fallback) if fallback else None,
        )
        return graph.copy({"checkpointer": InMemorySaver(serde=checkpointing.serializer())})

    return build
