"""What a person mends in a graph after a run failed is what the resumed run works with."""

import pytest

from agent_service.engine import run

VAGUE, CLEAR = "Write something.", "Write three tasks."


@pytest.fixture
def prompted(stage):
    """Return a function that makes a graph with a prompt in it; with the vague one its answer is of no use."""

    def make(prompt):
        async def write(state):
            if prompt == VAGUE:
                raise ValueError("no tasks in the answer")
            return {"trail": [prompt]}

        return stage.chain(stage.node("first"), ("write", write))

    return make


@pytest.fixture
def graphs(prompted):
    return {"prompted": prompted(VAGUE)}


async def test_a_prompt_that_is_mended_after_a_failure_is_the_resumed_runs(
    services, open_services, start_worker, submission, end_of, graphs, prompted, stage
):
    stop = await start_worker(services)
    failed = await end_of(await services.queue.submit(submission("prompted")))
    await stop()

    graphs["prompted"] = prompted(CLEAR)
    mended = await open_services()
    await start_worker(mended)
    resumed = submission("prompted", thread_id=failed.thread_id, payload=run.Payload(input=None))
    ended = await end_of(await mended.queue.submit(resumed))

    thread = await mended.repository.thread(failed.thread_id, owner=failed.owner)
    assert (failed.status, ended.status) == (run.RunStatus.ERROR, run.RunStatus.SUCCESS)
    assert thread.values["trail"] == ["first", CLEAR]
    assert stage.visits == ["first"]
