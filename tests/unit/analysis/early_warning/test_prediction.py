"""Early warning: planted early information is found, absent one is not, and no future leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from training_maps import cli
from training_maps.analysis.early_warning.prediction import (
    Beginnings,
    Target,
    early_features,
    fork_target,
    judge,
    largest_fork,
    raw_metrics,
    time_target,
)
from training_maps.analysis.early_warning.sentences import sentences_of
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.hmm.observations import observations
from training_maps.result_tables import EARLY_WARNING_COLUMNS
from training_maps.stats.cross_validation import deal
from training_maps.training_map.map import TrainingMap
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json, write_table

N_CHECKPOINTS = 50
LEVELS = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0]])


def beginning(x):
    return [Beginnings(0.1, 5, {"states": x, "metrics": x})]


def test_false_positives_where_features_say_nothing():
    """p below 0.05 in 5 % of 300 simulations; times are skewed, branches unequal."""
    rng = np.random.default_rng(0)
    n, p_values = 300, []
    for _ in range(n):
        x = np.tile(rng.normal(size=(1, 20, 4)), (5, 1, 1))
        never = np.full(20, np.inf)
        times = Target("time", False, rng.exponential(size=20), never)
        ways = Target("way", True, rng.permutation([0.0] * 13 + [1.0] * 7), never, ("a", "b"))
        table = judge(beginning(x), [times, ways], deal(range(20), 5, 0), n_permutations=99)
        p_values.append(table.loc[table["features"] == "states", "p_value"].tolist())
    rate = (np.array(p_values) <= 0.05).mean(axis=0)
    assert (rate <= 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5).all()
    assert (rate > 0).all()  # a test that never rejects would pass the line above


def simulate(seed, tells, n_runs=30, n=N_CHECKPOINTS):
    """Runs through 0-1-3 or 0-2-3: tables of two metrics, convergence, and the way taken.

    Runs leave state 0 at once or later, and converge on entering state 3. With `tells`, those that
    leave it later converge later; without, that is drawn by itself.
    """
    rng = np.random.default_rng(seed)
    tables, rows, ways = {}, [], []
    for run in range(n_runs):
        left = int(rng.integers(3, 13))
        converged = 15 + 2 * (left if tells else int(rng.integers(3, 13)))
        way = int(rng.integers(1, 3))
        states = np.repeat([0, way, 3], [left, converged - left, n - converged])
        values = LEVELS[states] + 0.4 * rng.normal(size=(n, 2))
        tables[run] = pd.DataFrame(
            {"step": 10 * np.arange(n), "a": values[:, 0], "b": values[:, 1]}
        )
        rows.append((run, 10 * converged, converged / n, True))
        ways.append(way)
    convergence = pd.DataFrame(rows, columns=["seed", "step", "fraction", "converged"])
    return tables, convergence, ways


def judged(seed, tells, fractions=(0.25,), **options):
    tables, convergence, _ = simulate(seed, tells)
    obs = observations(tables)
    folds = deal(obs.seeds, 5, 0)
    target = time_target(time_outcome(convergence, "x", 0.9), obs.seeds, convergence)
    begun = early_features(raw_metrics(obs, tables), fractions, folds, 4, restarts=2)
    return judge(begun, [target], folds, **{"n_permutations": 199, **options})


class TestPlantedInformation:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_early_information_is_found(self, seed):
        table = judged(seed, tells=True).set_index("features")
        assert (table["p_value"] == 1 / 200).all()
        assert table.loc["states", "rank_correlation"] > 0.8
        assert table.loc["states", "r_squared"] > 0.7
        assert (table["n_already"] == 0).all()

    def test_none_is_found_where_there_is_none(self):
        tables = pd.concat([judged(seed, tells=False) for seed in range(4)])
        assert (tables["p_value"] > 0.01).all()
        assert (tables["r_squared"] < 0.2).all()

    def test_what_is_known_by_then_is_no_warning(self):
        """After 75 % of the longest run some have converged; after 90 % all have."""
        table = judged(0, tells=True, fractions=(0.25, 0.6, 0.9))
        late = table[(table["fraction"] == 0.6) & (table["features"] == "states")]
        convergence = simulate(0, tells=True)[1]
        known = int((convergence["step"] <= 294).sum())  # 0.6 of the last step, 490
        assert 0 < known < 20
        assert late["runs"].tolist() == ["all", "not yet"]
        assert late["n_already"].tolist() == [known] * 2
        assert late["n_runs"].tolist() == [30, 30 - known]
        last = table[table["fraction"] == 0.9].set_index(["runs", "features"])
        assert last.loc[("not yet", "states"), "n_runs"] == 0
        assert "0 of 10 runs" in last.loc[("not yet", "states"), "reason"]

    def test_the_branch_is_known_once_taken_and_not_before(self):
        tables, _, ways = simulate(0, tells=True)
        obs = observations(tables)
        steps = np.tile(10 * np.arange(N_CHECKPOINTS), 30)
        truth = []
        for run, way in enumerate(ways):
            left = 3 + run % 10
            truth += [0] * left + [way] * (40 - left) + [3] * 10
        paths = pd.DataFrame({"seed": np.repeat(range(30), 50), "step": steps, "state": truth})
        fork = largest_fork(paths)
        target = fork_target(fork, obs.seeds, paths)
        assert (fork.state, target.name) == (0, "the way on from state 0")
        assert sorted(target.classes) == ["1", "2"]
        assert [target.classes[int(way)] for way in target.per_run] == list(map(str, ways))
        assert target.known_at.tolist() == [10 * (3 + run % 10) for run in range(30)]
        folds = deal(obs.seeds, 5, 0)
        begun = early_features(raw_metrics(obs, tables), [0.04, 0.5], folds, 4, restarts=2)
        table = judge(begun, [target], folds, n_permutations=199)
        found = table.set_index(["fraction", "runs", "features"])
        early, late = found.loc[(0.04, "all", "states")], found.loc[(0.5, "all", "states")]
        assert early["p_value"] > 0.01
        assert early["n_already"] == 0
        assert late["p_value"] == 1 / 200
        assert late["balanced_accuracy"] == late["accuracy"] == 1
        assert late["baseline"] == max(ways.count(1), ways.count(2)) / 30
        assert late["n_already"] == 30
        assert "the way on from state 0: 30 runs, 100 % right by states" in " ".join(
            map(str, sentences_of(table))
        )


def features_of(tables, folds):
    """The features of the first fifth."""
    raw = raw_metrics(observations(tables), tables)
    return early_features(raw, [0.2], folds, 3, restarts=2)[0]


@pytest.fixture(scope="module")
def runs():
    """Twelve runs, their folds, and their features."""
    tables, *_ = simulate(3, tells=True, n_runs=12)
    folds = deal(list(tables), 4, 0)
    return tables, folds, features_of(tables, folds)


class TestNoFutureLeaks:
    """The runs of a fold are given another future; their features must be the same to the bit."""

    @pytest.mark.parametrize("future", ["shuffled", "huge", "cut short"])
    def test_features_are_the_same_to_the_bit(self, runs, future):
        tables, folds, before = runs
        rng = np.random.default_rng(0)
        changed = dict(tables)
        for run in np.flatnonzero(folds == 1):
            table = tables[run].copy()
            later = (table["step"] > before.last_step).to_numpy()
            values = table.loc[later, ["a", "b"]].to_numpy()
            table.loc[later, ["a", "b"]] = (
                rng.permutation(values) if future == "shuffled" else 1e3 * values
            )
            changed[run] = table[:30] if future == "cut short" else table
        after = features_of(changed, folds)
        for name in ("states", "metrics"):
            same = before.features[name][1][folds == 1]
            assert same.tobytes() == after.features[name][1][folds == 1].tobytes()
        # The change is one that would be seen: where those runs are learned from, it is.
        assert not np.array_equal(before.features["states"][0], after.features["states"][0])

    def test_observations_of_the_hmm_stage_would_leak(self, runs):
        tables, folds, before = runs
        obs = observations(tables)
        run = int(np.flatnonzero(folds == 1)[0])
        table = tables[run].copy()
        later = table["step"] > before.last_step
        table.loc[later, "a"] *= 2
        new = observations({**tables, run: table})
        begun = (obs.table["seed"] == run) & (obs.table["step"] <= before.last_step)
        assert not np.allclose(obs.table.loc[begun, "a"], new.table.loc[begun, "a"])

    def test_a_run_has_no_say_in_its_own_model(self, runs):
        tables, folds, before = runs
        run = int(np.flatnonzero(folds == 2)[0])
        changed = {**tables, run: tables[run].assign(a=tables[run]["a"] + 5)}
        after = features_of(changed, folds)
        others = np.arange(12) != run
        for name in ("states", "metrics"):
            np.testing.assert_array_equal(
                before.features[name][2][others], after.features[name][2][others]
            )
            assert not np.array_equal(before.features[name][2][run], after.features[name][2][run])


class TestFeatures:
    def test_metrics_are_scored_by_the_other_runs(self):
        tables, *_ = simulate(0, tells=True, n_runs=6)
        tables[2].loc[0, "b"] = np.nan
        obs = observations(tables)
        folds = np.array([0, 0, 1, 1, 2, 2])
        begun = early_features(raw_metrics(obs, tables), [0.1], folds, 2, restarts=1)[0]
        assert begun.last_step == 49
        others = pd.concat([tables[run] for run in (0, 1, 4, 5)])
        for name in "ab":
            z = (tables[2][name][:5] - others[name].mean()) / others[name].std(ddof=0)
            column = "ab".index(name)
            assert begun.features["metrics"][1, 2, column] == pytest.approx(z.mean(skipna=True))
        assert begun.features["states"].shape == (3, 6, 4)

    def test_a_metric_that_is_constant_in_the_other_runs_is_0(self):
        tables, *_ = simulate(0, tells=True, n_runs=4)
        for run in (0, 1, 3):
            tables[run] = tables[run].assign(b=2.0)
        obs = observations(tables)
        begun = early_features(raw_metrics(obs, tables), [0.1], np.array([0, 0, 1, 0]), 2)[0]
        assert (begun.features["metrics"][1, :, 1] == 0).all()

    def test_only_the_checkpoints_of_the_observations_count(self):
        tables, *_ = simulate(0, tells=True, n_runs=4)
        obs = observations(tables, max_checkpoints=20)
        raw = raw_metrics(obs, tables)
        assert len(raw) == 80
        np.testing.assert_array_equal(raw["a"][:20], tables[0]["a"][:20])

    @pytest.mark.parametrize("change", ["run", "metric", "step"])
    def test_other_metrics_than_those_observed_are_refused(self, change):
        tables, *_ = simulate(0, tells=True, n_runs=4)
        obs = observations(tables)
        if change == "run":
            del tables[1]
        elif change == "metric":
            tables[1] = tables[1].drop(columns="b")
        else:
            tables[1] = tables[1][1:]
        with pytest.raises(InputError, match="seed 1: the observations were made of other"):
            raw_metrics(obs, tables)


class TestTargets:
    def test_a_value_is_never_known_before_the_end(self):
        outcome = time_outcome(simulate(0, tells=True)[1], "x", 0.9)
        outcome = replace(outcome, larger_means="better")
        target = time_target(outcome, [3, 1], None)
        assert np.isinf(target.known_at).all()
        assert target.per_run.tolist() == outcome.per_run["outcome"].iloc[[3, 1]].tolist()

    def test_rare_branches_are_no_target(self):
        ways = [[0, 1]] * 10 + [[0, 2]] * 2
        rows = [(s, i, state) for s, way in enumerate(ways) for i, state in enumerate(way)]
        paths = pd.DataFrame(rows, columns=["seed", "step", "state"])
        assert fork_target(largest_fork(paths), list(range(12)), paths) is None
        assert largest_fork(paths[paths["seed"] < 10]) is None

    @pytest.mark.parametrize(
        ("values", "is_class", "reason"),
        [
            ([1.0] * 12, False, "the same outcome"),
            ([1.0] * 6 + [np.nan] * 6, False, "6 of 10 runs are there"),
            ([0.0] * 10 + [1.0] * 2, True, "Fewer than two branches have 3"),
        ],
    )
    def test_reasons_why_nothing_can_be_told(self, values, is_class, reason):
        target = Target("t", is_class, np.array(values), np.full(12, np.inf))
        x = np.random.default_rng(0).normal(size=(3, 12, 2))
        table = judge(beginning(x), [target], deal(range(12), 3, 0), n_permutations=9)
        assert table["reason"].str.contains(reason).all()
        assert table["p_value"].isna().all()
        assert "cannot be told" in sentences_of(table)[0].text


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The files of an experiment, as the stages before write them."""
    folder = tmp_path_factory.mktemp("results")
    tables, convergence, ways = simulate(0, tells=True)
    for run, table in tables.items():
        write_table(table[["step", "a"]], folder / f"runs/seed-{run}/metrics.parquet")
        write_table(table[["step", "b"]], folder / f"runs/seed-{run}/training_log.parquet")
    observations(tables).save(folder / "observations.parquet")
    state = np.concatenate([np.repeat([0, way, 3], [10, 20, 20]) for way in ways])
    steps = np.tile(10 * np.arange(N_CHECKPOINTS), 30)
    paths = pd.DataFrame({"seed": np.repeat(range(30), 50), "step": steps, "state": state})
    tmap = TrainingMap.from_paths(paths)
    model = {"model": "gaussian", "n_states": 4, "covariance": "full"}
    write_json({**tmap.to_dict(), "selected_model": model}, folder / "training_map.json")
    write_table(paths, folder / "state_paths.csv")
    outcome = time_outcome(convergence, "x", 0.9)
    write_json({"outcome": outcome.to_dict()}, folder / "regression.json")
    write_table(outcome.per_run, folder / "outcomes.csv")
    write_table(convergence, folder / "convergence.csv")
    return folder


def command(folder, *extra):
    return cli.main([
        "early_warning", "--observations", f"{folder}/observations.parquet",
        "--runs", f"{folder}/runs", "--state-paths", f"{folder}/state_paths.csv",
        "--training-map", f"{folder}/training_map.json",
        "--regression", f"{folder}/regression.json", "--outcomes", f"{folder}/outcomes.csv",
        "--convergence", f"{folder}/convergence.csv", "--permutations", "99", "--restarts", "2",
        "--folds", "5", "--table", f"{folder}/early_warning.csv",
        "--output", f"{folder}/early_warning.json", *extra,
    ])  # fmt: skip


class TestCommand:
    def test_the_whole(self, results):
        assert command(results, "--fractions", "0.25", "0.1") == 0
        table = pd.read_csv(results / "early_warning.csv")
        assert list(table.columns) == list(EARLY_WARNING_COLUMNS)
        assert table["fraction"].unique().tolist() == [0.1, 0.25]
        assert table["target"].unique().tolist() == ["convergence time", "the way on from state 0"]
        data = read_json(results / "early_warning.json")
        assert sorted(data["targets"][1]["classes"]) == ["1", "2"]
        kinds = [sentence["kind"] for sentence in data["sentences"]]
        assert kinds == ["conclusion", "beginning", "beginning"] * 2
        assert data["sentences"][0]["text"].startswith("States of the first ")
        assert "better than chance does" in data["sentences"][0]["text"]
        # the same as by the functions, whose metrics were not in two files
        own = judged(0, tells=True, n_permutations=99)
        of_time = table[(table["target"] == "convergence time") & (table["fraction"] == 0.25)]
        np.testing.assert_allclose(of_time["r_squared"], own["r_squared"], rtol=1e-9)
        np.testing.assert_allclose(of_time["p_value"], own["p_value"])

    @pytest.mark.parametrize(
        ("extra", "message"),
        [
            (["--fractions", "0"], "--fractions must be more than 0 and at most 1, got 0.0"),
            (["--fractions", "0.1", "1.5"], "more than 0 and at most 1, got 1.5"),
            (["--fractions", "0.1", "--folds", "1"], "--folds must be at least 2, got 1"),
            (["--fractions", "0.1", "--permutations", "0"], "--permutations must be at least 1"),
        ],
    )
    def test_settings_out_of_range(self, results, extra, message, capsys):
        assert command(results, *extra) == 1
        assert message in capsys.readouterr().err

    def test_nothing_to_predict(self, results, tmp_path):
        import shutil

        folder = shutil.copytree(results, tmp_path / "copy")
        write_json({"outcome": None}, folder / "regression.json")
        paths = pd.read_csv(folder / "state_paths.csv").assign(state=0)
        write_table(paths, folder / "state_paths.csv")
        assert command(folder, "--fractions", "0.1") == 0
        assert pd.read_csv(folder / "early_warning.csv").empty
        data = read_json(folder / "early_warning.json")
        assert data["sentences"] == []
        assert "no training logs" in data["notes"][0]["text"]
        assert "no fork" in data["notes"][1]["text"]

    def test_maps_without_a_model(self, results, tmp_path, capsys):
        import shutil

        folder = shutil.copytree(results, tmp_path / "copy")
        data = read_json(folder / "training_map.json")
        write_json(data | {"selected_model": None}, folder / "training_map.json")
        assert command(folder, "--fractions", "0.1") == 1
        assert "there is no model" in capsys.readouterr().err
