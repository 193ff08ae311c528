"""The same attack through a real graph: the model's messages, LangGraph, the binding, HTTP, Django."""

import random
from collections import Counter

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from langchain.agents import create_agent
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

TURNS = 6


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
        emitted = script(moves.Attacker(chance=chance, others=others, mandate=mandate))
        server = model_server.ModelServer(script=emitted)
        async with model_server.serving(server) as url:
            model = ChatOpenAI(model="attacker", base_url=url, api_key="none", max_retries=0)
            specs = [tool.spec() for tool in registry.declared().values()]
            graph = create_agent(
                model, binding.bind(specs), checkpointer=InMemorySaver(serde=checkpointing.serializer())
            )
            run_id = str(mandate.run.pk)
            session = await tool_client.open_session(run_id=run_id, thread_id=run_id, epoch=2)
            ended, approved = await drive(graph, session, others)
        return await in_django(judge)(mandate, since, approved, ended)

    return play


async def drive(graph, session, others):
    """Run the graph to its end, with a person who approves whatever is asked."""
    config = {"configurable": {"thread_id": session.run_id}, "recursion_limit": 40}
    given, approved = {"messages": [("user", "go")]}, set()
    try:
        while True:
            state = await graph.ainvoke(
                given, config, context={"session": session}, durability="sync", version="v2"
            )
            waiting = {interrupt.id: interrupt.value for interrupt in state.interrupts}
            if not waiting:
                return "finished", approved
            for asked in waiting.values():
                approved |= await in_django(approve)(asked["approval_id"], others)
            given = Command(resume=dict.fromkeys(waiting, "approved, says the model"))
    except exceptions.RunFailed as failure:
        return failure.code, approved
    except (GraphRecursionError, TypeError, ValueError) as failure:
        # Arguments that no checkpoint can hold: the run fails before a tool is called.
        return type(failure).__name__, approved


def approve(approval_id, others):
    """Approve; what the tool itself refuses is rejected, so that the graph goes on."""
    try:
        approvals.decide(approval_id, Decision(decision="approve"), by=others.approver)
    except django_exceptions.MandateError:
        approvals.decide(approval_id, Decision(decision="reject"), by=others.approver)
        return set()
    return {approval_id}


def script(attacker):
    """Write down what the model says in each turn."""
    rules = []
    for turn in range(1, TURNS + 1):
        calls = [attacker.call() for _ in range(attacker.chance.randint(1, 3))]
        made = [{"name": name, "arguments": arguments} for name, arguments in calls]
        rules.append({"when": {"turn": turn}, "answer": {"calls": made}})
    return scripts.Script.model_validate({"rules": [*rules, {"answer": {"text": "Done."}}]})


def judge(mandate, since, approved, ended):
    done = oracle.Done(mandate=mandate, bodies=[], reads=Counter(), approved=approved, cancelled_at=None)
    verdict = oracle.Verdict(seen=Counter([ended]), faults=list(oracle.faults_of(done, since=since)))
    verdict.effects = mandate.run.tool_calls.filter(status="succeeded").count()
    return verdict


async def test_no_model_leads_a_graph_out_of_its_mandate(attack, size, report):
    total = oracle.Verdict()
    for number in range(size.graphs):
        total.add(await attack(number, size.seed), name=f"seed {size.seed}, graph {number}")

    report("attacker through a graph", total, size.graphs)
    assert total.faults == []
    assert total.effects > 0
    assert len(total.seen) > 1, "runs ended in several ways"
