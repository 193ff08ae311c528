"""What the page tells people to write is what both sides read."""

import json
import re
from pathlib import Path

from agent_service.graphs import loading
from shared_schemas.tools import Limits

PAGE = (Path(__file__).parents[2] / "docs/how-to/ask-a-question.md").read_text()


def test_the_rules_of_the_page_are_those_of_the_agent_service():
    (text,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

    rules = loading.Declaration.model_validate(json.loads(text)).mandate.graphs["research"]

    assert (rules.concurrency, rules.timeout) == (4, 300)


def test_the_limits_of_the_page_are_those_of_an_agent():
    (text,) = re.findall(r"--limits '(.*?)'", PAGE)

    assert Limits.model_validate_json(text) == Limits(wall_clock=300)
