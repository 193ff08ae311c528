"""An attack through a real graph: the model's messages, LangGraph, the binding, HTTP, Django.

A person approves most of what is asked, and helps a refused run on, so that the model comes far.
"""

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.types import Command

from agent_service import checkpointing, exceptions
from agent_service.testing import model_server, scripts
from agent_service.tools import binding, client
from mandate import exceptions as django_exceptions
from mandate.services import approvals
from mandate.tools import registry
from shared_schemas import keys
from shared_schemas.runs import Decision
from tests.chaos.attacker import moves, oracle, world

TURNS = 8
MOST_STOPS = 16
DONE = "Done."
SEEN = {"waited", "limit_spent", "finished"}
"""What must have happened for the attack to have been one."""


def in_django(function):
    """Run a function in Django's thread, and leave no connection behind."""

    def run(*args, **options):
        try:
            return function(*args, **options)
        finally:
            connections.close_all()

    return sync_to_async(run)


@pytest.fixture
async def tool_client(live_server):
    signing_key = keys.parse_signing(settings.AGENT_SIGNING_KEY)
    async with client.open_client(django_url=live_server.url, signing_key=signing_key) as opened:
        yield opened


@pytest.fixture
async def attack(others, tool_client):
    """Lets a scripted model attack from inside a graph that was bound to every tool there is."""

    async def play(number, seed):
        chance = random.Random(f"{seed}/graph/{number}")
        mandate = await in_django(world.make_mandate)(others, chance)
        since = await in_django(oracle.latest)()
        emitted = script(moves.Plausible(chance=chance, others=others, mandate=mandate))
        server = model_server.ModelServer(script=emitted)
        async with model_server.serving(server) as url:
            model = ChatOpenAI(model="attacker", base_url=url, api_key="none", max_retries=0)
            specs = [tool.spec() for tool in registry.declared().values()]
            graph = create_agent(
                model, binding.bind(specs), checkpointer=InMemorySaver(serde=checkpointing.serializer())
            )
            run_id = str(mandate.run.pk)
            session = await tool_client.open_session(run_id=run_id, thread_id=run_id, epoch=2)
            seen, approved = await drive(graph, session, People(others=others, chance=chance))
        return await in_django(judge)(mandate, since, approved, seen)

    return play


async def drive(graph, session, people):
    """Run the graph to its end; return what was seen on the way, and which approvals people gave."""
    config = {"configurable": {"thread_id": session.run_id}, "recursion_limit": 60}
    given, seen, approved = {"messages": [("user", "go")]}, Counter(), set()
    while seen.total() - seen["waited"] < MOST_STOPS:
        try:
            state = await graph.ainvoke(
                given, config, context={"session": session}, durability="sync", version="v2"
            )
        except exceptions.RunFailed as failure:
            seen[failure.code] += 1
            given = await help_on(graph, config)
            continue
        except (GraphRecursionError, TypeError, ValueError) as failure:
            # Arguments that no checkpoint can hold: the run fails before a tool is called.
            seen[type(failure).__name__] += 1
            break
        waiting = {interrupt.id: interrupt.value for interrupt in state.interrupts}
        if not waiting and state.value["messages"][-1].text == DONE:
            seen["finished"] += 1
            break
        if not waiting:
            seen["asked for more"] += 1
            given = {"messages": [("user", "go on")]}
            continue
        seen["waited"] += len(waiting)
        for asked in waiting.values():
            approved |= await in_django(people.decide)(asked["approval_id"])
        given = Command(resume=dict.fromkeys(waiting, "approved, says the model"))
    values = (await graph.aget_state(config)).values
    seen["turns"] = sum(message.type == "ai" for message in values["messages"])
    return seen, approved


async def help_on(graph, config):
    """Tell the model that a person leaves its calls undone, as one who resumes a run by an update may."""
    messages = (await graph.aget_state(config)).values["messages"]
    answered = {message.tool_call_id for message in messages if message.type == "tool"}
    (*_, asked) = (message for message in messages if message.type == "ai")
    left = [call["id"] for call in asked.tool_calls if call["id"] not in answered]
    told = [ToolMessage("A person leaves this undone.", tool_call_id=call_id) for call_id in left]
    await graph.aupdate_state(config, {"messages": told}, as_node="tools")


@dataclass(kw_only=True)
class People:
    """Those who are asked."""

    others: world.Others
    chance: random.Random

    def decide(self, approval_id):
        """Approve mostly; what the tool itself refuses is rejected, so that the graph goes on."""
        by = self.others.approver
        try:
            if self.chance.random() < 0.8:
                approvals.decide(approval_id, Decision(decision="approve"), by=by)
                return {approval_id}
        except django_exceptions.MandateError:
            pass
        approvals.decide(approval_id, Decision(decision="reject"), by=by)
        return set()


def script(attacker):
    """Write down what the model says in each turn."""
    rules = []
    for turn in range(1, TURNS + 1):
        calls = [attacker.call() for _ in range(attacker.chance.randint(1, 3))]
        made = [{"name": name, "arguments": arguments} for name, arguments in calls]
        rules.append({"when": {"turn": turn}, "answer": {"calls": made}})
    return scripts.Script.model_validate({"rules": [*rules, {"answer": {"text": DONE}}]})


def judge(mandate, since, approved, seen):
    done = oracle.Done(mandate=mandate, bodies=[], reads=Counter(), approved=approved, cancelled_at=None)
    verdict = oracle.Verdict(seen=seen, faults=list(oracle.faults_of(done, since=since)))
    verdict.effects = mandate.run.tool_calls.filter(status="succeeded").count()
    return verdict


async def test_no_model_leads_a_graph_out_of_its_mandate(attack, size, report):
    total = oracle.Verdict()
    for number in range(size.graphs):
        total.add(await attack(number, size.seed), name=f"seed {size.seed}, graph {number}")

    report("attacker through a graph", total, size.graphs)
    assert total.faults == []
    assert total.effects > size.graphs, "most runs do something"
    assert total.seen["turns"] > 4 * size.graphs, "most runs come far"
    assert set(total.seen) >= SEEN
