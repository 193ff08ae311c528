"""Every word that users can meet is explained."""

import re
from pathlib import Path

import pytest

from shared_schemas import problems

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def explained(page):
    return set(re.findall(r"^\| `([a-z0-9_]+)` \|", (REFERENCE / page).read_text(), re.MULTILINE))


@pytest.mark.parametrize("code", [code.value for code in problems.ErrorCode])
def test_every_error_code_is_explained(code):
    assert code in explained("errors.md")


def test_no_error_code_is_explained_that_does_not_exist():
    assert explained("errors.md") <= {code.value for code in problems.ErrorCode}
