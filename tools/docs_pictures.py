"""The documentation's pictures that no other command makes, and its example report.

After `make demo` and `make reproduction`:  python -m tools.docs_pictures [PART ...]

`demo` is the README's first picture, the demo's map and timelines with what to see written on them,
and docs/example_report.html. `page` is the demo's report as a browser shows it, two runs compared.
`two_maps` is a report's section of two analyses of the same runs. `simulated` is the map of made-up
runs of which half are delayed, and its fork, which need neither. What `demo` says of states and
runs is read from the results, and it stops where they no longer say so.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from tests.support.simulated_training.states import fork_delay
from tests.support.whole_path import analyse_paths, settings_of

from training_maps.figures.catalogue import FIGURES
from training_maps.figures.map.drawing import draw_training_map
from training_maps.figures.save import save_figure, settle
from training_maps.figures.state_timelines import stretches
from training_maps.figures.style import ACCENT, GREY, INK, STYLE, Thousands, state_colour
from training_maps.report.page import render_report
from training_maps.results import ExperimentResults
from training_maps.utils.wording import numbered

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
IMAGES = ROOT / "docs" / "images"
EXAMPLE = ROOT / "docs" / "example_report.html"
#: The experiment whose two maps are shown: by the recommended method, and by the paper's.
TWICE = "reference_modular_addition_stabilized"
#: Where the slider stands in the picture of the page (docs/reading_a_report.md).
MOMENT = 2440
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def slow_way(results: ExperimentResults) -> tuple[int, int, list[int]]:
    """The fork, and the state it leads to, that the slowest runs take and no other; those runs.

    Raises:
        SystemExit: if there is no such branch: then the picture has nothing to say.
    """
    order = results.seeds_by_convergence()
    for fork in results.forks["forks"]:
        for branch in fork["branches"]:
            n = branch["n_runs"]
            if 1 < n < len(order) and set(branch["seeds"]) == set(order[-n:]):
                return fork["state"], branch["to"], order[-n:]
    raise SystemExit("no branch is taken by the slowest runs alone; choose another picture")


def _timelines(ax: Axes, results: ExperimentResults, slow: list[int]) -> None:
    order = results.seeds_by_convergence()
    for y, seed in enumerate(order):
        bars = stretches(*results.state_sequence(seed, "epoch"))
        ax.broken_barh(
            [(start, length) for start, length, _ in bars],
            (y - 0.5, 1.0),
            facecolors=[state_colour(state) for *_, state in bars],
        )
        reached = results.convergence_time(seed, "epoch")
        if reached is not None and reached[1]:
            ax.plot(reached[0], y, "D", markersize=3, markeredgewidth=0.6, markerfacecolor="white",
                    markeredgecolor=INK, clip_on=False)  # fmt: skip
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_yticks([0, len(order) - 1], ["fastest run", "slowest run"])
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_formatter(Thousands())
    ax.margins(x=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.tick_params(length=0)
    first = len(order) - len(slow) - 0.5
    ax.axhline(first, color=ACCENT, linewidth=1.2, linestyle=(0, (4, 2)))


def picture(results: ExperimentResults) -> Figure:
    """The map on the left, the runs on the right."""
    fork, state, slow = slow_way(results)
    n = len(slow)
    figure = Figure(figsize=(9.6, 4.0))
    left = figure.add_axes((0.0, 0.15, 0.58, 0.63))
    right = figure.add_axes((0.665, 0.23, 0.315, 0.53))
    draw_training_map(
        results.drawn_map, left, first_visits=results.first_visits("epoch"), time="epoch"
    )
    _timelines(right, results, slow)
    head = {"fontsize": 11, "fontweight": "bold", "color": INK, "va": "top"}
    small = {"fontsize": 8.5, "color": GREY, "va": "top"}
    figure.text(0.015, 0.985, "The training map", **head)
    figure.text(0.015, 0.92, "A circle is a state of the network's weights, an arrow a way that\n"
                "runs take, thicker for more runs. Time goes to the right.", **small)  # fmt: skip
    figure.text(0.595, 0.985, "The same runs over time", **head)
    figure.text(0.595, 0.92, "A row is a run; its colours are the map's states. A\n"
                "diamond marks where it has learned the task.", **small)  # fmt: skip
    visited = {seed: set(results.state_sequence(seed, "epoch")[1]) for seed in slow}
    skipped = [
        k for k in range(fork + 1, state) if not any(k in there for there in visited.values())
    ]
    straight = f"{n} of {results.n_runs} runs skip {numbered('state', skipped)}."
    figure.text(0.28, 0.05, straight,
                fontsize=9.5, color=ACCENT, ha="center", fontweight="bold")  # fmt: skip
    never = not any((results.convergence_time(seed, "epoch") or (0, False))[1] for seed in slow)
    those = "never learn it here" if never else "are the slowest"
    figure.text(0.79, 0.05, f"Those {n}, below the line, {those}.",
                fontsize=9.5, color=ACCENT, ha="center", fontweight="bold")  # fmt: skip
    return figure


def example(page: str) -> str:
    """A report without links to files beside it, which are not in the documentation."""
    page, n = re.subn(r'<p class="files">.*?</p>\n?', "", page, flags=re.DOTALL)
    page, m = re.subn(r"<p>Files beside this page:.*?</p>\n?", "", page, flags=re.DOTALL)
    assert n
    assert m == 1
    return page


def demo() -> None:
    """The demo's picture and the example."""
    results = ExperimentResults.read(RESULTS / "demo")
    with mpl.rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": "demo"}):
        figure = picture(results)
        FigureCanvasSVG(figure)
        figure.savefig(IMAGES / "demo.svg", metadata={"Date": None})
    page = (RESULTS / "demo" / "report.html").read_text(encoding="utf-8")
    EXAMPLE.write_text(example(page), encoding="utf-8")


def page() -> None:
    """The demo's page, the fastest run beside the slowest one, in the midst of training."""
    order = ExperimentResults.read(RESULTS / "demo").seeds_by_convergence()
    shot(
        RESULTS / "demo" / "report.html",
        f"#controls?runs={order[0]},{order[-1]}&time={MOMENT}",
        IMAGES / "report_page.png",
    )


def two_maps() -> None:
    """The section of two maps, in a report made for it."""
    results = ExperimentResults.read(RESULTS / "recommended" / TWICE)
    text = render_report(results, beside=ExperimentResults.read(RESULTS / TWICE))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(text, encoding="utf-8")
        name = f"{TWICE.removeprefix('reference_')}_two_maps.png"
        shot(file, "", IMAGES / name, of="#beside")


def simulated() -> None:
    """Runs of which half go through a state that delays them: their map, and its fork."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = fork_delay(40, seed=0)
        assert runs.truth.paths is not None
        settings = settings_of("recommended")
        results = analyse_paths(runs, runs.truth.paths, folder, settings)
        drawn = {"training_map": "simulated_delay_map", "forks": "simulated_fork"}
        for figure, file in drawn.items():
            made = FIGURES[figure](results, "step", "column")
            settle(made)
            save_figure(made, IMAGES / f"{file}.svg")


def shot(file: Path, address: str, target: Path, of: str | None = None) -> None:
    """A picture of a page in a browser, or of one of its elements, without what folds out.

    Verdicts, whose numbers are in docs/reproduction.md, are not in the picture.

    Raises:
        SystemExit: if there is no browser.
    """
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        raise SystemExit("no browser: type  tools/system-packages.sh tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1100, "height": 900}, color_scheme="light")
        shown.goto(file.absolute().as_uri() + address)
        shown.add_style_tag(content=".explained, .side-by-side .how { display: none; }")
        shown.wait_for_timeout(1000)  # until what fades has faded
        (shown.locator(of) if of else shown).screenshot(path=target)
        browser.close()


PARTS = {"demo": demo, "page": page, "two_maps": two_maps, "simulated": simulated}


def main() -> None:
    """Make the pictures that are asked for, by default all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="which; all by default")
    for name in parser.parse_args().parts or PARTS:
        PARTS[name]()
        print(name)


if __name__ == "__main__":
    main()
