"""Pictures of every page, for the documents: `make screenshots` runs this as a test of its own."""

import pytest
from playwright.sync_api import expect

from stack import services
from tests.pages import conftest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FOLDER = services.ROOT / "docs" / "screenshots"
WINDOW = {"width": 1100, "height": 760}


@pytest.fixture
def story(author):
    """The addresses of pages by the names of their pictures, with something on each."""
    finished, waiting = (author.start(count=count) for count in (3, 1))
    for run_id in (finished, waiting):
        author.wait(run_id, "awaiting_approval")
    for approval in author.approvals(finished):
        author.decide(approval["approval_id"], comment="Fits the lesson.").raise_for_status()
    author.wait(finished, "completed")
    [asked] = author.approvals(waiting)
    drafted = author.run(finished)["result"]["tasks"]
    drafts = "/agents/drafts/practice.task/"
    return {
        "start": "/agents/practice-author/start/",
        "runs": "/agents/runs/",
        "run": f"/agents/runs/{finished}/",
        "waiting": f"/agents/runs/{waiting}/",
        "approvals": "/agents/approvals/",
        "approval": f"/agents/approvals/{asked['approval_id']}/",
        "drafts": drafts,
        "draft": f"{drafts}record/{drafted[-1]['id']}/",
        "chains": "/practice/chains/",
    }


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        pytest.param("", {"viewport": WINDOW}, id="light"),
        pytest.param("-dark", {"viewport": WINDOW, "color_scheme": "dark"}, id="dark"),
        pytest.param("-phone", conftest.PHONE, id="phone"),
    ],
)
def test_every_page_has_its_picture(open_page, story, suffix, options):
    FOLDER.mkdir(exist_ok=True)
    reader = open_page(locale="en-GB", **options)

    for name, address in story.items():
        reader.page.goto(address)
        if name in {"run", "waiting"}:
            expect(reader.page.locator("#model")).to_contain_text("reason")
        reader.page.screenshot(path=FOLDER / f"{name}{suffix}.png")

    assert all((FOLDER / f"{name}{suffix}.png").stat().st_size for name in story)
