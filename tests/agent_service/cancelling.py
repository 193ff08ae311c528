"""How LangGraph ends the tasks beside a node that failed."""

import asyncio

import pytest


async def cancel_as_langgraph_does(call):
    """Cancel it once as the sibling of a node that failed, and once more at the end of the graph."""
    call.cancel()
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
