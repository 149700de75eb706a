"""Figure files: the same bytes each time, fonts inside, no place that moves."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
import zlib
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont
from matplotlib.figure import Figure
from PIL import Image

from tests.support.figure_checks import faults
from training_maps.figures import (
    FIGURES,
    save_figure,
)
from training_maps.figures.save import FORMATS, inline_svg, settle
from training_maps.figures.style import COLUMN, STYLE
from training_maps.results import ExperimentResults

SVG = "{http://www.w3.org/2000/svg}"


def test_files_are_the_same_each_time_and_need_no_fonts(
    results: ExperimentResults, tmp_path: Path
) -> None:
    for suffix in FORMATS:
        for name in ("a", "b"):
            figure = FIGURES["convergence_times"](results, "epoch", "column")
            settle(figure)
            save_figure(figure, tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    svg = (tmp_path / "a.svg").read_text()
    assert "<text" not in svg
    assert "dc:date" not in svg
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"/CreationDate" not in pdf
    with Image.open(tmp_path / "a.png") as image:
        assert abs(image.width - 300 * COLUMN) < 1


def embedded_fonts(pdf: bytes) -> list[TTFont]:
    """The TrueType fonts in a PDF, in their order."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    plain = [zlib.decompress(stream) for stream in streams if stream[:1] == b"x"]
    return [TTFont(io.BytesIO(one)) for one in plain if one.startswith(b"\0\1\0\0")]


def test_fonts_in_pdfs_have_all_their_outlines_and_nothing_to_lay_out(
    results: ExperimentResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = FIGURES["regression"](results, "epoch", "column")
    save_figure(figure, tmp_path / "plain.pdf")
    monkeypatch.setattr("training_maps.figures.save._LAYOUT_TABLES", ())
    save_figure(figure, tmp_path / "whole.pdf")
    plain, whole = (
        embedded_fonts((tmp_path / f"{name}.pdf").read_bytes()) for name in ("plain", "whole")
    )
    assert len(plain) == len(whole) > 0
    assert any("GPOS" in font for font in whole)
    for font, other in zip(plain, whole, strict=True):
        assert not {"GDEF", "GPOS", "GSUB", "MATH", "kern"} & set(font.keys())
        drawn = [name for name in font.getGlyphOrder() if font["glyf"][name].numberOfContours]
        assert drawn
        for name in drawn:
            assert font["glyf"][name] == other["glyf"][name]
            assert font["hmtx"][name] == other["hmtx"][name]


def test_a_settled_figure_stays_as_it_is(results: ExperimentResults) -> None:
    figure = FIGURES["loss_by_state"](results, "epoch", "column")
    settle(figure)
    places = [ax.get_position().bounds for ax in figure.axes]
    figure.draw_without_rendering()
    assert [ax.get_position().bounds for ax in figure.axes] == places
    assert faults(figure) == []


@pytest.mark.parametrize("name", ["loss_by_state", "state_timelines"])
def test_a_layout_is_the_one_that_drawing_finds(results: ExperimentResults, name: str) -> None:
    settled, drawn = (FIGURES[name](results, "epoch", "page") for _ in range(2))
    settle(settled)
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        drawn.draw_without_rendering()
    bounds = [[ax.get_position().bounds for ax in figure.axes] for figure in (settled, drawn)]
    assert bounds[0] == bounds[1]


def picture() -> Figure:
    figure = Figure(figsize=(2, 1))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.plot([0, 1], [0, 1], gid="line-0")
    ax.plot([0, 1], [1, 0], gid="line-1")
    return figure


def test_an_svg_for_a_page_has_ids_of_its_own() -> None:
    title = 'of <b> & "2"'
    svg = inline_svg(picture(), "first", 'a label with "<&', {"line-1": title, "line-9": "none"})
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("aria-label") == 'a label with "<&'
    assert root.get("viewBox")
    assert "width" not in root.attrib
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(set(ids)) == len(ids)
    assert all(name.startswith("first-") for name in ids)
    assert {"first-line-0", "first-line-1"} <= set(ids)
    titles = {node.get("id"): node.findtext(f"{SVG}title") for node in root.iter(f"{SVG}g")}
    assert titles["first-line-1"] == title
    assert titles["first-line-0"] is None
    # What is referred to is there, under its new name.
    referred = re.findall(r"url\(#([^)]*)\)", svg) + re.findall(r'href="#([^"]*)"', svg)
    assert referred
    assert set(referred) <= set(ids)
    assert "metadata" not in svg


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    save_figure(picture(), path)
    before = path.read_bytes()
    broken = picture()
    broken.text(0.5, 0.5, r"$\frac{$")
    with pytest.raises(ValueError, match="frac"):
        save_figure(broken, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["figure.svg"]
