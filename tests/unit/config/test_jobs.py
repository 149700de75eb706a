"""The jobs of an experiment: what each one reads, writes and is told."""

from __future__ import annotations

import json

import pytest

from training_maps.config.jobs import FIGURES, Jobs, alike_in_figures, figures_to_show
from training_maps.config.resolve import prepare
from training_maps.config.schema import load_schema
from training_maps.figures.catalogue import FIGURES as DRAWN

SCHEMA = load_schema()


@pytest.fixture
def jobs_of(tmp_path):
    """Makes the jobs of experiments, given as YAML by name."""

    def make(**experiments):
        for name, text in experiments.items():
            (tmp_path / f"{name}.yaml").write_text(text)
        config = {"experiments": list(experiments), "results": "res"}
        return Jobs.of(prepare(config, tmp_path, SCHEMA))

    return make


@pytest.fixture
def plain(jobs_of):
    """An experiment with nothing but defaults and three seeds."""
    return jobs_of(plain="training: {task: sparse_parities}\nseeds: 0-1,5\n")["plain"]


def test_figures_are_those_that_are_drawn():
    assert list(FIGURES) == list(DRAWN)
    assert len(set(FIGURES.values())) == len(FIGURES)


def test_settings_are_told_short_and_whole(plain):
    assert plain.setting("training", "task") == "sparse_parities"
    assert plain.numbers("seeds") == "0,1,5"
    assert json.loads(plain.as_json()) == plain.settings
    assert plain.name_in_config() == "plain"
    assert plain.runs_folder() == "res/plain/runs"
    with pytest.raises(KeyError):
        plain.setting("training", "none")


def test_files_of_runs_and_of_models(plain, jobs_of):
    assert plain.metrics() == [f"<results>/plain/runs/seed-{s}/metrics.parquet" for s in (0, 1, 5)]
    assert plain.of_runs("x", [7]) == ["<results>/plain/runs/seed-7/x"]
    assert len(plain.training_logs()) == 3
    assert plain.runs_option() == ["--runs", "res/plain/runs"]
    assert plain.logs_to_join() == []
    both = jobs_of(
        both="seeds: 0-1\nhmm: {n_states: 2-3, model: [gaussian, autoregressive]}\n"
        "observations: {log_columns: [gradient_norm]}\n"
    )["both"]
    assert both.kinds_of_model() == ["gaussian", "autoregressive"]
    assert plain.kinds_of_model() == ["gaussian"]
    assert [path.rpartition("/")[2] for path in both.models()] == [
        "states-2.npz", "states-2.csv", "states-3.npz", "states-3.csv",
        "autoregressive_states-2.npz", "autoregressive_states-2.csv",
        "autoregressive_states-3.npz", "autoregressive_states-3.csv",
    ]  # fmt: skip
    assert both.logs_to_join() == both.training_logs()


def test_everything_is_each_file_once(plain):
    everything = plain.everything()
    assert len(set(everything)) == len(everything)
    assert everything[:2] == ["<results>/plain/summary.json", "<results>/plain/report.html"]
    assert set(plain.figures()) | set(plain.analysis()) | set(plain.metrics()) < set(everything)
    assert not any("sensitivity" in path for path in everything)


def test_figures_are_those_that_are_asked_for(jobs_of):
    jobs = jobs_of(
        few="figures: {formats: [png, pdf], widths: [column]}\nseeds: 0-1\n",
        same="figures: {formats: [png, pdf], widths: [column]}\nseeds: 3\n",
        all="seeds: 0-1\n",
    )
    files = jobs["few"].figures()
    assert len(files) == 2 * len(FIGURES)
    assert files[:2] == [
        "<results>/few/figures/column/overview.png", "<results>/few/figures/column/overview.pdf",
    ]  # fmt: skip
    groups = alike_in_figures(jobs)
    assert sorted(groups.values()) == [["all"], ["few", "same"]]
    assert next(iter(groups))[0] == "<results>/{experiment}/figures/column/overview.png"


def test_of_each_figure_one_file_is_shown():
    files = [
        f"x/{width}/{name}.{suffix}"
        for width in ("column", "page")
        for name in ("map", "forks")
        for suffix in ("pdf", "svg", "png")
    ]
    assert figures_to_show(files) == {"x/page/map.png", "x/page/forks.png"}
    assert figures_to_show(["x/column/map.png", "x/page/map.pdf"]) == {"x/page/map.pdf"}
    assert figures_to_show(["x/column/map.pdf", "x/column/map.svg"]) == {"x/column/map.svg"}
    assert figures_to_show([]) == set()


def test_variants_and_beginnings_have_files_where_they_are_asked_for(jobs_of):
    jobs = jobs_of(
        more="seeds: 0-9\nsensitivity: {subsets: {small: [l1, l2]}}\n"
        "early_warning: {fractions: [0.1]}\n"
    )["more"]
    assert "small" in jobs.variants()
    assert "<results>/more/sensitivity/small.json" in jobs.of_variants()
    assert jobs.variant_options("small") == jobs.variants()["small"].to_arguments()
    names = [path.rpartition("/")[2] for path in jobs.analysis()]
    assert {"sensitivity.csv", "early_warning.json", "stability.json"} <= set(names)


def test_state_paths_have_no_model_and_tables_what_is_in_them(jobs_of, tmp_path):
    (tmp_path / "paths.csv").write_text("seed,step,state\n0,0,0\n0,1,1\n1,0,0\n1,1,1\n")
    (tmp_path / "m.csv").write_text("seed,step,a,b\n0,0,1,2\n0,1,2,3\n1,0,1,3\n1,1,2,4\n")
    jobs = jobs_of(
        paths=f"source: state_paths\nstate_paths: {{path: '{tmp_path}/paths.csv'}}\n",
        tables=f"source: metrics\ntables: {{path: '{tmp_path}/m.csv', metrics: [a]}}\n",
    )
    paths, tables = jobs["paths"], jobs["tables"]
    assert not paths.has_model()
    assert paths.metrics() == paths.training_logs() == paths.runs_option() == []
    assert not any("hmm/" in path for path in paths.analysis())
    assert tables.has_model()
    assert tables.made_of_tables() == tables.metrics()
    options = tables.table_options()
    assert options[options.index("--path") + 1] == f"{tmp_path}/m.csv"
    assert options[options.index("--metrics") + 1] == "a"
    assert "--log-columns" not in options
