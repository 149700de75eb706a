"""Open an experiment's report in the browser; where there is none, say where the report is.

NAME is an experiment's name, its folder, or the report itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from training_maps.utils.errors import InputError
from training_maps.utils.wording import listing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `training-maps open`."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="the experiment (default: the newest report)"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="the folder of all results (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Open the report."""
    report = find_report(arguments.name, arguments.results)
    print(report)
    if has_screen():
        webbrowser.open(report.absolute().as_uri())


def find_report(name: str | None, results: Path) -> Path:
    """The report that a name means; of none, the newest.

    Raises:
        InputError: if there is no such report; it names those that there are.
    """
    there = sorted(results.glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    if name is None:
        if there:
            return there[-1]
        raise InputError(f"{results}: has no report yet; `make demo` makes one in a minute")
    for path in (results / name / "report.html", Path(name) / "report.html", Path(name)):
        if path.is_file():
            return path
    known = listing(sorted(path.parent.name for path in there)) or "none yet"
    raise InputError(f"{name}: has no report in {results}; there are: {known}")


def has_screen() -> bool:
    """Whether a browser could show something; never to be opened in a terminal, as lynx would."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
