"""Somebody who looks at pages, and what their browser complains of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

FOCUSED = "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
MOST_STOPS = 100


@dataclass(kw_only=True)
class Reader:
    """One browser with one page."""

    page: sync_api.Page
    complaints: list[str] = field(default_factory=list)
    """Of the console, a violation of the Content-Security-Policy among them, and errors nobody caught."""

    def __post_init__(self) -> None:
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def _listen(self, message: sync_api.ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def look_at_run(self, run_id: str) -> None:
        self.page.goto(f"/agents/runs/{run_id}/")

    def wait_for_status(self, status: str) -> None:
        sync_api.expect(self.page.locator(f"[data-status={status}]")).to_be_visible()

    def written(self) -> list[str]:
        """Return what the model wrote, message by message."""
        return self.page.locator("#model li").all_inner_texts()

    def story(self) -> list[str]:
        """Return the titles of what happened."""
        return self.page.locator(".story strong").all_inner_texts()

    def choose(self, name: str, action: str) -> None:
        """Choose the first row of a list of the admin, and what is to be done with it."""
        self.page.goto(f"/admin/mandate/{name}/")
        self.page.locator("input.action-select").first.check()
        self.page.locator("select[name=action]").select_option(action)
        self.page.locator("button[name=index]").click()

    def tab_to(self, name: str) -> None:
        """Press Tab until something of that name or label has the focus."""
        for _ in range(MOST_STOPS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(FOCUSED) == name:
                return
        raise AssertionError(f"Tab does not lead to {name!r}")

    def width(self) -> tuple[int, int]:
        """Return how wide the content is, and how wide the window."""
        found = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        return found[0], found[1]

    def barriers(self, excused: Mapping[str, str] = MappingProxyType({})) -> list[str]:
        """Return what keeps people out, by axe-core's rules; rules are `excused` inside what a selector finds."""
        found = Axe().run(self.page, options=RULES)
        left = [
            (
                rule["id"],
                [
                    node["target"]
                    for node in rule["nodes"]
                    if not self._lies_in(node, excused.get(rule["id"]))
                ],
            )
            for rule in found.response["violations"]
        ]
        return [f"{rule}: {', '.join(map(str, targets))}" for rule, targets in left if targets]

    def _lies_in(self, node: dict[str, Any], selector: str | None) -> bool:
        if selector is None:
            return False
        element = self.page.locator(node["target"][0]).first
        return bool(element.evaluate("(found, selector) => found.closest(selector) !== null", selector))
