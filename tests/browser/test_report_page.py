"""The report as a person uses it: pointing, choosing, moving the slider, by hand or keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.browser.conftest import PHONE, write_page
from tests.support.synthetic_results import METRICS, write_path_results, write_results
from training_maps.figures.map.plan import per_checkpoint
from training_maps.figures.symbols import metric_symbol
from training_maps.utils import wording
from training_maps.utils.files import read_json

if TYPE_CHECKING:
    from playwright.sync_api import Page

N_RUNS = 12
OUTLIERS = [3, 8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "synthetic"
    write_results(folder, N_RUNS, 4, back_edges=True, n_censored=2, seed=1)
    outliers = pd.read_csv(folder / "outliers.csv")
    outliers.assign(is_outlier=outliers["seed"].isin(OUTLIERS)).to_csv(folder / "outliers.csv")
    return folder


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return write_page(folder)


@pytest.fixture
def page(file: Path, open_page: Callable[..., Page]) -> Page:
    return open_page(file)


def states_of(folder: Path, seed: int) -> list[int]:
    """The states that a run enters, one after the other, by a plain loop."""
    paths = pd.read_csv(folder / "state_paths.csv")
    entered: list[int] = []
    for state in paths[paths["seed"] == seed].sort_values("step")["state"]:
        if not entered or entered[-1] != state:
            entered.append(int(state))
    return entered


def edges_of(folder: Path, seeds: list[int]) -> set[str]:
    return {f"{j}-{k}" for seed in seeds for j, k in pairwise(states_of(folder, seed))}


def lit(page: Page, kind: str) -> set[str]:
    """The states or transitions that the visible map lights."""
    selector = f"svg.map:visible .{kind}.on"
    name = "state" if kind == "state-node" else "edge"
    return set(page.locator(selector).evaluate_all(f"all => all.map(one => one.dataset.{name})"))


def chosen_rows(page: Page) -> list[int]:
    rows = page.locator("#timelines-live [aria-selected=true]")
    return sorted(rows.evaluate_all("all => all.map(one => Number(one.dataset.seed))"))


def tip(page: Page) -> tuple[str, dict[str, str]]:
    """The title and the rows of the tooltip."""
    shown = page.locator("#tip:visible")
    names = shown.locator("dt").all_text_contents()
    texts = shown.locator("dd").all_text_contents()
    return shown.locator("strong").text_content() or "", dict(zip(names, texts, strict=True))


def point_at(page: Page, selector: str) -> None:
    """Point at a part of the map until the tooltip is there.

    A page that is still being laid out may move away from under the pointer, which hides it again.
    """
    for _ in range(20):
        page.mouse.move(1, 1)
        page.locator(f"svg.map:visible {selector}").hover()
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        if page.locator("#tip").is_visible():
            return
    raise AssertionError(f"pointing at {selector} shows no tooltip")


def check_shown(page: Page, folder: Path, seeds: list[int]) -> None:
    """The map lights what these runs use and nothing else; their rows are marked."""
    states = {str(state) for seed in seeds for state in states_of(folder, seed)}
    assert lit(page, "state-node") == states
    assert lit(page, "edge") == edges_of(folder, seeds)
    assert chosen_rows(page) == sorted(seeds)


def set_slider(page: Page, position: int) -> None:
    """Move the slider as dragging does."""
    page.locator("#time").evaluate(
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        str(position),
    )


def test_a_page_with_all_figures_opens_offline_without_a_word_on_the_console(
    folder: Path, open_page: Callable[..., Page]
) -> None:
    page = open_page(write_page(folder, figures=True, name="whole.html"))
    assert page.title() == "synthetic: training map"
    assert page.locator("svg.map:visible .state-node").count() == 4
    for part in ("#curves-live svg", "#metrics-live svg", "#timelines-live svg", "#selection svg"):
        assert page.locator(part).first.is_visible(), part
    for link in page.locator("nav a").all():
        target = link.get_attribute("href")
        assert target
        assert page.locator(target).count() == 1, target
    # That is seen in the map is the same colour in the charts.
    disc = page.locator("svg.map:visible .state-node[data-state='1'] .disc")
    fill = disc.evaluate("node => getComputedStyle(node).fill")
    row = page.locator("#timelines-live path[data-state='1']")
    assert row.evaluate("node => getComputedStyle(node).fill") == fill


def test_where_some_of_the_runs_are_on_the_page_only_their_rows_can_be_chosen(
    folder: Path, open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_maps.report.page_data.MOST_ROWS", 2)
    page = open_page(write_page(folder, name="some.html"))
    runs = page.evaluate("JSON.parse(document.getElementById('page-data').textContent).runs")
    seeds = sorted(run["seed"] for run in runs)
    assert len(seeds) == 2
    rows = page.locator("tr[data-route]:has(.pick)")
    assert 0 < rows.count() < page.locator("tr[data-route]").count()
    found = []
    for row in rows.all():
        row.locator(".pick").click()
        chosen = chosen_rows(page)
        assert set(chosen) <= set(map(int, row.locator(".seeds").inner_text().split(", ")))
        found += chosen
    assert sorted(found) == seeds


def test_choosing_a_run_lights_its_path_everywhere(page: Page, folder: Path) -> None:
    seeds = sorted(range(N_RUNS), key=lambda seed: len(states_of(folder, seed)))
    for seed in (seeds[0], seeds[-1]):
        page.select_option("#choose", f"run {seed}")
        check_shown(page, folder, [seed])
        said = page.locator("#chosen").text_content()
        assert said is not None
        assert said.startswith(f"Seed {seed}")
        assert wording.route(states_of(folder, seed)) in said
        for chart in ("[data-chart=loss]", "[data-chart=accuracy]", "#metrics-live"):
            pieces = page.locator(f"{chart} path.curve")
            drawn = set(pieces.evaluate_all("all => all.map(one => one.dataset.state)"))
            assert drawn == {str(state) for state in states_of(folder, seed)}, chart
    page.click("#show-all")
    check = page.locator("svg.map.lit")
    assert check.count() == 0
    assert chosen_rows(page) == []


def test_choosing_a_group_or_the_outliers(page: Page, folder: Path) -> None:
    routes = read_json(folder / "training_map.json")["paths"]
    assert len(routes[0]["seeds"]) > 1
    page.select_option("#choose", "route 0")
    check_shown(page, folder, routes[0]["seeds"])
    assert f"{len(routes[0]['seeds'])} runs that go" in page.locator("#chosen").inner_text()
    page.select_option("#choose", "outliers")
    check_shown(page, folder, OUTLIERS)
    page.select_option("#choose", "all")
    assert lit(page, "edge") == set()
    page.locator("#routes tr[data-route='1'] button").click()
    check_shown(page, folder, routes[1]["seeds"])
    page.locator("#differences tr[data-seed='8'] button").click()
    check_shown(page, folder, [8])


def test_pressing_a_row_a_state_or_an_arrow_chooses_its_runs(page: Page, folder: Path) -> None:
    page.locator("#row-5").click()
    check_shown(page, folder, [5])
    page.locator("svg.map:visible .state-node[data-state='1']").click()
    through = [seed for seed in range(N_RUNS) if 1 in states_of(folder, seed)]
    assert 1 < len(through) < N_RUNS
    check_shown(page, folder, through)
    used = [seed for seed in range(N_RUNS) if "0-2" in edges_of(folder, [seed])]
    assert used
    page.locator("svg.map:visible .edge[data-edge='0-2']").focus()
    page.keyboard.press("Enter")
    check_shown(page, folder, used)


def test_pointing_at_a_state_tells_what_the_files_say(page: Page, folder: Path) -> None:
    tmap = read_json(folder / "training_map.json")
    coefficients = pd.read_csv(folder / "coefficients.csv").set_index("state")
    delays = pd.read_csv(folder / "delays.csv").set_index("state")
    for state in tmap["states"]:
        point_at(page, f".state-node[data-state='{state['state']}']")
        title, rows = tip(page)
        assert title.startswith(f"State {state['state']}")
        assert ("delay" in title) == bool(delays["is_delay"][state["state"]])
        assert rows["checkpoints"] == f"{100 * state['share_of_checkpoints']:.1f} %"
        assert rows["runs"] == f"{state['n_runs']} of {N_RUNS}"
        for feature in state["features"][:3]:
            mean = f"{feature['mean']:+.2f}".replace("-", "−")
            assert rows[metric_symbol(feature["metric"])] == f"mean {mean} s.d."
        row = coefficients.loc[state["state"]]
        assert rows["coefficient"] == wording.decimal(row["coefficient"])
        bounds = (row["interval_low"], row["interval_high"])
        assert rows["95 % interval"] == wording.interval(bounds, 3)
        assert rows["p"] == wording.p_value(row["p_value"])
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_hidden()


def test_the_keyboard_walks_over_the_map_and_tells_of_each_part(page: Page, folder: Path) -> None:
    tmap = read_json(folder / "training_map.json")
    edges = {f"{edge['from']}-{edge['to']}": edge for edge in tmap["transitions"]}
    page.focus("#time")
    page.keyboard.press("Tab")  # from the bar to what the heading folds out
    assert page.evaluate("document.activeElement.textContent") == "How to read this"
    page.keyboard.press("Tab")  # and into the map, at its first state
    walked = set()
    for state in range(4):
        assert tip(page)[0].startswith(f"State {state}")
        leaving = [name for name in edges if name.startswith(f"{state}-")]
        for _ in leaving:
            page.keyboard.press("ArrowDown")
            name = page.evaluate("document.activeElement.dataset.edge")
            title, rows = tip(page)
            assert title == name.replace("-", " → ")
            edge = edges[name]
            assert rows["runs"] == f"{edge['n_runs']} of {N_RUNS}"
            assert rows["uses"] == str(edge["n_uses"])
            assert rows["per checkpoint"] == per_checkpoint(edge["probability"])
            for change in edge["feature_changes"][:3]:
                moved = f"{change['change']:+.2f}".replace("-", "−")
                assert rows[metric_symbol(change["metric"])] == f"{moved} s.d."
            walked.add(name)
        page.keyboard.press("ArrowDown")  # round, to the state again
        outline = page.evaluate(
            "getComputedStyle(document.activeElement.querySelector('.disc')).strokeWidth"
        )
        assert float(outline.removesuffix("px")) > 2
        page.keyboard.press("ArrowRight")
    assert walked == set(edges)
    page.keyboard.press("Enter")
    assert len(chosen_rows(page)) == N_RUNS  # all visit the first state
    page.keyboard.press("Escape")
    assert chosen_rows(page) == []
    assert page.locator("#tip").is_hidden()


def test_keys_go_up_and_down_the_timelines(page: Page, folder: Path) -> None:
    order = page.locator("#timelines-live .row").evaluate_all(
        "all => all.map(one => Number(one.dataset.seed))"
    )
    convergence = pd.read_csv(folder / "convergence.csv").set_index("seed")
    late = ~convergence["converged"].reindex(order).to_numpy()
    steps = convergence["step"].reindex(order).to_numpy()
    assert list(late) == sorted(late)
    assert list(steps[~late]) == sorted(steps[~late])
    page.focus("#timelines-live")
    for key, at in (("ArrowDown", 0), ("ArrowDown", 1), ("End", -1), ("ArrowUp", -2), ("Home", 0)):
        page.keyboard.press(key)
        check_shown(page, folder, [order[at]])
        active = page.locator("#timelines-live").get_attribute("aria-activedescendant")
        assert active == f"row-{order[at]}"
    page.keyboard.press("Escape")
    assert chosen_rows(page) == []


def test_the_slider_moves_map_curves_and_timelines_together(page: Page, folder: Path) -> None:
    paths = pd.read_csv(folder / "state_paths.csv")
    steps = np.unique(paths["step"])
    slider = page.locator("#time")
    assert slider.get_attribute("max") == str(len(steps) - 1)
    assert page.locator("#time-told").inner_text() == "whole training"
    for position in (0, 20, 41):
        set_slider(page, position)
        now = paths[paths["step"] == steps[position]]["state"].value_counts()
        for state in range(4):
            node = page.locator(f"svg.map:visible .state-node[data-state='{state}']")
            count = node.locator(".count text").text_content()
            assert count == str(now.get(state, 0)), (position, state)
            assert node.locator(".count").is_visible() == (state in now)
        told = f"epoch {10 * position:,}"
        assert page.locator("#time-told").inner_text().startswith(f"{told}: ")
        text = slider.get_attribute("aria-valuetext")
        assert text == f"{told}: " + ", ".join(
            f"{now[state]} in state {state}" for state in sorted(now.index)
        )
    cursors = page.locator(".cursor[visibility=visible]")
    assert cursors.count() == 4  # loss, accuracy, a metric, the timelines
    places = set(cursors.evaluate_all("all => all.map(one => one.getBoundingClientRect().x)"))
    assert max(places) - min(places) < 1
    converged = pd.read_csv(folder / "convergence.csv").query("converged and epoch <= 410")
    assert page.locator("#time-told").inner_text().endswith(f"{len(converged)} of 12 converged")
    page.focus("#time")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#time-told").inner_text().startswith("epoch 400: ")
    page.keyboard.press("Home")
    assert page.locator("#time-told").inner_text().startswith("epoch 0: ")


def test_the_cursor_reads_out_what_the_files_hold(page: Page, folder: Path) -> None:
    seed, position = 4, 25
    page.select_option("#choose", f"run {seed}")
    page.select_option("#metric", str(METRICS.index("trace")))
    set_slider(page, position)
    log = pd.read_parquet(folder / "runs" / f"seed-{seed}" / "training_log.parquet").iloc[position]
    seen = pd.read_parquet(folder / "observations.parquet")
    seen = seen[(seen["seed"] == seed) & (seen["step"] == log["step"])].iloc[0]
    for chart, value in (
        ("[data-chart=loss]", ("evaluation loss", log["eval_loss"])),
        ("[data-chart=accuracy]", ("training accuracy", log["train_accuracy"])),
        ("#metrics-live", ("trace", seen["trace"])),
    ):
        said = page.locator(f"{chart} .readout").inner_text().replace("−", "-")
        found = re.search(rf"{value[0]} (-?\d+(\.\d+)?)", said)
        assert found, said
        assert float(found[1]) == pytest.approx(value[1], rel=0.006)
        assert said.startswith("epoch 250: ")
    state = int(states_at(folder, seed)[position])
    assert page.locator("#time-told").inner_text() == f"epoch 250: in state {state}"
    point_at(page, ".state-node[data-state='0']")
    assert tip(page)[1]["at epoch 250"] == ("1 run" if state == 0 else "0 runs")


def states_at(folder: Path, seed: int) -> np.ndarray:
    paths = pd.read_csv(folder / "state_paths.csv")
    return paths[paths["seed"] == seed].sort_values("step")["state"].to_numpy()


def test_pressing_a_chart_moves_the_slider_there(page: Page) -> None:
    chart = page.locator("[data-chart=loss] svg.chart")
    edges = ("x1", "x2")
    left, right = (float(chart.locator(".axis").get_attribute(name) or 0) for name in edges)
    chart.click(position={"x": (left + right) / 2, "y": 60})
    # Sixty checkpoints, 10 epochs apart: the middle is epoch 295, whose last checkpoint is 290.
    assert page.locator("#time").input_value() in ("29", "30")


def test_playing_goes_to_the_end_and_stops(page: Page) -> None:
    play = page.locator("#play")
    assert play.get_attribute("aria-label") == "Play training"
    set_slider(page, 56)
    play.click()
    assert play.get_attribute("aria-label") == "Pause"
    expect = pytest.importorskip("playwright.sync_api").expect
    expect(play).to_have_attribute("aria-label", "Play training")
    assert page.locator("#time").input_value() == "59"


def test_nothing_plays_for_those_who_want_less_motion(
    file: Path, open_page: Callable[..., Page]
) -> None:
    page = open_page(file, reduced_motion="reduce")
    assert page.locator("#play").is_hidden()
    assert page.locator("#time").is_visible()


def test_light_and_dark(file: Path, open_page: Callable[..., Page]) -> None:
    page = open_page(file, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 24, 29)"
    button = page.locator("#theme")
    button.click()
    assert page.evaluate(ground) == "rgb(246, 247, 249)"
    assert button.inner_text() == "Colours: light"
    button.click()
    assert page.evaluate(ground) == "rgb(20, 24, 29)"
    button.click()
    assert button.inner_text() == "Colours: as the system"


@pytest.mark.parametrize("n_states", [2, 12])
def test_a_phone_scrolls_in_one_direction_only(
    tmp_path: Path, open_page: Callable[..., Page], n_states: int
) -> None:
    write_results(tmp_path, 5, n_states, back_edges=True, experiment="a_long_name_" * 8)
    page = open_page(write_page(tmp_path), viewport=PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("svg.map:visible").count() == 1
    page.select_option("#choose", "run 2")
    page.locator("svg.map:visible .state-node[data-state='1']").tap()
    box = page.locator("#tip").bounding_box()
    if box:  # a tap also chooses, and may show its tooltip: then all of it is on the screen
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_paper_has_still_pictures_and_no_controls(page: Page) -> None:
    page.select_option("#choose", "run 2")
    page.emulate_media(media="print")
    for seen in ("svg.map", "#loss_by_state", "#state_timelines", "#model_selection"):
        assert page.locator(seen).first.is_visible(), seen
    for unseen in ("#controls", "nav", "#curves-live", "#timelines-live", "#theme", ".pick-cell"):
        assert page.locator(unseen).first.is_hidden(), unseen
    dim = page.locator("svg.map:visible .edge:not(.on)").first
    assert dim.evaluate("node => getComputedStyle(node).opacity") == "1"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_scripts_the_pictures_are_there(file: Path, open_page: Callable[..., Page]) -> None:
    page = open_page(file, java_script_enabled=False)
    for seen in ("svg.map", "#loss_by_state", "#state_timelines"):
        assert page.locator(seen).first.is_visible(), seen
    assert page.locator("#controls").is_hidden()
    title = page.locator("svg.map [data-edge='0-2'] title").first.text_content()
    assert title is not None
    assert title.startswith("0 → 2: per checkpoint ")


def test_pages_with_little_to_show_open_too(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    write_path_results(tmp_path / "paths")
    page = open_page(write_page(tmp_path / "paths"))
    page.select_option("#choose", "run 3")
    assert chosen_rows(page) == [3]
    assert page.locator("#over-time").count() == 0
    write_results(tmp_path / "one", 1, 1, n_censored=1, logs=False)
    page = open_page(write_page(tmp_path / "one"))
    point_at(page, ".state-node")
    assert tip(page)[1]["runs"] == "1 of 1"
