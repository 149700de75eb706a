"""The report page, as a file that people open."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import synthetic_results
from tests.support.plain_figures import plain_figures
from tests.support.synthetic_results import METRICS, write_path_results, write_results
from training_maps import cli
from training_maps.figures import FIGURES
from training_maps.figures.map.plan import per_checkpoint
from training_maps.figures.model_selection import draw_model_selection
from training_maps.metrics.definitions import METRICS as KNOWN_METRICS
from training_maps.report.headline import headline
from training_maps.report.page import render_report
from training_maps.report.summary import summarise
from training_maps.results import ExperimentResults
from training_maps.utils import wording
from training_maps.utils.files import read_json, write_json
from training_maps.utils.notes import Note

HOSTILE = """<script>alert("x")</script>'&{{ 7 * 7 }}$\\frac{"""


VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}
GLUE = "\0"


class Page(HTMLParser):
    """Checks nesting while it reads; keeps text, ids, tags and attributes.

    What headings fold out is the documentation's text, of all reports: it is not this page's.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.fold: int | None = None
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "details" and ("class", "explained") in attrs:
            self.fold = len(self.open)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "wbr":  # where a word may break, which is no space
            self.words.append(GLUE)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"
        if self.fold is not None and len(self.open) < self.fold:
            self.fold = None

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script") and self.fold is None:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words).replace(f" {GLUE} ", ""))


def check_self_contained(html: str, page: Page) -> None:
    assert not {"link", "iframe", "object", "embed", "base"} & set(page.tags)
    # Two scripts: the page's data, and its own, which the policy knows by its digest.
    data, own = re.findall(r"<script ([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert page.tags.count("script") == html.count("<script") == 2
    assert data[0] == 'type="application/json" id="page-data"'
    json.loads(data[1])
    digest = base64.b64encode(hashlib.sha256(own[1].encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith(
        f"default-src 'none'; script-src 'sha256-{digest}';".replace("'", "&#39;")
    )
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), f"{tag} {name}"
        if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            beside = (
                tag == "a" and name == "href" and re.fullmatch(r"(hmm/)?\w+\.(csv|json)", value)
            )
            assert beside or value.startswith(("#", "data:")), f"{tag} {name}={value[:60]}"
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))


def entry_epochs(results: ExperimentResults, seed: int) -> list[float]:
    """When a run enters the states of its path, by a plain loop."""
    times, states = results.state_sequence(seed, "epoch")
    return [t for i, t in enumerate(times) if i == 0 or states[i] != states[i - 1]]


@pytest.fixture
def plain() -> Iterator[None]:
    """For tests that do not look at figures."""
    with plain_figures():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "hostile"
    return write_results(
        folder,
        n_runs=12,
        n_states=4,
        back_edges=True,
        n_censored=1,
        experiment=HOSTILE,
        notes=(Note("hostile", f"a note of {HOSTILE}"),),
    )


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    results = ExperimentResults.read(folder)
    return render_report(results, "epoch", {"task": {"name": HOSTILE, "seeds": [0, 1]}, "n": 3})


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_is_whole_and_needs_nothing_else(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>")
    check_self_contained(html, page)
    assert len(html) < 10_000_000
    assert "color-scheme: light dark" in html
    assert "@media print" in html
    assert 'name="viewport"' in html


def test_ids_are_unique_and_references_lead_somewhere(html: str, page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    ids = set(page.ids)
    for target in re.findall(r"url\(#([^)]*)\)", html):
        assert target in ids
    for _, name, value in page.attributes:
        if name in ("href", "xlink:href") and value.startswith("#"):
            assert value[1:] in ids


def test_sections_are_called_the_same_in_the_contents_and_on_the_page(html: str) -> None:
    contents = re.findall(
        r'<a href="#([\w-]+)">([^<]+)</a>', html.split("</nav>")[0].split("<nav")[1]
    )
    assert len(contents) > 10
    for anchor, name in contents:
        (heading,) = re.findall(rf'id="{anchor}"[^>]*>\s*<h2>([^<]+)</h2>', html)
        assert heading == name


def test_hostile_names_are_text(html: str, page: Page) -> None:
    assert "<script>" not in html
    assert "alert(" not in html.replace("alert(&#34;", "").replace('alert(\\"x\\")', "")
    assert page.text.count(re.sub(r"\s+", " ", HOSTILE)) >= 4  # title, heading, note, settings


def test_page_holds_the_summary(folder: Path, page: Page) -> None:
    summary = summarise(ExperimentResults.read(folder))
    for number in (
        summary["r_squared"],
        *summary["dissimilarity"].values(),
    ):
        assert f"{number:.3f}" in page.text
    assert f"12 runs of training went through 4 states; {summary['n_converged']} of" in page.text
    assert "The map forks" in page.text
    for state in summary["delays"]:
        assert f"{state} delay" in page.text


def test_page_holds_map_routes_and_coefficients(folder: Path, page: Page) -> None:
    results = ExperimentResults.read(folder)
    for route in results.training_map["paths"]:
        entered = np.median([entry_epochs(results, seed) for seed in route["seeds"]], axis=0)
        stops = [f"{k} {when:,.0f}" for k, when in zip(route["states"], entered, strict=True)]
        seeds = ", ".join(map(str, route["seeds"]))
        way = re.escape(" → ".join(stops))
        assert re.search(rf"{len(route['seeds'])}\s+{way}\s+{seeds}\b", page.text)
    for edge in results.drawn_map["transitions"]:
        change = edge["feature_changes"][0]["change"]
        marked = " differs" if edge["differs"] else ""
        pattern = (
            rf"{edge['from']} → {edge['to']}{marked} {edge['n_runs']} {edge['n_fast']} "
            rf"{edge['n_slow']} {edge['n_uses']} "
            rf"{re.escape(per_checkpoint(edge['probability']))}\s+"
            + re.escape(f"{change:+.2f}".replace("-", "−"))
        )
        assert re.search(pattern, page.text), pattern
    for row in results.coefficients.itertuples():
        assert f"{row.coefficient:.3f}".replace("-", "−") in page.text


def test_page_tells_how_firm_the_choice_is(folder: Path, page: Page) -> None:
    stability = ExperimentResults.read(folder).stability
    assert stability["verdict"] == "not known"  # two validation runs are too few
    assert "Whether the choice is fragile is not known." in page.text
    for one in stability["findings"]:
        assert wording.sentence(one["clause"]) in page.text
    for row in stability["candidates"]:
        pattern = rf"{row['n_states']} states? {re.escape(wording.amount(row['difference']))} –"
        assert re.search(pattern, page.text), pattern


def _with_stability(folder: Path, **changes: object) -> ExperimentResults:
    path = write_results(folder, 12, 4) / "hmm" / "stability.json"
    write_json({**read_json(path), **changes}, path)
    return ExperimentResults.read(folder)


@pytest.mark.usefixtures("plain")
def test_a_fragile_choice_is_told_in_headline_and_section(tmp_path: Path) -> None:
    plain = _with_stability(tmp_path)
    candidates = [
        {**row, "standard_error": 10.0 * row["n_states"], "share": 0.125}
        for row in plain.stability["candidates"]
    ]
    results = _with_stability(
        tmp_path,
        verdict="fragile",
        sentence="The choice of 4 states is fragile: one reason.",
        findings=[
            {"name": "a", "fragile": True, "clause": "one reason"},
            {"name": "b", "fragile": False, "clause": "another matter"},
            {"name": "c", "fragile": None, "clause": "who knows"},
        ],
        candidates=candidates,
        resplits=[
            {
                "split_seed": 7,
                "validation_seeds": [1, 2],
                "model": "gaussian",
                "n_states": 5,
                "adjusted_rand_index": 0.4321,
            }
        ],
    )
    text = Page(render_report(results)).text
    # What halves of the runs say is told in its place, where it is known.
    assert "is a fragile choice (see" not in text
    text = Page(render_report(replace(results, reproducibility={}))).text
    assert "How many states there are is a fragile choice (see “Model selection”)." in text
    assert "One reason. fragile Another matter. Who knows. not known" in text
    assert "4 states 0.0 – 12.5 % chosen" in text
    near = next(row for row in candidates if row["n_states"] == 5)
    assert f"5 states {wording.amount(near['difference'])} 50.0 12.5 % within the margin" in text
    assert re.search(r"7 1, 2 5 0\.432", text)
    summary = summarise(results)
    assert summary["selection"] == {
        "model": "gaussian",
        "n_states": 4,
        "verdict": "fragile",
        "sentence": "The choice of 4 states is fragile: one reason.",
        "share_of_resamples": 0.125,
    }
    firm = headline({**summary, "selection": {"verdict": "stable"}}, significant=True)
    assert not any("fragile" in sentence for sentence in firm)


@pytest.mark.usefixtures("plain")
def test_several_splits_that_judge_together_are_told_and_drawn(tmp_path: Path) -> None:
    scores = write_results(tmp_path, 12, 4) / "hmm" / "model_selection.csv"
    own = pd.read_csv(scores)
    lower = own.assign(split=1, bic=own["bic"] - 500, restart=own["restart"] + 10)
    pd.concat([own, lower]).to_csv(scores, index=False)
    stability = scores.with_name("stability.json")
    write_json({**read_json(stability), "n_splits": 2}, stability)
    results = ExperimentResults.read(tmp_path)
    text = Page(render_report(results)).text
    assert "2 splits of the runs into those fitted and those held out judge together" in text
    assert "A dot is a restart" not in text
    assert "Held out by the first split, whose model is shown: seeds" in text
    axes = draw_model_selection(results.model_selection, results.stability).axes[0]
    assert axes.get_title("left") == "BIC, mean of 2 splits (chooses)"
    curves = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) > 2]
    means = own.groupby("n_states")["bic"].mean().to_numpy()
    for curve, expected in zip(curves, (means, means - 500, means - 250), strict=True):
        np.testing.assert_allclose(curve, expected)


def test_glossary_has_the_metrics_of_the_map(page: Page) -> None:
    known = {metric.column: metric for metric in KNOWN_METRICS}
    for column in METRICS:
        assert known[column].meaning in page.text
    assert known["mean_b"].meaning not in page.text


def test_settings_and_reproduction(page: Page) -> None:
    assert "task.seeds 0, 1" in page.text
    assert "snakemake --cores all" in page.text
    assert "matplotlib" in page.text


def test_pointing_at_a_state_tells_of_it(html: str, folder: Path) -> None:
    titles = re.findall(r"<title>(State \d+: [^<]*)</title>", html)
    results = ExperimentResults.read(folder)
    assert len(titles) == 2 * len(results.states)  # the wide map and the narrow one
    share = results.training_map["states"][0]["share_of_checkpoints"]
    assert any(t.startswith("State 0") and f"{100 * share:.1f} %" in t for t in titles)


@pytest.mark.parametrize(
    ("n_runs", "n_states", "said"),
    [
        (1, 1, ["1 run of training went through 1 state; it did not converge", "only one run"]),
        (3, 4, ["There is no regression. No run converges", "none of them converged"]),
    ],
)
def test_what_is_missing_is_said_in_words(
    tmp_path: Path, n_runs: int, n_states: int, said: list[str]
) -> None:
    write_results(tmp_path, n_runs, n_states, n_censored=n_runs, logs=False)
    results = ExperimentResults.read(tmp_path)
    html = render_report(results, "epoch")
    page = Page(html)
    check_self_contained(html, page)
    # What a figure says is drawn, so only the page's own words are in its text.
    for sentence in said[: 1 if n_runs == 1 else 2]:
        assert sentence in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.usefixtures("plain")
def test_without_convergence_there_is_still_a_page(tmp_path: Path) -> None:
    write_results(tmp_path, 4, 3)
    for name in ("convergence.csv", "coefficients.csv", "regression.json", "observations.parquet"):
        (tmp_path / name).unlink()
    page = Page(render_report(ExperimentResults.read(tmp_path)))
    assert "There is no regression. Convergence is not defined for these runs." in page.text
    assert "4 runs of training went through 3 states; convergence is not defined" in page.text
    assert "judged on the runs they were fitted to" in page.text


@pytest.mark.usefixtures("plain")
def test_a_run_without_epochs_puts_all_in_steps(tmp_path: Path) -> None:
    folder = write_results(tmp_path, 4, 3)
    assert "Time is in steps" not in render_report(ExperimentResults.read(folder))
    (folder / "runs" / "seed-2" / "training_log.parquet").unlink()
    text = Page(render_report(ExperimentResults.read(folder))).text
    assert "Time is in steps, because not every run has a training log with epochs." in text
    assert "first visit, step" in text


def test_a_page_of_state_paths_has_no_model(tmp_path: Path) -> None:
    results = ExperimentResults.read(write_path_results(tmp_path))
    html = render_report(results, "epoch", {"source": "state_paths"}, "own/paths.yaml")
    page = Page(html)
    check_self_contained(html, page)
    assert "no model was fitted here" in page.text
    assert "There are no curves: no log of training has a loss" in page.text
    assert "It takes a log of each run's training" in page.text
    assert "experiments=[own/paths.yaml]" in page.text
    for absent in ("#selection", "#metrics"):
        assert f'href="{absent}"' not in html
    for absent in ("features", "restarts", "Time is in steps", "None", "means"):
        assert absent not in page.text.replace("means that", "")
    links = {value for _, name, value in page.attributes if name == "href"}
    targets = {value[1:] for value in links if value.startswith("#")}
    assert all((tmp_path / value).is_file() for value in links if not value.startswith("#"))
    assert targets <= set(page.ids)
    summary = summarise(results)
    assert summary["selection"] is None
    assert summary["dissimilarity"]["means"] is None


ODD = ["$\\frac{", "a_b%", "<b>bold</b>", "grad^2 & more", "x" * 60, "{{ 7 }}", "μ̂ loss", "a$b$c"]


def test_metrics_of_any_name_are_plain_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic_results, "METRICS", ODD)
    folder = write_results(tmp_path, 6, 4)
    results = ExperimentResults.read(folder)
    html = render_report(results)
    page = Page(html)
    check_self_contained(html, page)
    assert "b" not in page.tags
    for name in ODD:  # whole in the glossary, cut to fit elsewhere
        assert re.sub(r"\s+", " ", name) in page.text
    assert page.text.count("a metric of your own") == len(ODD)
    drawn = folder / "drawn"
    command = ["figures", "--results", str(folder), "--formats", "pdf", "--output", str(drawn)]
    assert cli.main(command) == 0
    assert len(list(drawn.glob("*/*.pdf"))) == 2 * len(FIGURES)


def test_a_return_is_drawn_and_nothing_is_said_of_convergence_or_accuracy(tmp_path: Path) -> None:
    """Logs of reinforcement learning, from the outcome's command on: no setting says a thing."""
    write_results(tmp_path, n_runs=8, n_states=3)
    for seed in range(8):
        path = tmp_path / "runs" / f"seed-{seed}" / "training_log.parquet"
        log = pd.read_parquet(path)[["step", "epoch"]]
        log.assign(**{"return": 100.0 * seed + log["step"]}).to_parquet(path)
    outputs = ("convergence.csv", "outcomes.csv", "coefficients.csv", "delays.csv")
    paths = ["--state-paths", str(tmp_path / "state_paths.csv")]
    written = [f"--{name.partition('.')[0]}={tmp_path / name}" for name in outputs]
    written += ["--regression", str(tmp_path / "regression.json"), "--resamples", "20"]
    assert cli.main(["semantics", *paths, "--runs", str(tmp_path / "runs"), *written]) == 0
    for name in ("forks.json", "phase_transitions.json", "reproducibility.json"):
        (tmp_path / name).unlink(missing_ok=True)
    results = ExperimentResults.read(tmp_path)
    html = render_report(results)
    page = Page(html)
    told = " ".join(page.words)
    # Restarts of a fit converge, and a table is called so; of runs nothing is said.
    said = r".{,40}(convergence(?!\.csv)|runs? (do not |never )?converge|converged at).{,40}"
    assert re.search(said, told.lower()) is None
    assert "accuracy" not in told.lower()
    assert "final return" in told
    assert "curves" in page.ids
    assert "convergence" not in page.ids
    data = json.loads(re.search(r'id="page-data">(.*?)</script>', html)[1])  # type: ignore[index]
    assert data["curves"] == [{"name": "return", "columns": ["return"]}]
    assert [run["name"] for run in data["featured"]] == ["best", "median", "worst"]
    assert [run["seed"] for run in data["featured"]] == [7, 4, 0]
    for run in data["runs"]:
        log = results.logs[run["seed"]]["return"]
        drawn = np.frombuffer(base64.b64decode(run["log"]["curves"]["return"]), "<f4")
        np.testing.assert_allclose(drawn, log)
