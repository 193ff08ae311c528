"""What dies between an effect and its checkpoint, and what is left of it: one effect."""

import pytest

from tests.e2e import proxy

pytestmark = pytest.mark.e2e

EFFECTS = "SELECT tool, count(*), sum(replay_count) FROM mandate_toolcall WHERE run_id = %s GROUP BY tool"
TASKS = """
    SELECT count(*) FROM mandate_toolcalllink AS link JOIN mandate_toolcall AS call ON call.id = link.tool_call_id
    WHERE call.run_id = %s AND call.tool = 'add_tasks'
"""


def finish(author, run_id):
    author.wait(run_id, "awaiting_approval")
    for approval in author.approvals(run_id):
        author.decide(approval["approval_id"]).raise_for_status()
    return author.wait(run_id, "completed")


@pytest.mark.parametrize("tool", ["add_tasks", "add_task_solution"])
def test_a_worker_killed_between_effect_and_checkpoint_repeats_nothing(author, stack, tool):
    def crash():
        stack.kill("worker")
        return proxy.DROP

    trap = stack.proxy.trap("POST", f"/agent-api/tools/{tool}/calls/", crash)
    run_id = author.start(count=2)
    assert trap.sprung.wait(60), stack.logs()
    stack.start("worker")

    finish(author, run_id)

    effects = {name: (calls, replays) for name, calls, replays in stack.query(EFFECTS, run_id)}
    assert stack.query(TASKS, run_id) == [(2,)]
    assert effects["add_tasks"][0] == 1
    assert effects["add_task_solution"][0] == 2
    assert effects[tool][1] >= 1


def test_django_killed_between_commit_and_answer_repeats_nothing(author, stack):
    def crash():
        stack.kill("django")
        return proxy.DROP

    trap = stack.proxy.trap("POST", "/agent-api/tools/add_tasks/calls/", crash)
    run_id = author.start(count=2)
    assert trap.sprung.wait(60), stack.logs()
    stack.start("django")

    finish(author, run_id)

    effects = {name: (calls, replays) for name, calls, replays in stack.query(EFFECTS, run_id)}
    assert stack.query(TASKS, run_id) == [(2,)]
    assert effects["add_tasks"] == (1, 1)


def test_runs_started_while_the_agent_service_is_away_are_delivered_when_it_is_back(author, stack):
    stack.stop("agent", "worker")
    run_ids = [author.start(count=1) for _ in range(3)]
    stack.start("agent")
    stack.start("worker")

    finished = [finish(author, run_id) for run_id in run_ids]

    assert [run["status"] for run in finished] == ["completed"] * 3
