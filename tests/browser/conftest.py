"""Pages in a real browser, headless and without a network; skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.plain_figures import plain_figures
from training_maps.report.page import render_report
from training_maps.results import ExperimentResults

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LAPTOP = {"width": 1366, "height": 768}
PHONE = {"width": 390, "height": 844}


# Of the package, not of the session: playwright's event loop would stand in the way of other tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no browser: type  tools/system-packages.sh tests")
    # Chromium's sandbox refuses to run as root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a file as a person would: from the disk, with no network. Faults fail the test."""
    faults: list[str] = []
    contexts = []

    def opened(
        file: Path, viewport: dict[str, int] = LAPTOP, fragment: str = "", **options: Any
    ) -> Page:
        context = browser.new_context(viewport=viewport, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        address = file.as_uri()

        def only_the_file(route: Any) -> None:
            if route.request.url == address:
                route.continue_()
            else:
                faults.append(f"request to {route.request.url[:100]}")
                route.abort()

        page.route("**/*", only_the_file)
        page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append("a dialog"), dialog.dismiss()))
        page.goto(address + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def write_page(folder: Path, *, figures: bool = False, name: str = "report.html") -> Path:
    """The report of a result folder; by default with plain boxes in place of the still figures."""
    with nullcontext() if figures else plain_figures():
        text = render_report(ExperimentResults.read(folder), "epoch", {"n": 1})
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file
