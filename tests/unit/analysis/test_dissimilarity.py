"""Wasserstein distances against linear programs over the whole plan, SciPy and closed forms."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wasserstein_distance

from tests.support.transport_twin import euclidean, lp_cost
from training_maps import cli
from training_maps.analysis.dissimilarity import (
    dissimilarity,
    exact_means,
    is_sample,
    mean_per_run,
    sample_of_pairs,
    sample_sentence,
    trajectory_dissimilarity,
)
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError

# The folder's face hands on the function of this name in the module's place.
module = importlib.import_module("training_maps.analysis.dissimilarity")


def paths_of(runs):
    """State paths of runs given as {seed: [states]}."""
    rows = [(seed, i, state) for seed, states in runs.items() for i, state in enumerate(states)]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])


def random_runs(rng, n_runs, n_states):
    return {
        seed: rng.choice(n_states, p=rng.dirichlet(np.full(n_states, 0.4)), size=length)
        for seed, length in enumerate(rng.integers(5, 60, size=n_runs))
    }


@pytest.mark.parametrize("n_states", [1, 2, 3, 5, 8, 12])
def test_all_three_equal_linear_programs(n_states):
    rng = np.random.default_rng(n_states)
    paths = paths_of(random_runs(rng, 8, n_states))
    shares = state_shares(paths)
    states = shares.columns.to_numpy()
    means = pd.DataFrame(rng.normal(size=(n_states, 4)))
    ground = {
        "index": np.abs(states[:, None] - states[None, :]),
        "discrete": 1 - np.eye(len(states)),
        "means": euclidean(means.loc[states].to_numpy()),
    }
    table = dissimilarity(paths, means)
    assert len(table) == 28
    for row in table.itertuples():
        p, q = shares.loc[row.seed_a].to_numpy(), shares.loc[row.seed_b].to_numpy()
        for name, distances in ground.items():
            assert getattr(row, name) == pytest.approx(lp_cost(p, q, distances), abs=1e-10), name


def test_index_equals_scipy():
    rng = np.random.default_rng(0)
    runs = {seed: states * 3 for seed, states in random_runs(rng, 6, 7).items()}  # gaps in numbers
    for row in dissimilarity(paths_of(runs)).itertuples():
        expected = wasserstein_distance(runs[row.seed_a], runs[row.seed_b])
        assert row.index == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    paths = paths_of({4: [0, 0, 1, 3], 9: [0, 1, 1, 1], 6: [0, 0, 1, 3]})
    means = pd.DataFrame([[0.0, 0.0], [3.0, 4.0], [9.0, 9.0], [3.0, 0.0]])
    table = dissimilarity(paths, means)
    assert table[["seed_a", "seed_b"]].to_numpy().tolist() == [[4, 6], [4, 9], [6, 9]]
    assert table.iloc[0, 2:].tolist() == [0, 0, 0]
    # A quarter moves from 0 to 1 (index 1, means 5) and a quarter from 3 to 1 (index 2, means 4).
    assert table.iloc[1, 2:].tolist() == pytest.approx([0.75, 0.5, 2.25])
    assert trajectory_dissimilarity(table) == pytest.approx(
        {"index": 0.5, "discrete": 1 / 3, "means": 1.5}
    )


def test_more_pairs_than_are_solved_at_once(monkeypatch):
    rng = np.random.default_rng(2)
    paths = paths_of(random_runs(rng, 12, 5))
    means = pd.DataFrame(rng.normal(size=(5, 2)))
    whole = dissimilarity(paths, means)
    monkeypatch.setattr("training_maps.stats.optimal_transport._PAIRS_AT_ONCE", 7)
    pd.testing.assert_frame_equal(whole, dissimilarity(paths, means))


def test_one_state_or_one_run():
    means = pd.DataFrame([[1.0]], index=[0])
    table = dissimilarity(paths_of({0: [0, 0], 1: [0], 2: [0] * 5}), means)
    assert table[["index", "discrete", "means"]].to_numpy().tolist() == [[0, 0, 0]] * 3
    lonely = dissimilarity(paths_of({3: [0, 0]}), means)
    assert lonely.columns.tolist() == ["seed_a", "seed_b", "index", "discrete", "means"]
    assert lonely.empty
    assert trajectory_dissimilarity(lonely) == {"index": None, "discrete": None, "means": None}


def test_without_means_the_column_is_absent():
    table = dissimilarity(paths_of({0: [0, 1], 1: [1, 1]}))
    assert list(table) == ["seed_a", "seed_b", "index", "discrete"]
    assert trajectory_dissimilarity(table) == {"index": 0.5, "discrete": 0.5, "means": None}


def test_missing_means_are_refused():
    with pytest.raises(InputError, match="no means for state 2"):
        dissimilarity(paths_of({0: [0, 2]}), pd.DataFrame([[0.0], [1.0]]))


def test_command(tmp_path, capsys):
    paths_of({0: [0, 0], 1: [0, 1]}).to_csv(tmp_path / "state_paths.csv", index=False)
    state = {"share_of_checkpoints": 0.5, "n_runs": 1, "stay_probability": 0.5, "features": []}
    states = [
        {"state": k, "name": "l2", "mean": {"l2": 4.0 * k}, "inverse_covariance": {"l2": 1}} | state
        for k in range(2)
    ]
    training_map = {
        "experiment": None,
        "metrics": ["l2"],
        "states": states,
        "transitions": [],
        "selected_model": {},
        "feature_ranking": "inverse_covariance",
        "notes": [],
    }
    (tmp_path / "training_map.json").write_text(json.dumps(training_map))
    arguments = [
        "dissimilarity",
        f"--state-paths={tmp_path / 'state_paths.csv'}",
        f"--training-map={tmp_path / 'training_map.json'}",
        f"--output={tmp_path / 'dissimilarity.csv'}",
        f"--per-run={tmp_path / 'dissimilarity_per_run.csv'}",
    ]
    assert cli.main(arguments) == 0
    table = pd.read_csv(tmp_path / "dissimilarity.csv")
    assert table.to_dict("records") == [
        {"seed_a": 0, "seed_b": 1, "index": 0.5, "discrete": 0.5, "means": 2.0}
    ]
    per_run = pd.read_csv(tmp_path / "dissimilarity_per_run.csv")
    assert per_run.to_dict("records") == [
        {"seed": seed, "index": 0.5, "discrete": 0.5, "means": 2.0} for seed in (0, 1)
    ]
    assert "index 0.500, discrete 0.500, means 2.000" in capsys.readouterr().err
    (tmp_path / "training_map.json").write_text('{"states": 3}')
    assert cli.main(arguments) == 1
    assert "is not a training map" in capsys.readouterr().err


class TestSample:
    """Of very many runs a sample of the pairs is looked at: here of 31, with 8 others each."""

    @pytest.fixture
    def paths(self):
        return paths_of(random_runs(np.random.default_rng(4), 31, 4))

    @pytest.fixture
    def means(self):
        return pd.DataFrame(np.random.default_rng(5).normal(size=(4, 3)))

    @pytest.fixture
    def everything(self, paths, means):
        return dissimilarity(paths, means)

    @pytest.fixture
    def sample(self, paths, means, everything, monkeypatch):
        monkeypatch.setattr(module, "MOST_RUNS", 30)
        monkeypatch.setattr(module, "N_PARTNERS", 8)
        return dissimilarity(paths, means)

    def test_every_run_has_as_many_partners_and_no_pair_is_there_twice(self, sample, everything):
        assert not is_sample(everything)
        assert is_sample(sample)
        both = np.concatenate([sample["seed_a"], sample["seed_b"]])
        assert (np.bincount(both) == 8).all()
        assert (sample["seed_a"] < sample["seed_b"]).all()
        keys = ["seed_a", "seed_b"]
        assert not sample.duplicated(keys).any()
        assert sample[keys].to_numpy().tolist() == sorted(sample[keys].to_numpy().tolist())
        same = everything.merge(sample[keys], on=keys)
        pd.testing.assert_frame_equal(same, sample)

    def test_means_that_need_no_pairs_are_those_of_all(self, paths, sample, everything):
        of_all, told = mean_per_run(everything), mean_per_run(sample, paths)
        names = ["index", "discrete"]
        pd.testing.assert_frame_equal(exact_means(paths), of_all[["seed", *names]])
        pd.testing.assert_frame_equal(told[["seed", *names]], of_all[["seed", *names]])
        found = trajectory_dissimilarity(sample, told)
        for name in names:
            assert found[name] == pytest.approx(everything[name].mean())
        assert found["means"] == pytest.approx(sample["means"].mean())

    def test_the_interval_is_that_of_pairs_drawn_one_by_one(self, sample, everything):
        assert sample_of_pairs(everything) is None
        assert sample_sentence(None) == ""
        found = sample_of_pairs(sample)
        assert (found["n_pairs"], found["n_all_pairs"]) == (31 * 4, 31 * 15)
        draw = np.random.default_rng(0)
        values = everything["means"].to_numpy()
        drawn = [draw.choice(values, 124, replace=False).mean() for _ in range(2000)]
        low, high = found["interval"]
        assert (high - low) / 2 == pytest.approx(1.96 * np.std(drawn), rel=0.15)
        assert low < values.mean() < high
        assert "465 pairs, 124 were drawn" in sample_sentence(found)

    def test_without_means_there_is_nothing_to_estimate(self, paths, sample):
        assert sample_of_pairs(sample.drop(columns="means"))["interval"] is None

    def test_in_nine_of_ten_samples_at_least_the_truth_is_inside(
        self, paths, means, everything, sample, monkeypatch
    ):
        truth, inside = everything["means"].mean(), 0
        for state in range(50):
            monkeypatch.setattr(module, "_RANDOM_STATE", state)
            low, high = sample_of_pairs(dissimilarity(paths, means))["interval"]
            inside += low <= truth <= high
        assert inside >= 45
