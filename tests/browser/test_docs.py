"""/docs in a browser, on a fresh stack: every operation executes as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Page

from tests.e2e.stack import Stack

METHODS = ("get", "post", "put", "patch", "delete")


def documented(url: str) -> list[str]:
    """The operations of the public document by their ids, in its order."""
    document: Any = urllib3.request("GET", f"{url}/openapi.json", timeout=10).json()
    return [
        item[method].get("operationId") or f"{method}{re.sub('[^a-z]', '_', path)}"
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def opened(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    page.wait_for_selector(".opblock")


def executed(page: Page, number: int) -> tuple[str, int, str]:
    """Open an operation, click "Try it out" and "Execute": its name, the status and the answer's body."""
    block = page.locator(".opblock").nth(number)
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table tr.response")
    answer.wait_for()
    name = (
        block.locator(".opblock-summary-method").inner_text()
        + " "
        + block.locator(".opblock-summary-path").inner_text()
    )
    status = int(answer.locator(".response-col_status").inner_text().split()[0])
    body = answer.locator(".response-col_description").inner_text()
    block.locator(".opblock-summary-control").click()
    return name, status, body


def test_every_operation_executes_as_it_stands(fresh: Stack, page: Page) -> None:
    url = fresh.setting("gateway_url")
    opened(page, url)
    count = page.locator(".opblock").count()
    assert count == len(documented(url))
    answers = [executed(page, number) for number in range(count)]
    assert [each for each in answers if not 200 <= each[1] < 300] == []
    assert len({name for name, _, _ in answers}) == count


def test_a_second_visitor_finds_examples_that_work_too(fresh: Stack, page: Page) -> None:
    """What the first one did has changed the shop: e-mails and SKUs are taken, parcels have left."""
    test_every_operation_executes_as_it_stands(fresh, page)


def test_no_chapter_is_empty_and_the_page_says_whose_it_is(fresh: Stack, page: Page) -> None:
    opened(page, fresh.setting("gateway_url"))
    assert page.title() == "Conveyor API"
    chapters = page.locator(".opblock-tag-section")
    names = [chapters.nth(at).locator(".opblock-tag a").inner_text() for at in range(chapters.count())]
    assert names == ["orders", "customers", "products", "deliveries", "health"]
    assert all(chapters.nth(at).locator(".opblock").count() for at in range(chapters.count()))


@pytest.mark.parametrize("page", [1280, 390], indirect=True)
def test_nothing_sticks_out_to_the_side(fresh: Stack, page: Page, screenshots: Path | None) -> None:
    opened(page, fresh.setting("gateway_url"))
    width = page.viewport_size["width"] if page.viewport_size else 0
    block = page.locator(".opblock").first
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if screenshots:
        page.screenshot(path=screenshots / f"docs-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_asks_nobody_else_and_runs_no_script_of_its_own_text(fresh: Stack, page: Page) -> None:
    url = fresh.setting("gateway_url")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, url)
    assert [each for each in asked if not each.startswith((f"{url}/", "data:"))] == []
    assert page.evaluate("[...document.scripts].filter(each => !each.src).length") == 0
