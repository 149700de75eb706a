"""Outcomes other than convergence time, what becomes of censored runs, and the command for both."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from training_maps import cli
from training_maps.analysis.semantics.outcomes import (
    OUTCOME_KINDS,
    convergence_times,
    table_outcome,
    time_outcome,
    value_outcome,
)
from training_maps.analysis.semantics.regression import (
    CENSORED_POLICIES,
    DETOUR_RULES,
    N_RESAMPLES,
    regress,
)
from training_maps.config.schema import check, load_schema
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError
from training_maps.utils.notes import Note


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few trees and few refits: the numbers they give are the business of other tests."""
    monkeypatch.setattr("training_maps.analysis.semantics.nonlinear.N_TREES", 10)
    monkeypatch.setattr("training_maps.analysis.semantics.nonlinear.N_REPEATS", 1)
    monkeypatch.setattr("training_maps.analysis.semantics.regression.N_TOBIT_PERMUTATIONS", 19)


def log_of(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"step": range(0, 10 * n, 10), "epoch": np.arange(n) / 2} | columns)


def paths_of(*runs):
    rows = [(seed, 10 * i, state) for seed, run in enumerate(runs) for i, state in enumerate(run)]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])


class TestValues:
    logs = {  # noqa: RUF012
        3: log_of(eval_loss=[0.9, 0.2, 0.5]),
        1: log_of(eval_loss=[0.8, 0.3, np.nan]),
        2: log_of(eval_loss=[np.nan] * 3),
    }

    def test_final(self):
        outcome = value_outcome(self.logs, "eval_loss", "below", "final")
        assert outcome.per_run["seed"].tolist() == [1, 2, 3]
        np.testing.assert_array_equal(outcome.per_run["outcome"], [np.nan, np.nan, 0.5])
        assert not outcome.per_run["censored"].any()
        assert (outcome.name, outcome.larger_means) == ("final eval_loss", "worse")
        assert not outcome.is_time

    @pytest.mark.parametrize(("direction", "best"), [("below", [0.3, 0.2]), ("above", [0.8, 0.9])])
    def test_best(self, direction, best):
        values = value_outcome(self.logs, "eval_loss", direction, "best").per_run["outcome"]
        np.testing.assert_array_equal(values, [best[0], np.nan, best[1]])

    def test_final_is_of_the_last_step_not_of_the_last_row(self):
        shuffled = {0: self.logs[3].iloc[[2, 0, 1]]}
        outcome = value_outcome(shuffled, "eval_loss", "below", "final")
        assert outcome.per_run["outcome"].item() == 0.5


class TestCrossings:
    def test_first_checkpoint_strictly_below(self):
        logs = {0: log_of(eval_loss=[0.9, 0.5, 0.4]), 1: log_of(eval_loss=[0.9, 0.9, 0.9])}
        table = convergence_times(logs, 0.5, "eval_loss", "below")
        assert table["step"].tolist() == [20, 20]
        assert table["converged"].tolist() == [True, False]

    def test_a_null_is_beyond_no_threshold(self):
        logs = {0: log_of(eval_loss=[np.nan, 0.9, np.nan])}
        assert not convergence_times(logs, 0.5, "eval_loss", "below")["converged"].any()

    def test_names(self):
        logs = {0: log_of(eval_loss=[0.9, 0.1])}
        table = convergence_times(logs, 0.5, "eval_loss", "below")
        outcome = time_outcome(table, "eval_loss", 0.5, "below", "first_crossing")
        assert outcome.name == "first crossing of eval_loss below 0.5"
        assert outcome.is_time
        assert outcome.to_dict()["larger_means"] == "later"

    def test_no_logs_have_no_rows(self):
        table = convergence_times({}, 0.9)
        assert list(table) == ["seed", "step", "epoch", "fraction", "converged"]
        assert table.empty


class TestTable:
    def write(self, folder, text):
        path = folder / "scores.csv"
        path.write_text(text)
        return path

    def test_reads_a_value_a_seed(self, tmp_path):
        path = self.write(tmp_path, "seed,bias,other\n2,0.5,1\n0,0.25,1\n7,9,1\n1,,1\n")
        outcome = table_outcome(path, "bias", [0, 1, 2, 3])
        assert outcome.per_run["seed"].tolist() == [0, 1, 2, 3]
        np.testing.assert_array_equal(outcome.per_run["outcome"], [0.25, np.nan, 0.5, np.nan])
        assert (outcome.name, outcome.larger_means) == ("bias", "higher")
        assert table_outcome(path, "bias", [0], "below").larger_means == "worse"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("seed,bias\n0,1\n0,2\n", "has seed 0 twice"),
            ("seed,bias\n0.5,1\n", "column seed must hold whole numbers"),
            ("seed,bias\n0,high\n", "column bias must hold numbers"),
            ("seed,bias\n0,inf\n", "infinite"),
            ("seed,bias\n9,1\n", "no value for any of the seeds 0,1"),
            ("seed,score\n0,1\n", "has no column bias"),
        ],
    )
    def test_broken_tables_are_refused(self, tmp_path, text, words):
        with pytest.raises(InputError, match=words):
            table_outcome(self.write(tmp_path, text), "bias", [0, 1])


def forked(n=30, seed=0):
    """Paths of which half take state 1; times and values that depend on the time there."""
    rng = np.random.default_rng(seed)
    runs, times = [], []
    for run in range(n):
        start, detour = int(rng.integers(8, 16)), int(rng.integers(10, 40)) * (run % 2)
        runs.append([0] * start + [1] * detour + [2] * (100 - start - detour))
        times.append((start + detour + rng.normal(0, 1)) / 100)
    return paths_of(*runs), np.array(times)


def as_outcome(times, limit=np.inf):
    table = pd.DataFrame({"seed": range(len(times)), "step": 0, "epoch": 0.0})
    table["fraction"] = np.minimum(times, limit)
    table["converged"] = times <= limit
    return time_outcome(table, "eval_accuracy", 0.9)


class TestCensoredRuns:
    def fit(self, policy, limit=0.4):
        paths, times = forked(60)
        return regress(
            state_shares(paths),
            as_outcome(times, limit),
            censored=policy,
            n_resamples=20,
            alternatives=False,
        )

    def test_each_policy_is_named(self):
        found = {policy: self.fit(policy) for policy in ("last_step", "drop", "tobit")}
        assert {p: f.method for p, f in found.items()} == {
            "last_step": "ordinary least squares",
            "drop": "ordinary least squares",
            "tobit": "Tobit",
        }
        assert [f.censored for f in found.values()] == list(found)
        assert "count" in found["last_step"].notes[0].text
        assert "left out" in found["drop"].notes[0].text
        assert "Tobit" in found["tobit"].notes[0].text
        assert found["drop"].n_runs == found["drop"].n_converged
        assert found["drop"].n_runs < found["tobit"].n_runs == 60
        for fit in found.values():
            json.dumps(fit.to_dict(), allow_nan=False)

    def test_tobit_is_nearer_to_the_truth_than_the_last_step(self):
        """Every checkpoint in state 1 delays by one: its coefficient is 1."""
        errors = {
            policy: abs(self.fit(policy).coefficients.set_index("state").loc[1, "coefficient"] - 1)
            for policy in ("last_step", "tobit")
        }
        assert errors["tobit"] < 0.05 < 0.1 < errors["last_step"]

    def test_tobit_results(self):
        fit = self.fit("tobit")
        assert fit.significant
        assert fit.detour_states == (1,)
        assert (fit.f_statistic, fit.adjusted_r_squared) == (None, None)
        assert fit.leave_one_out_r_squared is None
        assert fit.likelihood_ratio > 50
        assert fit.sigma == pytest.approx(0.01, rel=0.5)
        assert fit.shuffled["p_value"] == 1 / (1 + fit.shuffled["n_permutations"])
        assert 0 < fit.r_squared_interval[0] < fit.r_squared_interval[1] <= 1
        assert fit.predictions.empty

    def test_tobit_without_censored_runs_is_least_squares(self):
        assert self.fit("tobit", np.inf).method == "ordinary least squares"

    def test_no_estimate_is_a_reason(self):
        """All runs in state 1 are censored: how late they would be is anybody's guess."""
        paths, times = forked()
        times[1::2] = 9
        fit = regress(state_shares(paths), as_outcome(times, 0.9), censored="tobit")
        assert "no estimate" in fit.reason
        assert fit.coefficients.empty

    def test_states_of_dropped_runs_have_no_coefficient(self):
        paths, times = forked()
        times[1::2] = 9
        fit = regress(
            state_shares(paths), as_outcome(times, 0.9), censored="drop", alternatives=False
        )
        assert fit.coefficients["state"].tolist() == [0, 2]
        assert "Only runs that are left out visit state 1" in " ".join(map(str, fit.notes))

    def test_nobody_converges(self):
        paths, times = forked()
        for policy in ("last_step", "drop", "tobit"):
            fit = regress(state_shares(paths), as_outcome(times, 0.0), censored=policy)
            assert "No run converges" in fit.reason


class TestSentences:
    def test_a_detour_is_explained(self):
        paths, times = forked()
        fit = regress(state_shares(paths), as_outcome(times), alternatives=False)
        row = fit.coefficients.set_index("state").loc[1]
        assert row["explanation"] == (
            f"Detour: positive coefficient {row['coefficient']:.2f} ({row['interval_low']:.2f} to "
            f"{row['interval_high']:.2f}); 15 of 30 runs converge without visiting it."
        )
        assert row["n_converging_without"] == 15
        assert row["mean_outcome_visiting"] == pytest.approx(times[1::2].mean())
        assert row["mean_outcome_without"] == pytest.approx(times[::2].mean())
        assert fit.to_dict()["states"][1] == {"state": 1, "explanation": row["explanation"]}
        others = fit.coefficients.set_index("state")["explanation"]
        assert others[0].startswith("No detour: positive coefficient")
        assert "every run that converges visits it" in others[0]

    def test_no_verdict_without_significance(self):
        paths, times = forked()
        fit = regress(
            state_shares(paths),
            as_outcome(np.random.default_rng(0).permutation(times)),
            alternatives=False,
        )
        assert all(fit.coefficients["explanation"].str.startswith("No verdict"))

    def test_the_interval_rule_wants_more_than_a_sign(self):
        """State 1 delays nothing: its coefficient is 0 but for noise, its sign chance."""
        paths, _ = forked(40)
        starts = paths[paths["state"] == 0].groupby("seed").size().to_numpy() / 100
        shares = state_shares(paths)
        signs, intervals, doubts = 0, 0, 0
        for seed in range(20):
            noise = np.random.default_rng(seed).normal(0, 0.01, 40)
            outcome = as_outcome(starts + noise)
            options = {"n_resamples": 300, "alternatives": False}
            by_sign = regress(shares, outcome, **options)
            by_interval = regress(shares, outcome, detour_rule="interval", **options)
            signs += by_sign.detour_states == (1,)
            intervals += by_interval.detour_states == (1,)
            doubts += "the interval holds 0" in by_sign.coefficients["explanation"][1]
            assert by_interval.detour_rule == "interval"
        assert 4 <= signs <= 16
        assert doubts == signs - intervals
        assert intervals <= 3

    def test_values_have_no_detours(self):
        paths, times = forked()
        logs = {seed: log_of(eval_loss=[1.0, value]) for seed, value in enumerate(times)}
        fit = regress(
            state_shares(paths),
            value_outcome(logs, "eval_loss", "below", "final"),
            alternatives=False,
        )
        assert fit.significant
        assert fit.detour_states == ()
        assert fit.n_converged is None
        assert fit.coefficients["n_converging_without"].isna().all()
        sentences = fit.coefficients["explanation"]
        assert sentences[1].startswith("More time here goes with a larger final eval_loss")
        assert sentences[2].startswith("More time here goes with a smaller final eval_loss")
        assert not any("etour" in sentence for sentence in sentences)

    def test_runs_without_a_value_are_left_out_and_named(self, tmp_path):
        paths, times = forked()
        table = pd.DataFrame({"seed": range(30), "bias": times})
        table.loc[[4, 5], "bias"] = np.nan
        table.to_csv(tmp_path / "bias.csv", index=False)
        outcome = table_outcome(tmp_path / "bias.csv", "bias", range(30))
        fit = regress(state_shares(paths), outcome, alternatives=False)
        assert fit.n_runs == 28
        assert fit.notes == (
            Note("no_outcome", "2 of 30 runs have no bias and are left out: seeds 4,5."),
        )
        kept = paths[~paths["seed"].isin([4, 5])]
        alone = regress(state_shares(kept), outcome, alternatives=False)
        assert fit.r_squared == alone.r_squared


class TestCommand:
    def arguments(self, folder, *more, **changes):
        outputs = {name: folder / f"{name}.csv" for name in ("convergence", "outcomes")}
        outputs |= {name: folder / f"{name}.csv" for name in ("coefficients", "delays")}
        options = outputs | {"regression": folder / "regression.json", "threshold": 0.9}
        options = options | {"state-paths": folder / "paths.csv", "resamples": 20} | changes
        return ["semantics", *(f"--{name}={value}" for name, value in options.items()), *more]

    def write(self, folder, logs=True):
        paths, times = forked()
        paths.to_csv(folder / "paths.csv", index=False)
        for seed, time in enumerate(times if logs else ()):
            target = folder / "runs" / f"seed-{seed}"
            target.mkdir(parents=True)
            accuracy = (np.arange(101) / 100 >= time) * 0.95
            log_of(eval_accuracy=accuracy, eval_loss=1 - accuracy * time).to_parquet(
                target / "training_log.parquet"
            )
        return times

    def test_final_loss(self, tmp_path):
        times = self.write(tmp_path)
        arguments = self.arguments(
            tmp_path, runs=tmp_path / "runs", outcome="final", column="eval_loss", threshold=0.5
        )
        assert cli.main(arguments) == 0
        outcomes = pd.read_csv(tmp_path / "outcomes.csv")
        assert list(outcomes) == ["seed", "outcome", "censored", "predicted"]
        np.testing.assert_allclose(outcomes["outcome"], 1 - 0.95 * times)
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert regression["outcome"]["name"] == "final eval_loss"
        assert regression["outcome"]["direction"] == "below"
        assert regression["outcome"]["is_time"] is False
        assert regression["n_converged"] is None
        errors = ((outcomes["outcome"] - outcomes["predicted"]) ** 2).sum()
        total = outcomes["outcome"].var() * 29 * (30 / 29) ** 2
        assert regression["leave_one_out_r_squared"] == pytest.approx(1 - errors / total)
        assert "sentence" in regression["alternatives"]
        convergence = pd.read_csv(tmp_path / "convergence.csv")
        assert convergence["converged"].sum() == (1 - 0.95 * times < 0.5).sum()

    def logged(self, folder, **columns):
        """Thirty runs whose logs have these columns alone, and what the command finds of them."""
        paths, times = forked()
        paths.to_csv(folder / "paths.csv", index=False)
        for seed, time in enumerate(times):
            (folder / "runs" / f"seed-{seed}").mkdir(parents=True)
            log = log_of(**{name: make(time) for name, make in columns.items()})
            log.to_parquet(folder / "runs" / f"seed-{seed}" / "training_log.parquet")
        arguments = [
            a for a in self.arguments(folder, runs=folder / "runs") if "threshold" not in a
        ]
        return times, arguments

    @pytest.mark.parametrize(
        ("column", "scale", "larger_means"),
        [("return", 500, "better"), ("perplexity", 30, "worse"), ("loss", 2, "worse")],
    )
    def test_a_log_of_no_accuracy_says_nothing_of_convergence(
        self, tmp_path, capsys, column, scale, larger_means
    ):
        times, arguments = self.logged(
            tmp_path, **{column: lambda time: scale * (1 + time * np.arange(101) / 100)}
        )
        assert cli.main(arguments) == 0
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert regression["threshold"] is None
        assert regression["n_converged"] is None
        assert regression["column"] == column
        assert regression["outcome"]["name"] == f"final {column}"
        assert regression["outcome"]["larger_means"] == larger_means
        np.testing.assert_allclose(
            pd.read_csv(tmp_path / "outcomes.csv")["outcome"], scale * (1 + times)
        )
        assert pd.read_csv(tmp_path / "convergence.csv").empty
        assert pd.read_csv(tmp_path / "delays.csv").empty
        told = [regression["foretelling"]["sentence"], *(n["text"] for n in regression["notes"])]
        assert "converge" not in capsys.readouterr().err + " ".join(filter(None, told))

    def test_a_return_converges_where_a_threshold_says_so(self, tmp_path):
        times, arguments = self.logged(
            tmp_path, **{"return": lambda time: 500.0 * (np.arange(101) / 100 >= time)}
        )
        assert cli.main([*arguments, "--threshold", "200"]) == 0
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert (regression["threshold"], regression["outcome"]["kind"]) == (200, "convergence_time")
        assert pd.read_csv(tmp_path / "convergence.csv")["converged"].sum() == (times <= 1).sum()

    def test_of_several_columns_none_is_guessed(self, tmp_path):
        _, arguments = self.logged(
            tmp_path, loss=lambda time: np.full(101, time), length=lambda time: np.arange(101)
        )
        assert cli.main(arguments) == 0
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert regression["outcome"] is None
        assert regression["reason"] == (
            "Nobody says what the outcome is: semantics.column, one of loss, length."
        )

    def test_a_time_of_a_return_takes_a_threshold(self, tmp_path, capsys):
        _, arguments = self.logged(tmp_path, **{"return": lambda time: np.full(101, time)})
        assert cli.main([*arguments, "--outcome", "convergence_time"]) == 1
        assert "of return takes a --threshold" in capsys.readouterr().err

    def test_without_logs_the_reason_stands_in_every_file(self, tmp_path, capsys):
        self.write(tmp_path, logs=False)
        assert cli.main(self.arguments(tmp_path)) == 0
        assert "There is no training log" in capsys.readouterr().err
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert "no training log" in regression["reason"]
        assert regression["outcome"] is None
        for name in ("convergence", "outcomes", "coefficients", "delays"):
            assert pd.read_csv(tmp_path / f"{name}.csv").empty

    def test_a_table_of_ones_own_needs_no_logs(self, tmp_path):
        times = self.write(tmp_path, logs=False)
        pd.DataFrame({"seed": range(30), "bias": times}).to_parquet(tmp_path / "bias.parquet")
        table = ["--table", str(tmp_path / "bias.parquet"), "bias"]
        assert cli.main(self.arguments(tmp_path, *table, outcome="table")) == 0
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert regression["r_squared"] > 0.9
        assert regression["outcome"]["kind"] == "table"
        assert pd.read_csv(tmp_path / "convergence.csv").empty

    def test_options_that_contradict_each_other(self, tmp_path, capsys):
        self.write(tmp_path, logs=False)
        assert cli.main(self.arguments(tmp_path, outcome="table")) == 1
        assert cli.main(self.arguments(tmp_path, "--table", "a.csv", "b")) == 1
        assert cli.main(self.arguments(tmp_path, resamples=0)) == 1
        errors = capsys.readouterr().err.splitlines()
        assert "must be given together" in errors[0]
        assert "must be given together" in errors[1]
        assert "--resamples must be at least 1" in errors[2]


class TestConfig:
    schema = load_schema()["properties"]["semantics"]

    def test_the_options_are_those_of_the_code(self):
        parts = self.schema["properties"]
        assert tuple(parts["outcome"]["enum"]) == (*OUTCOME_KINDS, None)
        assert tuple(parts["censored"]["enum"]) == CENSORED_POLICIES
        assert tuple(parts["detour_rule"]["enum"]) == DETOUR_RULES
        assert parts["resamples"]["default"] == N_RESAMPLES

    @pytest.mark.parametrize(
        "settings",
        [
            {"column": "eval_loss", "threshold": 2.5, "direction": "below"},
            {"outcome": "table", "table": {"path": "a.csv", "column": "bias"}},
            {"outcome": "final", "column": "train_loss"},
            {"column": "return", "threshold": 200},
            {"threshold": None},
        ],
    )
    def test_valid(self, settings):
        check(settings, self.schema, "config")

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"threshold": 2.5}, "threshold: expected number at least 0 less than 1"),
            ({"outcome": "table"}, "missing key table"),
            ({"outcome": "table", "table": None}, "table: expected object"),
            ({"table": {"path": "a.csv"}}, "missing key column"),
            ({"table": {"path": "a", "column": "b", "seed": 1}}, "unknown key table.seed"),
            ({"outcome": "last"}, "one of convergence_time, first_crossing"),
        ],
    )
    def test_refused(self, settings, words):
        with pytest.raises(InputError, match=words):
            check(settings, self.schema, "config")


def test_an_outcome_is_read_back_from_the_results(tmp_path):
    from tests.support.synthetic_results import write_results
    from training_maps.analysis.semantics.outcomes import read_outcome
    from training_maps.utils.files import read_json, write_json

    write_results(tmp_path, 8, 3)
    file = tmp_path / "regression.json"
    outcome = read_outcome(file, tmp_path / "outcomes.csv")
    assert outcome is not None
    assert outcome.is_time
    assert sorted(outcome.per_run["seed"]) == list(range(8))
    write_json(read_json(file) | {"outcome": None}, file)
    assert read_outcome(file, tmp_path / "outcomes.csv") is None
    write_json({"outcome": {}}, file)
    with pytest.raises(InputError, match="does not say what the outcome is"):
        read_outcome(file, tmp_path / "outcomes.csv")
