"""The code of the how-to pages runs, and its own tests pass."""

import re
from pathlib import Path

import pytest

from mandate import testing

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
WITH_CODE = sorted(path.name for path in PAGES.glob("*.md") if "```python\n" in path.read_text())


def code_of(page):
    return "\n\n".join(
        re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)
    )


@pytest.mark.django_db
@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_does_what_its_own_tests_say(page):
    names = {"__name__": f"how_to_{Path(page).stem}"}
    with testing.temporary_tools():
        exec(compile(code_of(page), page, "exec"), names)
        tests = [value for name, value in names.items() if name.startswith("test_")]
        for test in tests:
            test()

    assert tests
