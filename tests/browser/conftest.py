"""A browser (Debian's chromium, without a window), and a stack that has just been started as people start it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.stack import Stack

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
#: Milliseconds that anything on a page may take.
PATIENCE = 20_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert chromium, "these tests need chromium: apt install chromium, or CHROMIUM=/path/to/it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with what `make run` leaves in it: the sample catalogue, one customer, one order."""
    stack = Stack(tmp_path_factory.mktemp("browser") / "state", first_order=True, embedded_broker="valkey")
    try:
        yield stack.start()
        assert stack.stop() == 0
    finally:
        stack.clean_up()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of the width that the test is parametrized with; what it complained of is in its test's report."""
    width = getattr(request, "param", 1280)
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(PATIENCE)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    page.close()
    assert said == []


@pytest.fixture
def screenshots() -> Path | None:
    """Where to leave pictures for people, if anybody wants them (SCREENSHOTS=DIR)."""
    return Path(os.environ["SCREENSHOTS"]) if "SCREENSHOTS" in os.environ else None
