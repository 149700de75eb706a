"""The reference data are what they were, and docs/reproduction.md is what they say."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from tools import reference_data, reproduction
from tools.second_opinions import fit_twins, with_states

from tests.support.project import ROOT
from training_maps.analysis.dissimilarity import dissimilarity, trajectory_dissimilarity
from training_maps.analysis.semantics.outcomes import convergence_times, time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.config.resolve import resolve
from training_maps.config.schema import load_schema
from training_maps.hmm.observations import Observations, observations
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import save_fitted
from training_maps.model_selection.select import select_hmm
from training_maps.runs.tables import read_logs, read_metrics
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, write_json, write_table

REFERENCE = ROOT / "reference"
NAMES = reproduction.experiments(REFERENCE)
SMALLEST = min(NAMES, key=lambda name: (REFERENCE / name / "metrics.parquet").stat().st_size)


def settings_of(experiment):
    """The whole settings of an experiment, as the workflow reads them."""
    schema = load_schema()
    config = resolve({"experiments": [experiment]}, ROOT / "experiments", schema)
    return config.experiments[experiment]


class TestData:
    def test_checksums(self):
        lines = (REFERENCE / reference_data.SUMS).read_text().splitlines()
        sums = dict(reversed(line.split("  ", 1)) for line in lines)
        files = reference_data.data_files(REFERENCE)
        assert sorted(sums) == [str(file.relative_to(REFERENCE)) for file in files]
        for file in files:
            assert reference_data.sha256(file) == sums[str(file.relative_to(REFERENCE))]
        assert len(files) == 3 * len(NAMES)

    def test_all_together_are_small(self):
        sizes = [file.stat().st_size for file in REFERENCE.glob("**/*") if file.is_file()]
        assert sum(sizes) < 25 * 2**20

    @pytest.mark.parametrize("name", NAMES)
    def test_tables_are_what_the_settings_say(self, name):
        about = read_json(REFERENCE / name / "settings.json")
        metrics, log = (
            pd.read_parquet(REFERENCE / name / f"{table}.parquet") for table in ("metrics",
                                                                                 "training_log")
        )  # fmt: skip
        assert list(metrics.columns) == ["seed", "step", *METRIC_COLUMNS]
        assert (metrics[list(METRIC_COLUMNS)].dtypes == "float32").all()
        assert (log[["train_accuracy", "eval_accuracy"]].dtypes == "float64").all()
        pd.testing.assert_frame_equal(metrics[["seed", "step"]], log[["seed", "step"]])
        assert metrics["seed"].nunique() == about["n_runs"]
        lengths = metrics.groupby("seed").size()
        assert [lengths.min(), lengths.max()] == about["checkpoints_per_run"]
        assert np.isfinite(metrics.to_numpy()).all()

    @pytest.mark.parametrize("name", NAMES)
    def test_the_experiment_reads_them_as_the_runs_were_made(self, name):
        """Thresholds and fits are those of the experiment that trained; so is the recipe."""
        own, trained = settings_of(f"reference_{name}"), settings_of(name)
        about = yaml.safe_load((REFERENCE / "paper.yaml").read_text())["experiments"][name]
        if f"{own['hmm']['n_states'][0]} states set, not chosen" in about.get("differs", []):
            own["hmm"] = own["hmm"] | {"n_states": trained["hmm"]["n_states"]}
        for section in ("hmm", "semantics", "observations", "phase_transitions"):
            assert own[section] == trained[section]
        assert own["tables"]["path"] == f"reference/{name}/metrics.parquet"
        assert own["training_log"]["path"] == f"reference/{name}/training_log.parquet"
        recipe = read_json(REFERENCE / name / "settings.json")["recipe"]
        shortened = ("length", "stop_above", "stop_after")
        for key, value in trained["training"].items():
            if key in recipe and key not in shortened:
                assert recipe[key] == value, key
        for key, value in trained["training"]["task_settings"].items():
            assert recipe[key] == value, key

    def test_the_group_names_all_of_them(self):
        group = yaml.safe_load((ROOT / "experiments" / "reference.yaml").read_text())
        assert sorted(group["experiments"]) == [f"reference_{name}" for name in NAMES]


class TestPage:
    def test_it_says_what_the_files_say(self):
        """`python -m tools.reproduction --page-only` writes it again."""
        assert reproduction.PAGE.read_text(encoding="utf-8") == reproduction.render(REFERENCE)

    def test_its_pictures_are_there(self):
        pictures = re.findall(r"\]\((images/[^)]+)\)", reproduction.PAGE.read_text())
        assert len(pictures) == 3 * len(NAMES)
        assert all((ROOT / "docs" / picture).is_file() for picture in pictures)

    def test_the_words_hold_no_numbers_of_their_own(self):
        """Digits in the templates are names, levels and the paper's; results come from files."""
        for template in reproduction.TEMPLATE.parent.glob("reproduction*.md.j2"):
            words = re.sub(r"{[{%#].*?[}%#]}|`[^`]*`|\([^)]*\.md[^)]*\)", "", template.read_text())
            found = set(re.findall(r"(?<![\w-])\d[\d.,]*\d|(?<![\w-])\d(?!\w)", words))
            assert found <= {"2023", "95", "40", "0", "1", "2", "1.0"}, template

    @pytest.mark.parametrize("name", NAMES)
    def test_float32_changed_nothing_that_counts(self, name):
        found = read_json(REFERENCE / name / "float32.json")
        results = read_json(REFERENCE / name / "results.json")
        whole = found["n_runs"] == results["n_runs"]
        for which in ("original", "reference"):
            expected = results if whole else found["original"]
            assert found[which]["n_states"] == expected["n_states"]
            assert found[which]["r_squared"] == pytest.approx(expected["r_squared"], abs=1e-6)
        assert found["same_states"] == 1
        assert found["same_convergence_times"]


@pytest.fixture(scope="module")
def analysed():
    """The smallest reference experiment, analysed anew, and what the page was made of."""
    settings = settings_of(f"reference_{SMALLEST}")
    folder = REFERENCE / SMALLEST
    seeds = list(range(read_json(folder / "settings.json")["n_runs"]))
    obs = observations(dict(read_metrics(f"{folder}/metrics.parquet", seeds)))
    fits = {key: value for key, value in settings["hmm"].items() if key != "n_states"}
    model = select_hmm(obs, n_states=settings["hmm"]["n_states"], **fits)
    logs = dict(read_logs(f"{folder}/training_log.parquet", seeds))
    return TrainingMap.from_model(model), model, logs, settings["semantics"]


class TestSmallest:
    def test_a_fresh_analysis_finds_what_the_page_says(self, analysed):
        tmap, model, logs, semantics = analysed
        said = read_json(REFERENCE / SMALLEST / "results.json")
        assert (model.n_states, model.stability.verdict) == (
            said["n_states"], said["selection"]["verdict"],
        )  # fmt: skip
        times = convergence_times(logs, semantics["threshold"])
        fit = regress(
            state_shares(tmap.paths),
            time_outcome(times, "eval_accuracy", semantics["threshold"]),
            alternatives=False,
        )
        assert fit.r_squared == pytest.approx(said["r_squared"], abs=1e-6)
        assert fit.p_value == pytest.approx(said["p_value"], rel=1e-4)
        assert list(fit.detour_states) == said["detour_states"]
        for row, expected in zip(
            fit.coefficients.to_dict("records"), said["coefficients"], strict=True
        ):
            assert row["coefficient"] == pytest.approx(expected["coefficient"], abs=1e-6)
            assert row["explanation"] == expected["explanation"]
        means = pd.DataFrame({state.state: state.mean for state in tmap.states}).T
        found = trajectory_dissimilarity(dissimilarity(tmap.paths, means))
        assert found == pytest.approx(said["dissimilarity"], abs=1e-6)
        as_json = tmap.to_dict()
        again = reproduction.collect_map(as_json, times)
        assert again["paths"] == said["map"]["paths"]
        for edge, expected in zip(again["transitions"], said["map"]["transitions"], strict=True):
            assert edge["l2_change"] == pytest.approx(expected["l2_change"], abs=1e-4)
        original = read_json(REFERENCE / SMALLEST / "float32.json")["original"]
        assert model.value == pytest.approx(original["bic"], abs=0.1)

    def test_of_real_runs_too_states_are_in_the_order_of_visits(self, analysed):
        paths = analysed[0].paths
        first = paths.groupby(["state", "seed"])["step"].min().groupby("state").mean()
        assert (np.diff(first) > 0).all()


class TestTools:
    @pytest.fixture
    def results(self, tmp_path):
        """Two finished runs, and one that is not."""
        for seed in range(3):
            run = tmp_path / "own" / "runs" / f"seed-{seed}"
            made = made_by(seed=seed, task="sparse_parities", torch="2", device="cpu", length=3)
            steps = {"step": [0, 10]}
            if seed < 2:
                write_table(pd.DataFrame(steps | {"l2": [1 / 3, seed]}), run / "metrics.parquet")
            log = {"epoch": [0.0, 1.0], "eval_loss": [0.1, 0.2], "eval_accuracy": [0.5, 0.97]}
            write_table(pd.DataFrame(steps | log), run / "training_log.parquet", made)
        jobs = tmp_path / "own" / "benchmarks"
        jobs.mkdir()
        (jobs / "train_0.jsonl").write_text('{"s": 2.5, "cpu_time": 1.5}\n')
        return tmp_path / "own"

    def test_finished_runs_become_two_tables(self, results, tmp_path):
        reference_data.make_reference(results, tmp_path / "reference" / "own")
        reference_data.write_checksums(tmp_path / "reference")
        metrics = pd.read_parquet(tmp_path / "reference/own/metrics.parquet")
        assert metrics["seed"].tolist() == [0, 0, 1, 1]
        assert metrics["l2"].tolist() == [np.float32(1 / 3), 0, np.float32(1 / 3), 1]
        log = pd.read_parquet(tmp_path / "reference/own/training_log.parquet")
        assert (log["eval_accuracy"] > 0.97).sum() == 0  # as in float32 it would be
        about = read_json(tmp_path / "reference/own/settings.json")
        assert (about["seeds"], about["checkpoints_per_run"]) == ("0,1", [2, 2])
        assert about["recipe"] == {"task": "sparse_parities", "length": 3}
        assert about["training"] == {"n_jobs": 1, "wall_seconds": 2.5, "processor_seconds": 1.5}
        assert len((tmp_path / "reference/SHA256SUMS").read_text().splitlines()) == 3

    def test_runs_are_added_to_those_that_are_there(self, results, tmp_path):
        target = tmp_path / "reference" / "own"
        later = tmp_path / "own" / "runs" / "seed-1"
        later.rename(tmp_path / "later")
        reference_data.make_reference(results, target)
        with pytest.raises(InputError, match="has runs of seeds 0 already"):
            reference_data.make_reference(results, target, extend=True)
        (tmp_path / "own" / "runs" / "seed-0").rename(tmp_path / "earlier")
        (tmp_path / "later").rename(later)
        reference_data.make_reference(results, target, extend=True)
        extended = {
            name: pd.read_parquet(target / f"{name}.parquet") for name in reference_data.TABLES
        }
        about = read_json(target / "settings.json")
        (tmp_path / "earlier").rename(tmp_path / "own" / "runs" / "seed-0")
        reference_data.make_reference(results, tmp_path / "at_once")
        for name in reference_data.TABLES:
            at_once = pd.read_parquet(tmp_path / "at_once" / f"{name}.parquet")
            pd.testing.assert_frame_equal(extended[name], at_once)
        twice = {"n_jobs": 2, "wall_seconds": 5.0, "processor_seconds": 3.0}
        assert about == read_json(tmp_path / "at_once" / "settings.json") | {"training": twice}

    def test_runs_that_were_made_otherwise_are_not_added(self, results, tmp_path):
        reference_data.make_reference(results, tmp_path / "reference")
        about = read_json(tmp_path / "reference" / "settings.json")
        about["made_by"]["torch"] = "1"
        write_json(about, tmp_path / "reference" / "settings.json")
        with pytest.raises(InputError, match=r"otherwise than these: made_by is .*'torch': '1'"):
            reference_data.make_reference(results, tmp_path / "reference", extend=True)

    def test_runs_of_two_recipes_are_refused(self, results, tmp_path):
        log = results / "runs" / "seed-1" / "training_log.parquet"
        made = made_by(seed=1, task="sparse_parities", torch="2", device="cpu", length=4)
        write_table(pd.read_parquet(log), log, made)
        with pytest.raises(InputError, match="seed 1 was trained otherwise than seed 0"):
            reference_data.make_reference(results, tmp_path / "reference")
        shutil.rmtree(results / "runs")
        with pytest.raises(InputError, match="has no run with metrics"):
            reference_data.make_reference(results, tmp_path / "reference")

    def test_differences_are_found(self):
        settings = {
            "n_runs": 8,
            "recipe": {"length": 300, "unit": "epoch", "stop_above": 0.9, "stop_after": 50},
        }
        results = {"length": {"least": 250.0, "most": 290.0}}
        about = {"n_runs": 40, "length": 10000, "differs": ["other data"]}
        assert reproduction.differences(settings, results, about) == [
            "other data",
            "8 runs, not 40",
            "300 epochs, not 10,000",
            "each run ends 50 checkpoints after its accuracy exceeds 0.9, at epoch 250 to 290",
        ]

    @pytest.mark.parametrize("value", [0.0004, 0.00096])
    def test_small_p_values_are_not_rounded_up_or_down(self, value):
        assert reproduction.p_value(value) == "< 0.001"
        assert reproduction.p_value(0.0010001) == "0.001"
        assert reproduction.number(None) == reproduction.p_value(None) == "–"

    @pytest.mark.parametrize("forks", [True, False])
    def test_second_opinions_see_planted_ways(self, forks, tmp_path):
        """Two states in a row, or a third one in place of the second for half of the runs."""
        rng = np.random.default_rng(0)
        runs, rows = [], []
        for seed in range(10):
            turn = 8 + seed
            late, other = np.arange(30) >= turn, bool(forks and seed % 2)
            values = {"a": 9.0 * (late & (not other)), "b": 9.0 * (late & other)}
            split = "validation" if seed > 7 else "train"
            runs.append(pd.DataFrame({"seed": seed, "step": range(30), "split": split, **values}))
            early = turn - 1
            rows.append({"seed": seed, "step": early, "fraction": early / 30, "converged": True})
        table = pd.concat(runs, ignore_index=True)
        table[["a", "b"]] += rng.normal(size=(len(table), 2))
        obs = Observations(table, ("a", "b"))
        obs.save(tmp_path / "observations.parquet")
        write_table(pd.DataFrame(rows), tmp_path / "convergence.csv")
        k = 3 if forks else 2
        (found,) = fit_twins(tmp_path, [k])
        assert found["forks"] is forks
        assert found["most_on_one_way"] == (5 if forks else 10)
        assert found["r_squared"] > 0.98  # all states begin when runs converge
        save_fitted(tmp_path / f"hmm/states-{k}.npz", fit_hmm(obs, k), obs)
        again = with_states(tmp_path, k)
        assert again["on_commonest_path"] == found["most_on_one_way"]
        assert again["r_squared"] == pytest.approx(found["r_squared"], abs=0.01)
        assert [fork["state"] for fork in again["forks"]] == ([0] if forks else [])
        for fork in again["forks"]:
            assert fork["n_going_on"] == fork["n_converged_before"] == 10
            assert fork["predicts_convergence"] is None or not fork["predicts_convergence"]


def test_sums_notice_a_changed_file(tmp_path):
    for name in ("metrics", "training_log"):
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / f"{name}.parquet").write_bytes(b"1")
    write_json({}, tmp_path / "own" / "settings.json")
    reference_data.write_checksums(tmp_path)
    before = (tmp_path / "SHA256SUMS").read_text()
    (tmp_path / "own" / "metrics.parquet").write_bytes(b"2")
    reference_data.write_checksums(tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() != before
