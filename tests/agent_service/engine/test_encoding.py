import json
from dataclasses import dataclass

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import Interrupt
from pydantic import BaseModel

from agent_service.engine import encoding


@dataclass
class Point:
    x: int


class Box(BaseModel):
    point: Point


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(Point(1), {"x": 1}, id="dataclass"),
        pytest.param(Box(point=Point(2)), {"point": {"x": 2}}, id="model"),
        pytest.param(Interrupt("why", id="a"), {"id": "a", "value": "why"}, id="interrupt"),
        pytest.param((1, {2}), [1, [2]], id="tuple and set"),
        pytest.param({1: b"one"}, {"1": "one"}, id="number as key, bytes"),
        pytest.param("\ud800", "?", id="lone surrogate"),
        pytest.param({"deep": [{"\ud800": 2**70}]}, {"deep": [{"?": str(2**70)}]}, id="deep inside"),
        pytest.param(float("nan"), None, id="not a number"),
    ],
)
def test_whatever_a_graph_says_becomes_json(value, expected):
    assert json.loads(encoding.dumps(value)) == expected


def test_a_message_keeps_its_type_and_text():
    message = json.loads(encoding.dumps(HumanMessage("hello", id="1")))

    assert (message["type"], message["content"], message["id"]) == ("human", "hello", "1")


def test_what_a_column_cannot_hold_is_replaced():
    assert json.loads(encoding.storable({"text": "a\x00b"})) == {"text": "a\ufffdb"}


def test_a_written_out_escape_is_left_alone():
    assert json.loads(encoding.storable("\\u0000")) == "\\u0000"
