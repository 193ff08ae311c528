"""What earlier releases send is still understood, so that either side may be deployed first.

Examples are added with a release and never changed. Their names are the message's module, its name, and
where there are several a word for this one.
"""

import importlib
import json

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from agent_service.api import payloads
from mandate import agent_client, testing
from shared_schemas import base, events, problems
from stack import contracts
from tests import serving
from tests.contract import exchanges

FOLDER = contracts.FOLDER / "examples"
AGENT_SERVICE = "agent_service"
EXAMPLES = sorted(path.name.removesuffix(".json") for path in FOLDER.glob("*.json"))
OF_DJANGO = [name for name in EXAMPLES if not name.startswith(AGENT_SERVICE)]
OF_AGENT_SERVICE = [name for name in EXAMPLES if name.startswith(AGENT_SERVICE)]


def holds(whole, part):
    """Tell whether everything in `part` is there; a later release may have more fields."""
    if isinstance(part, dict):
        return all(key in whole and holds(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(holds, whole, part))
    return bool(whole == part)


def read(name):
    return (FOLDER / f"{name}.json").read_text()


@pytest.mark.parametrize("name", OF_DJANGO)
def test_an_example_still_parses(name):
    module, message, *_ = name.split(".")
    model = getattr(importlib.import_module(f"shared_schemas.{module}"), message)

    parsed = model.model_validate_json(read(name), strict=issubclass(model, base.Request))

    assert holds(parsed.model_dump(mode="json", by_alias=True), json.loads(read(name)))


@pytest.mark.parametrize("name", OF_AGENT_SERVICE)
def test_an_example_still_fits_the_agent_service(name):
    document = exchanges.Document(exchanges.AGENT_SERVICE)

    faults = document.faults(json.loads(read(name)), "components", "schemas", name.split(".")[1])

    assert list(faults) == []


@pytest.mark.parametrize("name", [name for name in OF_AGENT_SERVICE if "RunCreate" in name])
def test_nothing_that_django_asks_for_is_dropped(name):
    asked = json.loads(read(name))

    understood = payloads.RunCreate.model_validate_json(read(name)).model_dump(
        mode="json", exclude_unset=True
    )

    assert understood == asked


@pytest.mark.django_db
def test_django_understands_a_run_and_its_thread(settings):
    run, thread = (json.loads(read(f"{AGENT_SERVICE}.{name}")) for name in ("Run", "Thread"))
    routes = [
        Route("/threads/{thread_id}/runs/{run_id}", lambda _: JSONResponse(run)),
        Route("/threads/{thread_id}", lambda _: JSONResponse(thread)),
    ]

    with serving.serving(Starlette(routes=routes)) as url:
        settings.MANDATE = settings.MANDATE | {"AGENT_URL": url}
        outcome = agent_client.pull(testing.start_run(testing.make_agent()), run["run_id"])

    assert (outcome.status, outcome.segment, outcome.parked) == ("success", 1, True)
    assert outcome.values == thread["values"]
    assert list(outcome.interrupts) == ["5b9f1c"]
    assert [used.model_dump() for used in outcome.usage] == run["usage"]


def test_every_message_has_an_example():
    messages = {name.split(".")[1] for name in OF_DJANGO}

    assert messages >= {*_messages_of(exchanges.TOOL_API), *_messages_of(exchanges.PEOPLE_API)}
    assert messages >= {event.__name__ for event in events.RunEvent.__args__}
    assert problems.Problem.__name__ in messages


def _messages_of(name):
    """Name what is sent and answered as a whole."""
    for methods in exchanges.Document(name).content["paths"].values():
        for operation in methods.values():
            for message in [operation.get("requestBody", {}), *operation["responses"].values()]:
                for content in message.get("content", {}).values():
                    if "schema" in content:
                        yield content["schema"]["$ref"].rpartition("/")[2]
