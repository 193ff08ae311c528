"""Counts what a run's model calls use."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from shared_schemas import crashing
from shared_schemas.usage import ModelUsage

UNKNOWN = "unknown"


class UsageCounter(BaseCallbackHandler):
    """Sums the usage of each model, beginning with what earlier attempts used."""

    # Without a thread of its own per call: it only adds numbers.
    run_inline = True

    def __init__(self, earlier: Iterable[ModelUsage] = ()) -> None:
        self._sums: dict[str, Counter[str]] = {}
        for item in earlier:
            self._sums[item.model] = Counter(item.model_dump(exclude={"model"}))

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        crashing.point("model.after_answer")
        for generation in (item for items in response.generations for item in items):
            if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                self._add(generation.message)

    def totals(self) -> list[ModelUsage]:
        return [ModelUsage(model=model, **sums) for model, sums in sorted(self._sums.items())]

    def _add(self, message: AIMessage) -> None:
        model = message.response_metadata.get("model_name") or UNKNOWN
        sums = self._sums.setdefault(model, Counter())
        sums["calls"] += 1
        if message.usage_metadata is not None:
            sums["input_tokens"] += message.usage_metadata["input_tokens"]
            sums["output_tokens"] += message.usage_metadata["output_tokens"]
