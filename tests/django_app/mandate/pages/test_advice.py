import re
from pathlib import Path

import pytest

from mandate.pages import advice
from shared_schemas.problems import ErrorCode

ERRORS = Path(__file__).parents[4] / "docs" / "reference" / "errors.md"


def codes_under(heading):
    section = ERRORS.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("code", codes_under("How a run can fail"))
def test_every_way_a_run_can_fail_has_its_own_advice(code):
    assert ErrorCode(code) in advice.BY_CODE


def test_any_other_code_has_advice_as_well():
    assert advice.of(ErrorCode.INTERNAL) is advice.GENERAL
