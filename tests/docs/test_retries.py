"""The page on retries names tests, and they are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/retries.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and "---" not in line]


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_test_that_shows_a_retry_is_there(path, name):
    tree = ast.parse((ROOT / path).read_text())

    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

    assert name in tests


def test_every_kind_of_retry_is_shown_by_a_test():
    headings = [row for row in ROWS if "shown by" in row]

    without = [row for row in ROWS if "::test_" not in row and row not in headings]

    assert len(headings) == 2
    assert without == []
