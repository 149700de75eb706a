"""Names that would be code on a careless page are text on ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import PHONE, write_page
from tests.support import synthetic_results
from tests.support.synthetic_results import write_results
from training_maps.utils.notes import Note

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ATTACK = "</script><script>window.hacked=1</script>"
HOSTILE = f"""{ATTACK}<img src=x onerror="window.hacked=2">'"&amp;{{{{ 7 * 7 }}}}\u2028μ̂🙂"""
METRICS = [
    HOSTILE,
    "<b>bold</b>",
    '" onfocus="window.hacked=3',
    "javascript:window.hacked=4",
    "<!-- <script>",
    "]]></style><script>window.hacked=5</script>",
    "x" * 200,
    "اسم \u202e reversed",
]


def test_hostile_names_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., Page]
) -> None:
    monkeypatch.setattr(synthetic_results, "METRICS", METRICS)
    experiment = f"{HOSTILE} {'long' * 40}"
    write_results(
        tmp_path, 6, 3, experiment=experiment, notes=(Note("hostile", f"a note of {HOSTILE}"),)
    )
    page = open_page(write_page(tmp_path), viewport=PHONE)
    assert page.locator("h1").text_content() == experiment
    assert page.evaluate("document.title") == " ".join(f"{experiment}: training map".split(" "))
    options = page.locator("#metric option").all_text_contents()
    assert len(options) == len(METRICS)
    for option, name in zip(options, METRICS, strict=True):
        assert name[:10] in option
    for i in range(len(METRICS)):
        page.select_option("#metric", str(i))
    for node in page.locator("svg.map:visible .state-node").all():
        node.hover()
        assert page.locator("#tip dt").count() > 3
    page.select_option("#choose", "run 2")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, b, [onfocus], [onerror]").count() == 0
    assert page.locator("script").count() == 2  # the page's data and its own script
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_policy_stops_a_script_that_is_not_the_page_s_own(
    tmp_path: Path, browser: Browser
) -> None:
    file = write_page(write_results(tmp_path, 3, 2))
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("</main>", "<script>window.hacked=1</script></main>"), "utf-8")
    context = browser.new_context(offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    assert page.evaluate("window.hacked") is None
    assert page.locator("#choose option").count() > 3  # the page's own script ran
    context.close()
    assert len(said) == 1
    assert "Content Security Policy" in said[0]
