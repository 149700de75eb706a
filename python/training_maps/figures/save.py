"""Saving figures: the same bytes for the same results, with fonts inside the file."""

from __future__ import annotations

import io
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training_maps.figures.style import STYLE
from training_maps.settings.sections import FiguresSettings
from training_maps.utils.files import replace_when_whole

FORMATS = FiguresSettings.formats
# A figure looks the same everywhere: in SVG, text is outlines, which need no font, and cannot be
# edited as text; in PDF it is text in embedded TrueType fonts (type 42), which publishers ask for.
_SAVING = {**STYLE, "svg.fonttype": "path", "svg.hashsalt": "training-maps", "pdf.fonttype": 42}
# What is drawn as an image is finer in a file, which may be printed, than on a page.
_ON_PAGE = {**_SAVING, "savefig.dpi": 200}
_LAYOUT_TABLES = ("GDEF", "GPOS", "GSUB", "MATH", "kern")
_NO_DATE: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def settle(figure: Figure) -> None:
    """Fix the layout of a figure: saving would draw all of it once more in each format to find it.

    Nothing is drawn here, and nothing changes where the layout is fixed already.
    """
    with mpl.rc_context(_SAVING):  # type: ignore[arg-type]
        FigureCanvasAgg(figure)
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` in the format of the path's suffix: .svg, .pdf or .png."""
    kind = Path(path).suffix.lstrip(".")
    FigureCanvasAgg(figure)
    fonts = _plain_fonts() if kind == "pdf" else nullcontext()
    with replace_when_whole(path) as aside, mpl.rc_context(_SAVING), fonts:  # type: ignore[arg-type]
        figure.savefig(aside, format=kind, metadata=_NO_DATE[kind])


@contextmanager
def _plain_fonts() -> Iterator[None]:
    """Embed fonts without the tables that lay text out: in a PDF each glyph has its place.

    Their parts for the few glyphs of a figure took half the time of embedding. fontTools has a list
    of tables to leave out, but matplotlib does not hand one on.
    """
    from fontTools.subset import Options

    usual = Options._drop_tables_default
    Options._drop_tables_default = [*usual, *_LAYOUT_TABLES]
    try:
        yield
    finally:
        Options._drop_tables_default = usual


def inline_svg(figure: Figure, prefix: str, label: str, titles: Mapping[str, str]) -> str:
    """The figure as an `<svg>` element for a page that holds several.

    Args:
        figure: what to draw; its layout is fixed thereby.
        prefix: put before every id, so that figures of one page do not share clip paths.
        label: one sentence for screen readers.
        titles: text to show when pointing at a part, by the part's `gid`.

    Returns:
        The element; every text in it is escaped.
    """
    namespace = "http://www.w3.org/2000/svg"
    ElementTree.register_namespace("", namespace)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    buffer = io.BytesIO()
    settle(figure)
    with mpl.rc_context(_ON_PAGE):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", metadata=_NO_DATE["svg"])
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{namespace}}}metadata":
                parent.remove(child)
    _prefix_ids(root, prefix, titles, namespace)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", f"max-width:{1.3 * figure.get_figwidth():.2f}in")
    return ElementTree.tostring(root, encoding="unicode")


def _prefix_ids(
    root: ElementTree.Element, prefix: str, titles: Mapping[str, str], namespace: str
) -> None:
    """Prefix ids and references to them; add a `<title>` to the parts that have one."""
    link = "{http://www.w3.org/1999/xlink}href"
    seen: set[str] = set()
    for element in root.iter():
        identity = element.get("id")
        if identity is not None:
            name = f"{prefix}-{identity}"
            while name in seen:
                name += "_"
            seen.add(name)
            element.set("id", name)
        for key, value in list(element.attrib.items()):
            if "url(#" in value:
                element.set(key, re.sub(r"url\(#", f"url(#{prefix}-", value))
        target = element.get(link, "")
        if target.startswith("#"):
            element.set(link, f"#{prefix}-{target[1:]}")
        if identity is not None and identity in titles:
            title = ElementTree.Element(f"{{{namespace}}}title")
            title.text = titles[identity]
            element.insert(0, title)
