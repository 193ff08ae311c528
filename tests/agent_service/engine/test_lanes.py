import asyncio

import pytest

from agent_service import exceptions
from agent_service.engine import run
from agent_service.graphs import loading, registry


@pytest.fixture
def graphs(graphs, stage):
    async def count(state):
        stage.visits.append("in")
        for _ in range(20):
            await asyncio.sleep(0.001)
        stage.visits.append("out")
        return {"trail": ["counted"]}

    return graphs | {"counting": stage.chain(("count", count))}


async def test_so_many_runs_of_a_limited_graph_work_at_a_time_over_all_workers(
    open_two, start_worker, submission, end_of, stage
):
    first, second = await open_two(rules={"counting": loading.Rules(concurrency=1)})
    rows = [await first.queue.submit(submission("counting")) for _ in range(6)]

    await start_worker(first)
    await start_worker(second)
    ended = [await end_of(row) for row in rows]

    assert {row.status for row in ended} == {run.RunStatus.SUCCESS}
    assert stage.visits == ["in", "out"] * 6


async def test_a_limited_graph_does_not_hold_up_the_others(
    open_services, start_worker, submission, end_of, stage
):
    services = await open_services(rules={"gated": loading.Rules(concurrency=1)})
    await start_worker(services)
    held = [await services.queue.submit(submission("gated")) for _ in range(3)]
    await stage.reached.wait()

    other = await end_of(await services.queue.submit(submission("plain")))
    stage.go_on.set()

    assert other.status is run.RunStatus.SUCCESS
    assert {(await end_of(row)).status for row in held} == {run.RunStatus.SUCCESS}


async def test_runs_of_all_graphs_are_limited_in_total(
    open_services, start_worker, submission, end_of, stage
):
    services = await open_services(total_concurrency=1)
    rows = [await services.queue.submit(submission("counting")) for _ in range(3)]

    await start_worker(services)
    for row in rows:
        await end_of(row)

    assert stage.visits == ["in", "out"] * 3


async def test_runs_of_a_limit_that_is_gone_are_worked_on(open_services, start_worker, submission, end_of):
    before = await open_services(rules={"plain": loading.Rules(concurrency=1)})
    row = await before.queue.submit(submission("plain"))

    await start_worker(await open_services())

    assert (await end_of(row)).status is run.RunStatus.SUCCESS


async def test_the_more_urgent_run_is_first(open_services, start_worker, submission, end_of):
    services = await open_services(concurrency=2, total_concurrency=1)
    rows = [await services.queue.submit(submission(priority=priority)) for priority in (0, 5, 10)]

    await start_worker(services)
    ended = [await end_of(row) for row in rows]

    assert sorted(ended, key=lambda row: row.started_at) == ended[::-1]


async def test_a_graph_has_its_own_time(open_services, start_worker, submission, end_of):
    services = await open_services(rules={"gated": loading.Rules(timeout=0.05)})
    await start_worker(services)

    ended = await end_of(await services.queue.submit(submission("gated")))

    assert ended.status is run.RunStatus.TIMEOUT
    assert "0.05 seconds" in ended.error.message


async def test_rules_stand_beside_the_graphs(tmp_path):
    path = tmp_path / "langgraph.json"
    place = "tests.agent_service.engine.held_graph:graph"
    path.write_text(
        f'{{"graphs": {{"held": "{place}"}}, "mandate": {{"graphs": {{"held": {{"concurrency": 4}}}}}}}}'
    )

    graphs = await registry.load(path)

    assert graphs.rules_of("held").concurrency == 4


@pytest.mark.parametrize("rules", ['{"hold": {}}', '{"held": {"concurency": 4}}', '{"held": {"timeout": 0}}'])
async def test_rules_that_cannot_be_kept_stop_the_start(tmp_path, rules):
    path = tmp_path / "langgraph.json"
    place = "tests.agent_service.engine.held_graph:graph"
    path.write_text(f'{{"graphs": {{"held": "{place}"}}, "mandate": {{"graphs": {rules}}}}}')

    with pytest.raises(exceptions.ConfigurationError):
        await registry.load(path)
