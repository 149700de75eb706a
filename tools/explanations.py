"""What the report's page says of each of its sections, taken from the documentation.

Run:  python -m tools.explanations --write   (without --write it says whether all is up to date)

A report is sent by mail, to people who have neither the documentation nor an address of it: so the
text of docs/reading_a_report.md goes into the page itself, where each heading folds it out. Its
links become the names of files in the documentation.
"""

from __future__ import annotations

import argparse
import re
import sys
from html import escape
from pathlib import Path

import markdown

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reading_a_report.md"
TEMPLATE = ROOT / "python" / "training_maps" / "report" / "html" / "explained.html.j2"
#: The heading of the documentation for each section of the page, by the section's anchor.
HEADINGS = {
    "map": "Training map",
    "curves": "Loss and accuracy",
    "over-time": "Metrics over time",
    "timelines": "All runs over time",
    "structure": "Are there states at all?",
    "beside": "Two maps of the same runs",
    "reproducibility": "Would other seeds show it?",
    "states": "States and transitions",
    "routes": "Routes",
    "layers": "Which layers change",
    "forks": "Forks",
    "phases": "Memorisation and generalisation",
    "convergence": "Convergence times",
    "detours": "States and convergence time",
    "differences": "How differently runs train",
    "selection": "Model selection",
    "sensitivity": "Other metrics",
    "early-warning": "Early warning",
    "metrics": "Metrics",
    "made": "How it was made",
}
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
# A picture and the caption below it.
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n+(\*[^*\n]+(\n[^*\n]+)*\*\n+)?", flags=re.M)


def anchor_of(heading: str) -> str:
    """The anchor that MkDocs gives a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def sections(text: str) -> dict[str, str]:
    """The Markdown below each heading of the second level.

    Raises:
        ValueError: if two headings are the same: then a section would have two texts.
    """
    parts = re.split(r"^## (.+)\n", text, flags=re.M)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    if len(found) * 2 != len(parts):
        raise ValueError(f"{PAGE.name} has a heading twice")
    return found


def explanation(heading: str, text: str) -> str:
    """The HTML of a section's text: without pictures, and with the files that it links to named."""
    words = _PICTURE.sub("", f"{text.strip()}\n\n")
    targets = [f"{PAGE.name}#{anchor_of(heading)}", *(target for _, target in _LINK.findall(words))]
    html = markdown.markdown(_LINK.sub(r"\1", words).strip())
    names = ", ".join(f"<code>docs/{escape(target)}</code>" for target in targets)
    return f'{html}\n<p class="how">In the documentation: {names}</p>'


def template() -> str:
    """The template: a macro that gives a section's heading its fold."""
    found = sections(PAGE.read_text(encoding="utf-8"))
    lines = [f"{{# Made of docs/{PAGE.name} by `python -m tools.explanations --write`. #}}"]
    lines += ["{% macro explained(anchor) %}", '<details class="explained">']
    lines += ["<summary>How to read this</summary>"]
    for word, (anchor, heading) in zip(
        ["if", *["elif"] * (len(HEADINGS) - 1)], HEADINGS.items(), strict=True
    ):
        lines += [f'{{% {word} anchor == "{anchor}" %}}', explanation(heading, found[heading])]
    lines += ["{% endif %}", "</details>", "{% endmacro %}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the template, or say that it is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--write", action="store_true", help="write it anew")
    if parser.parse_args().write:
        TEMPLATE.write_text(template(), encoding="utf-8")
    elif TEMPLATE.read_text(encoding="utf-8") != template():
        sys.exit("python -m tools.explanations --write")


if __name__ == "__main__":
    main()
