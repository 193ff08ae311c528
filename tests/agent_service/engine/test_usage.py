from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from agent_service.engine import usage
from shared_schemas.usage import ModelUsage


def answer(model, tokens):
    used = {"input_tokens": tokens, "output_tokens": 1, "total_tokens": tokens + 1}
    return AIMessage("yes", response_metadata={"model_name": model}, usage_metadata=used)


async def test_usage_is_summed_per_model_on_top_of_earlier_attempts():
    earlier = ModelUsage(model="small", calls=1, input_tokens=10, output_tokens=1)
    counter = usage.UsageCounter([earlier])
    model = GenericFakeChatModel(messages=iter([answer("small", 5), answer("large", 7)]))

    for question in ("one", "two"):
        await model.ainvoke(question, {"callbacks": [counter]})

    assert counter.totals() == [
        ModelUsage(model="large", calls=1, input_tokens=7, output_tokens=1),
        ModelUsage(model="small", calls=2, input_tokens=15, output_tokens=2),
    ]


async def test_a_call_without_figures_is_counted():
    counter = usage.UsageCounter()
    model = GenericFakeChatModel(messages=iter([AIMessage("yes")]))

    await model.ainvoke("one", {"callbacks": [counter]})

    assert [(item.model, item.calls) for item in counter.totals()] == [("unknown", 1)]


async def test_the_first_token_of_a_models_first_answer_is_timed():
    counter = usage.UsageCounter([ModelUsage(model="small", calls=1, first_token=0.5)])
    model = GenericFakeChatModel(messages=iter([answer("unknown", 5), answer("unknown", 5)]))

    async for _ in model.astream("one", {"callbacks": [counter]}):
        pass
    first = {item.model: item.first_token for item in counter.totals()}
    async for _ in model.astream("two", {"callbacks": [counter]}):
        pass

    assert first["small"] == 0.5
    assert first["unknown"] > 0
    assert {item.model: item.first_token for item in counter.totals()} == first


async def test_an_answer_that_is_not_streamed_has_no_first_token():
    counter = usage.UsageCounter()
    model = GenericFakeChatModel(messages=iter([answer("small", 5)]))

    await model.ainvoke("one", {"callbacks": [counter]})

    assert counter.totals()[0].first_token is None
