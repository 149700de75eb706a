"""The pages by axe-core's rules of accessibility, in both themes, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import LAPTOP, PHONE, write_page
from tests.support.synthetic_results import write_results

if TYPE_CHECKING:
    from playwright.sync_api import Page

BAD = ("serious", "critical")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_results(tmp_path_factory.mktemp("axe") / "one", 12, 8, back_edges=True)
    return write_page(folder, figures=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [LAPTOP, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_serious(
    file: Path, open_page: Callable[..., Page], theme: str, viewport: dict[str, int]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    # axe-core's script goes into the page, whose policy would stop it.
    page = open_page(file, viewport=viewport, color_scheme=theme, bypass_csp=True)
    page.locator("#timelines-live svg").wait_for()
    for chosen in ("all", "run 2"):
        page.select_option("#choose", chosen)
        page.wait_for_timeout(300)  # until what fades has faded
        found: list[dict[str, Any]] = axe.Axe().run(page).response["violations"]
        told = [
            f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in BAD
        ]
        assert told == []


def test_the_first_key_leads_to_the_map(file: Path, open_page: Callable[..., Page]) -> None:
    page = open_page(file)
    page.keyboard.press("Tab")
    link = page.locator("a.skip")
    assert link.evaluate("node => node === document.activeElement")
    assert (link.bounding_box() or {})["width"] > 20
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#map"


def test_curves_are_described_by_what_they_show(file: Path, open_page: Callable[..., Page]) -> None:
    page = open_page(file)
    words = page.locator("[data-chart=accuracy] svg.chart").get_attribute("aria-label") or ""
    assert words.startswith("accuracy of 12 runs from epoch 0 to 590, coloured by state: from 0.5")
    assert "; at the end " in words
    page.select_option("#choose", "run 2")
    words = page.locator("[data-chart=accuracy] svg.chart").get_attribute("aria-label") or ""
    assert words.startswith("accuracy of seed 2 ")
