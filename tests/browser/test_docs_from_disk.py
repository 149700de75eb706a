"""The documentation as `make docs` builds it: links lead somewhere, search works from disk."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.project import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_pages_ask_no_host_for_anything(site: Path) -> None:
    pages = [page for page in site.glob("*.html") if page.name != "example_report.html"]
    assert len(pages) > 30
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]* src=\"?([^\" >]+)", text)
        loaded += re.findall(r"<link rel=\"?(?:stylesheet|preconnect)[^>]*href=\"?([^\" >]+)", text)
        assert loaded
        assert not [address for address in loaded if "//" in address], page.name


def test_search_works_from_disk(site: Path, browser: Browser) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((site / "concepts.html").as_uri())
    page.get_by_role("textbox", name="Search").first.fill("placed on the map")
    first = page.locator(".md-search-result__link").first
    first.wait_for(timeout=60_000)
    assert "new_runs.html" in [
        str(link.get_attribute("href")).rpartition("/")[2].partition("?")[0].partition("#")[0]
        for link in page.locator(".md-search-result__link").all()
    ]
    context.close()


def test_the_pages_of_other_files_have_their_links(site: Path) -> None:
    for name, link in (("contributing", "add_a_task.html"), ("changes", "new_runs.html")):
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert f'href="{link}"' in text
        assert 'href="docs/' not in text
