"""Links of the documentation and the README: what they point to is there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", flags=re.M | re.S)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def links(text: str) -> list[str]:
    """Targets of the links and pictures of a page; code is left out."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return _LINK.findall(prose)


def anchors(text: str) -> set[str]:
    """The anchors that headings get, as MkDocs makes them, and those that are written out."""
    prose = _FENCE.sub("", text)
    found = set(re.findall(r"\bid=\"([^\"]+)\"|\{ *#([\w-]+) *\}", prose))
    names = {name for pair in found for name in pair if name}
    for heading in re.findall(r"^#+ (.+?)(?: *\{[^}]*\})?$", prose, flags=re.M):
        words = re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", heading)).strip().lower()
        slug = re.sub(r"[-\s]+", "-", words.encode("ascii", "ignore").decode())
        names.add(slug)
    return names


def broken(page: Path, target: str) -> str | None:
    """What is wrong with a link of a page; None if nothing is."""
    parts = urlsplit(target)
    if parts.scheme:
        whole = parts.scheme == "https" and _HOST.fullmatch(parts.netloc)
        return None if whole or parts.scheme == "mailto" else "is no https address"
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not file.exists():
        return "is not there"
    if parts.fragment and parts.fragment not in anchors(file.read_text(encoding="utf-8")):
        return "has no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    found = {target: broken(page, target) for target in links(page.read_text(encoding="utf-8"))}
    assert {target: problem for target, problem in found.items() if problem} == {}


def test_the_report_s_sections_are_headings_of_its_page() -> None:
    """Of the same names, so that a reader finds what a section says."""
    titles: set[str] = set()
    for template in (ROOT / "python/training_maps/report/html").glob("*.html.j2"):
        if template.name != "comparison.html.j2":
            titles.update(re.findall(r"<h2[^>]*>([^<{]+)</h2>", template.read_text("utf-8")))
    page = (ROOT / "docs/reading_a_report.md").read_text("utf-8")
    headings = set(re.findall(r"^## (.+)$", page, flags=re.M))
    assert len(titles) > 12
    assert {title for title in titles if f"*{title}*" not in page} <= headings


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `heading`, really\n[a](#a-heading-really) ![b](there.png) [c](gone.md) [d](#gone)\n"
        "[e](https://example.org/x) [f](http://example.org) `[g](code.md)` [h](https://nowhere)\n"
        "```sh\n[i](code.md)\n```\n"
    )
    (tmp_path / "there.png").touch()
    found = {target: broken(page, target) for target in links(page.read_text())}
    assert found == {
        "#a-heading-really": None,
        "there.png": None,
        "gone.md": "is not there",
        "#gone": "has no such heading",
        "https://example.org/x": None,
        "http://example.org": "is no https address",
        "https://nowhere": "is no https address",
    }
