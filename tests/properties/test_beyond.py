"""The reference data beyond the paper, and what tools.beyond asks of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import spearmanr
from tools import beyond, reference_data

from tests.properties.test_reproduction import settings_of
from tests.support.project import ROOT
from training_maps.metrics.definitions import LANDSCAPE
from training_maps.utils.files import read_json

NAMES = beyond.names(beyond.REFERENCE)
# The kept runs saw JPEG copies of the photographs, as the page says.
COPIES = {"cifar10_jpeg.npz": "cifar10"}


class TestShareHigher:
    def test_it_counts_pairs_at_the_same_time(self):
        rng = np.random.default_rng(0)
        inside = rng.random((7, 5)) < 0.5
        values = rng.integers(0, 4, (7, 5)).astype(float)
        values[2, 3] = np.nan
        wins, pairs = 0.0, 0
        for t in range(5):
            for i in np.flatnonzero(inside[:, t]):
                for j in np.flatnonzero(~inside[:, t]):
                    if not np.isnan(values[[i, j], t]).any():
                        pairs += 1
                        wins += (values[i, t] > values[j, t]) + (values[i, t] == values[j, t]) / 2
        found = beyond.share_higher(inside, values)
        assert found["share"] == pytest.approx(wins / pairs)
        assert found["low"] < found["share"] < found["high"]

    def test_what_goes_with_time_alone_is_no_difference(self):
        """All runs' values grow; those who are early in the group are not higher for it."""
        steps = np.arange(30)
        inside = steps < np.linspace(5, 25, 20)[:, None]
        values = np.tile(steps.astype(float), (20, 1))
        assert beyond.share_higher(inside, values)["share"] == pytest.approx(0.5)

    @pytest.mark.parametrize(("n_runs", "least"), [(24, 86), (8, 84)])
    def test_the_interval_holds_the_truth_as_often_as_it_says(self, n_runs, least):
        """Runs have levels of their own: what a bootstrap over checkpoints would miss."""
        steps, hits = np.arange(20), 0
        for seed in range(100):
            rng = np.random.default_rng(seed)
            inside = steps < rng.integers(4, 16, n_runs)[:, None]
            values = rng.normal(size=(n_runs, 1)) + 0.3 * rng.normal(size=(n_runs, 20))
            found = beyond.share_higher(inside, values)
            hits += found["low"] <= 0.5 <= found["high"]
        assert hits >= least

    def test_resamples_with_nobody_to_compare_with_do_not_count(self):
        """Three runs stay inside: some resamples have none of them; nowhere is a pair lost."""
        inside = np.zeros((8, 4), bool)
        inside[:3] = True
        found = beyond.share_higher(inside, 1.0 * inside, 0.002)
        assert (found["share"], found["low"], found["high"]) == (1, 1, 1)

    def test_a_planted_difference_is_seen_and_too_few_runs_say_nothing(self):
        rng = np.random.default_rng(1)
        inside = np.arange(20) < rng.integers(4, 16, 24)[:, None]
        found = beyond.share_higher(inside, rng.normal(size=(24, 20)) + 2.0 * inside, 0.01)
        assert found["low"] > 0.7
        alone = np.zeros((24, 20), bool)
        alone[:2, :5] = True
        assert beyond.share_higher(alone, rng.normal(size=(24, 20)))["share"] is None


class TestLandscape:
    """Twelve runs of 20 checkpoints, in state 0 until a time of their own, and sharper there."""

    @pytest.fixture
    def planted(self):
        rng = np.random.default_rng(3)
        turn = rng.integers(5, 15, 12)
        rows = pd.MultiIndex.from_product([range(12), range(0, 200, 10)], names=["seed", "step"])
        table = rows.to_frame(index=False)
        before = table["step"] < 10 * turn[table["seed"]]
        states = table.assign(state=np.where(before, 0, 1))
        metrics = table.assign(**dict.fromkeys(LANDSCAPE, 0.0))
        metrics["hessian_max"] = rng.normal(size=len(table)) + 3 * before
        times = pd.DataFrame({"seed": range(12), "step": 10 * turn, "converged": True})
        return states, metrics, times

    def found(self, *arguments):
        rows = beyond.landscape(*arguments)
        return {(row["group"], row["metric"]): row for row in rows}

    def test_the_sharper_state_is_found_and_no_other_metric(self, planted):
        found = self.found(*planted)
        assert found["state 0", "hessian_max"]["low"] > 0.8
        assert found["state 1", "hessian_max"]["high"] < 0.2
        assert found["state 0", "gradient_norm"]["share"] == 0.5
        assert len(found) == 3 * len(LANDSCAPE)

    def test_checkpoints_that_were_not_measured_do_not_count(self, planted):
        states, metrics, times = planted
        thinned = metrics[metrics["step"] % 20 == 0]
        found = self.found(states, thinned, times)
        alone = self.found(states[states["step"] % 20 == 0], thinned, times)
        assert found == alone
        assert found["state 0", "hessian_max"]["low"] > 0.8

    def test_a_run_that_does_not_converge_is_at_no_time_converging(self, planted):
        states, metrics, times = planted
        some = times.assign(converged=times["seed"] > 8, step=times["step"].where(
            times["seed"] > 8, 190))  # fmt: skip
        assert self.found(states, metrics, some)["converging", "hessian_max"]["n_inside"] == 3

    def test_groups_from_elsewhere_stand_beside_the_states(self, planted):
        states, metrics, times = planted
        late = states.assign(inside=states["state"] == 1)[["seed", "step", "inside"]]
        found = self.found(states, metrics, times, {"late": late})
        one, other = found["late", "hessian_max"], found["state 1", "hessian_max"]
        assert one | {"group": ""} == other | {"group": ""}

    def test_the_mechanisms_phases_part_each_run(self):
        step = np.arange(0, 60, 10)
        run = pd.DataFrame({
            "seed": 4, "step": step, "excluded_loss": [5.0, 3, 1, 2, 3, 4],
            "restricted_loss": [4.0, 4, 3, 1, 1, 0], "loss": [6.0, 8, 7, 6, 3, 1],
            "key_share": [0.1, 0.1, 0.3, 0.6, 0.8, 0.9],
        })  # fmt: skip
        never = run.assign(seed=5, loss=[6.0, 8, 8, 8, 7, 6])
        found = beyond.phases(pd.concat([run, never]))
        of = {
            n: t[t["inside"]].groupby("seed")["step"].agg(list).to_dict() for n, t in found.items()
        }
        assert of == {
            "memorising": {4: [0, 10], 5: [0, 10]},
            "circuit forms": {4: [20, 30], 5: [20, 30, 40, 50]},
            "cleaned up": {4: [40, 50]},
        }


class TestForgetting:
    def test_groups_that_differ_are_told_by_all_permutations(self):
        values, groups = np.array([0.0, 1, 2, 5, 6, 9]), np.array([0, 0, 0, 1, 1, 1])
        apart = [sum(p[3:]) - sum(p[:3]) for p in permutations(values)]
        exact = np.mean(np.abs(apart) >= 17 - 1e-9)
        assert beyond.groups_differ(groups, values) == pytest.approx(exact, abs=0.02)

    def test_one_state_or_too_few_runs_of_another_say_nothing(self):
        values = np.arange(6.0)
        assert beyond.groups_differ(np.zeros(6, int), values) is None
        assert beyond.groups_differ(np.array([0, 0, 0, 0, 1, 1]), values) is None

    def test_the_metric_that_tells_most_is_found_with_scipys_correlation(self):
        rng = np.random.default_rng(0)
        table = pd.DataFrame(rng.normal(size=(30, 5)), columns=list("abcde"))
        outcome = (table["c"] ** 3 + 0.3 * rng.normal(size=30)).to_numpy()
        found = beyond.most_telling(table, outcome)
        assert found["name"] == "c"
        assert found["correlation"] == pytest.approx(spearmanr(table["c"], outcome).statistic)
        assert found["p_value"] < 0.001
        assert beyond.most_telling(table, rng.normal(size=30))["p_value"] > 0.05


def test_means_that_differ_are_told_by_permutation():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=20), rng.normal(size=20)
    assert beyond.mean_differs(first, second + 3) < 0.001
    assert beyond.mean_differs(first, first) == 1


class TestData:
    def test_checksums(self):
        lines = (beyond.REFERENCE / reference_data.SUMS).read_text().splitlines()
        sums = dict(reversed(line.split("  ", 1)) for line in lines)
        files = reference_data.data_files(beyond.REFERENCE)
        found = {str(f.relative_to(beyond.REFERENCE)): reference_data.sha256(f) for f in files}
        assert found == sums
        assert len(files) == 3 * len(NAMES)

    @pytest.mark.parametrize("name", NAMES)
    def test_they_are_of_the_experiments_recipe(self, name):
        about, trained = read_json(beyond.REFERENCE / name / "settings.json"), settings_of(name)
        for key, value in trained["training"].items():
            if key in about["recipe"]:
                assert about["recipe"][key] == value, key
        for key, value in trained["training"]["task_settings"].items():
            used = about["recipe"][key]
            assert COPIES.get(used, used) == value, key
        table = pd.read_parquet(beyond.REFERENCE / name / "metrics.parquet")
        assert table["seed"].nunique() == about["n_runs"]
        paper = table.drop(columns=[c for c in LANDSCAPE if c in table.columns])
        assert np.isfinite(paper.to_numpy()).all()

    def test_the_group_names_those_that_are_analysed(self):
        group = yaml.safe_load((ROOT / "experiments" / "beyond.yaml").read_text())
        found = read_json(beyond.REFERENCE / beyond.FILE)
        others = ("stability", "ways", beyond.GROK_LANDSCAPE)
        analysed = [name for name in found if name not in others]
        assert sorted(group["experiments"]) == sorted(f"reference_{name}" for name in analysed)
        for family, threshold in beyond.FAMILIES.items():
            assert settings_of(family)["semantics"]["threshold"] == threshold

    def test_what_is_said_of_stability_is_what_the_logs_say(self):
        said = read_json(beyond.REFERENCE / beyond.FILE)["stability"]
        assert said == beyond.stability(beyond.REFERENCE)
        for name, row in said.items():
            log = pd.read_parquet(beyond.REFERENCE / name / "training_log.parquet")
            threshold = next(t for f, t in beyond.FAMILIES.items() if name.startswith(f))
            first = log[log["eval_accuracy"] > threshold].groupby("seed")["step"].min()
            assert row["convergence"]["n"] == len(first)
            assert row["convergence"]["median"] == first.median()

    def test_what_is_said_of_modular_additions_ground_is_what_the_tables_say(self):
        """Of the mechanism's phases, counted pair by pair."""
        said = read_json(beyond.REFERENCE / beyond.FILE)[beyond.GROK_LANDSCAPE]
        table = pd.read_parquet(beyond.GROK / "landscape.parquet")
        assert said["n_runs"] == table["seed"].nunique()
        progress = pd.read_parquet(beyond.GROK / "progress.parquet")
        for name, inside in beyond.phases(progress).items():
            both = table.merge(inside, on=["seed", "step"])
            assert len(both) == len(table)
            for column in LANDSCAPE:
                pairs = both.merge(both, on="step")
                pairs = pairs[pairs["inside_x"] & ~pairs["inside_y"]]
                higher = (pairs[f"{column}_x"] > pairs[f"{column}_y"]).mean()
                (row,) = [
                    row
                    for row in said["landscape"]
                    if row["group"] == name and row["metric"] == column
                ]
                assert row["share"] == pytest.approx(higher)
                assert row["low"] <= row["share"] <= row["high"]
                assert row["n_inside"] == pairs["seed_x"].nunique()
