"""The page on the articles names files and tests, and they are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/articles.md").read_text()
HEADING = "| mechanism |", "| layer |", "| bad input |"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and "---" not in line and not line.startswith(HEADING)
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_mechanism_is_where_the_page_says_and_a_test_shows_it(row):
    _, place, shown, _ = row
    path, _, name = shown.strip("`").partition("::")

    defined = {
        node.name
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert (ROOT / place.strip("`")).exists()
    assert name in defined


def test_every_link_of_the_page_leads_somewhere():
    links = re.findall(r"\]\(([\w./-]+)\)", PAGE)

    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
