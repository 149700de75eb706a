"""Charts, tables and address of the report under hand and keyboard."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pandas as pd
import pytest

from tests.browser.conftest import write_page
from tests.support.synthetic_results import METRICS, write_results
from training_maps.utils.files import read_table, write_table

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

N_RUNS = 9
# Losses of all sizes: the smallest of a run, and what the others end at.
LEAST = 3e-9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("charts") / "one"
    write_results(folder, N_RUNS, 4, back_edges=True, n_censored=1, seed=1)
    for file in folder.glob("runs/*/training_log.parquet"):
        seed = int(re.findall(r"\d+", file.parent.name)[0])
        log = pd.read_parquet(file)
        log["eval_loss"] = [10 ** (1 - i / 6) for i in range(len(log))]
        if seed == 3:
            log.loc[log.index[-1], "eval_loss"] = LEAST
        if seed == 4:
            log.loc[log.index[-1], "eval_loss"] = 0.0
        write_table(log, file, {})
    return folder


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return write_page(folder)


@pytest.fixture
def page(file: Path, open_page: Callable[..., Page]) -> Page:
    page = open_page(file)
    page.locator("#timelines-live svg").wait_for()
    return page


def chart(page: Page, name: str = "loss") -> Locator:
    return page.locator(f"[data-chart={name}] svg.chart")


def ticks(page: Page, name: str = "loss") -> list[str]:
    return chart(page, name).locator("text[text-anchor=end]").all_text_contents()


def tool(page: Page, name: str, text: str) -> Locator:
    return page.locator(f"[data-chart={name}] button.tool", has_text=re.compile(f"^{text}"))


def test_the_loss_axis_has_all_decades_and_marks_what_lies_below(page: Page) -> None:
    shown = ticks(page)
    assert shown[0] == "0"
    assert {"10⁻⁸", "1"} <= set(shown) or {"10⁻⁹", "0.001"} <= set(shown)
    assert chart(page).locator(".break").count() == 1
    # No two of the last values lie at one height, as they would on an axis that is cut.
    heights = set()
    for seed in (3, 4, 5):
        page.select_option("#choose", f"run {seed}")
        paths = (
            chart(page)
            .locator("path.curve:not(.dashed)")
            .evaluate_all("all => all.map((one) => one.getAttribute('d'))")
        )
        last = max(
            (tuple(map(float, p.split())) for d in paths for p in re.split("[ML]", d) if p),
            key=lambda point: point[0],
        )
        heights.add(round(last[1]))
    assert len(heights) == 3


def test_pointing_at_a_curve_tells_seed_value_and_state(page: Page, folder: Path) -> None:
    page.select_option("#choose", "run 5")
    chart(page).scroll_into_view_if_needed()
    box = chart(page).bounding_box() or {}
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - 8)
    tip = page.locator("#tip")
    assert tip.locator("strong").inner_text().startswith("Seed 5, epoch ")
    epoch = int(re.findall(r"epoch ([\d,]+)", tip.inner_text())[0].replace(",", ""))
    log = pd.read_parquet(folder / "runs" / "seed-5" / "training_log.parquet")
    row = log[log["epoch"] == epoch].iloc[0]
    name, value = tip.locator("dt").first.inner_text(), tip.locator("dd").first.inner_text()
    column = {"evaluation loss": "eval_loss", "training loss": "train_loss"}[name]
    assert float(value.replace("−", "-")) == pytest.approx(row[column], rel=0.01)
    paths = pd.read_csv(folder / "state_paths.csv").query("seed == 5")
    state = paths[paths["step"] == row["step"]]["state"].iloc[0]
    assert tip.locator("dd").nth(1).inner_text() == str(state)


def test_a_marked_area_is_zoomed_to_and_left_again(page: Page) -> None:
    whole = ticks(page, "accuracy")
    reset = tool(page, "accuracy", "Reset")
    assert reset.is_hidden()
    tool(page, "accuracy", "Mark").click()
    chart(page, "accuracy").scroll_into_view_if_needed()
    box = chart(page, "accuracy").bounding_box() or {}
    x, y = box["x"], box["y"]
    page.mouse.move(x + 0.5 * box["width"], y + 30)
    page.mouse.down()
    page.mouse.move(x + 0.9 * box["width"], y + 60, steps=3)
    page.mouse.up()
    assert ticks(page, "accuracy") != whole
    values = [float(one) for one in ticks(page, "accuracy") if re.fullmatch(r"[\d.]+", one)]
    assert min(values) > 0.5
    reset.click()
    assert ticks(page, "accuracy") == whole
    tool(page, "accuracy", r"\+").click()  # half of the time, by keyboard too
    assert reset.is_visible()
    chart(page, "accuracy").dblclick(position={"x": 200, "y": 60})
    assert reset.is_hidden()


def test_seeds_can_be_typed_and_two_are_compared(page: Page) -> None:
    field = page.locator("#seeds")
    field.fill("7")
    field.press("Enter")
    assert page.locator("#choose").input_value() == "run 7"
    field.fill("3, 7")
    field.press("Enter")
    said = page.locator("#chosen").inner_text()
    assert said.startswith("Seeds 3 and 7 ")
    assert "in the same state for" in said
    assert chart(page).locator(".name").all_text_contents() in (
        ["seed 3", "seed 7"],
        ["seed 7", "seed 3"],
    )
    page.locator("#row-1").click(modifiers=["Shift"])
    assert page.locator("#timelines-live [aria-selected=true]").count() == 3
    field.fill("99")
    field.press("Enter")
    assert field.evaluate("node => node.validationMessage") == "There is no run of this seed."
    assert page.locator("#timelines-live [aria-selected=true]").count() == 3


def test_there_is_a_way_back_to_the_whole_training(page: Page) -> None:
    whole = page.locator("#whole")
    assert whole.is_hidden()
    page.focus("#time")
    page.keyboard.press("Home")
    assert page.locator("#time-told").inner_text().startswith("epoch 0")
    whole.click()
    assert page.locator("#time-told").inner_text() == "whole training"
    assert page.locator("svg.map.timed").count() == 0
    assert whole.is_hidden()


def test_choosing_does_not_move_the_page(page: Page) -> None:
    def place() -> tuple[float, float]:
        boxes = [page.locator(one).bounding_box() or {} for one in ("#row-0", "#states")]
        return boxes[0]["y"], boxes[1]["y"]

    before = place()
    for choice in ("run 2", "route 0", "run 8", "all"):
        page.select_option("#choose", choice)
        assert place() == before, choice
    page.locator("#seeds").fill("3, 7")
    page.locator("#seeds").press("Enter")
    assert place() == before


def test_the_address_shows_what_one_saw(
    page: Page, file: Path, open_page: Callable[..., Page]
) -> None:
    page.locator("#seeds").fill("3, 7")
    page.locator("#seeds").press("Enter")
    page.select_option("#metric", "2")
    page.locator("#theme").click()
    page.evaluate("location.hash = 'timelines'")
    page.locator("[data-chart=loss] svg.chart").click(position={"x": 300, "y": 60})
    page.wait_for_timeout(400)  # an address is written when a choice has come to rest
    address = page.evaluate("location.hash")
    assert address.startswith("#timelines?")
    assert "time=" in address
    other = open_page(file, fragment=address)
    other.locator("#timelines-live svg").wait_for()
    assert other.locator("#seeds").input_value() == "3, 7"
    assert other.locator("#metric").input_value() == "2"
    assert f"metric={METRICS[2]}" in address
    assert other.locator("#theme").inner_text() == "Colours: light"
    told = page.locator("#time-told").inner_text()
    assert other.locator("#time-told").inner_text() == told


@pytest.mark.parametrize("anchor", ["timelines", "curves", "selection", "timelines?runs=3"])
def test_an_anchor_lands_at_its_heading(
    file: Path, open_page: Callable[..., Page], anchor: str
) -> None:
    page = open_page(file, fragment=f"#{anchor}")
    page.wait_for_timeout(500)
    top = (page.locator(f"#{anchor.split('?')[0]}").bounding_box() or {})["y"]
    bar = page.locator("#controls").bounding_box() or {"y": 0, "height": 0}
    at_end = page.evaluate("innerHeight + scrollY >= document.documentElement.scrollHeight - 2")
    assert at_end or -2 <= top <= 130
    assert at_end or top >= min(bar["y"] + bar["height"], 130) - 2 or bar["y"] < 0


def test_tables_sort_by_their_heads(page: Page) -> None:
    head = page.locator("#states table").first.locator("thead th", has_text="checkpoints")
    column = page.locator("#states table").first.locator("tbody tr")

    def shares() -> list[float]:
        index = head.evaluate("node => node.cellIndex")
        texts = column.locator(f"td:nth-child({index + 1})").all_text_contents()
        return [float(text.split()[0]) for text in texts]

    first = shares()
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shares() == sorted(first)
    head.locator("button").click()
    assert shares() == sorted(first, reverse=True)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert shares() == first


def test_charts_are_saved_as_pictures_and_numbers(page: Page, folder: Path, tmp_path: Path) -> None:
    page.select_option("#choose", "run 5")
    saved = {}
    for kind in ("SVG", "PNG", "CSV"):
        with page.expect_download() as download:
            tool(page, "accuracy", kind).click()
        saved[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[kind])
    svg = ElementTree.fromstring(saved["SVG"].read_text(encoding="utf-8"))
    assert "var(" not in saved["SVG"].read_text(encoding="utf-8")
    assert len(list(svg.iter("{http://www.w3.org/2000/svg}path"))) > 1
    assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(saved["CSV"].read_text(encoding="utf-8").splitlines()))
    log = read_table(
        folder / "runs" / "seed-5" / "training_log.parquet", ("epoch", "eval_accuracy")
    )
    values = [float(row["value"]) for row in rows if row["name"] == "evaluation accuracy"]
    assert values == pytest.approx(log["eval_accuracy"].to_numpy(), rel=1e-6)
    assert {row["seed"] for row in rows} == {"5"}


def test_the_heat_map_tells_its_runs_and_compares_them(
    folder: Path, open_page: Callable[..., Page]
) -> None:
    page = open_page(write_page(folder, figures=True, name="whole.html"))
    mesh = page.locator("#differences .figure .page [id$='-heat']")
    mesh.scroll_into_view_if_needed()
    box = mesh.bounding_box() or {}
    page.mouse.move(box["x"] + box["width"] * 1.5 / N_RUNS, box["y"] + box["height"] * 4.5 / N_RUNS)
    title = page.locator("#tip strong").inner_text()
    a, b = map(int, re.findall(r"\d+", title))
    table = pd.read_csv(folder / "dissimilarity.csv").set_index(["seed_a", "seed_b"])["index"]
    value = float(page.locator("#tip dd").inner_text())
    assert value == pytest.approx(table[min(a, b), max(a, b)], rel=0.01)
    page.mouse.down()
    page.mouse.up()
    said = page.locator("#chosen").inner_text()
    assert said.startswith(f"Seeds {a} and {b} ") or said.startswith(f"Seeds {b} and {a} ")
