"""Convergence times, state shares and the regression, against plain loops and statsmodels."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from training_maps import cli
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import (
    convergence_times,
    detour_states,
    regress,
    state_shares,
)
from training_maps.result_tables import COEFFICIENT_COLUMNS
from training_maps.utils.errors import InputError


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    """Forests of a few trees: what they find is the business of test_alternatives."""
    monkeypatch.setattr("training_maps.analysis.semantics.nonlinear.N_TREES", 10)
    monkeypatch.setattr("training_maps.analysis.semantics.nonlinear.N_REPEATS", 1)


def log_of(accuracies, steps=None, epochs=None):
    steps = range(0, 10 * len(accuracies), 10) if steps is None else steps
    epochs = [step / 10 for step in steps] if epochs is None else epochs
    return pd.DataFrame({"step": steps, "epoch": epochs, "eval_accuracy": accuracies})


def paths_of(*runs):
    """State paths of runs given as lists of states; seeds 0, 1, ..., steps 0, 10, ..."""
    rows = [
        (seed, 10 * i, state) for seed, states in enumerate(runs) for i, state in enumerate(states)
    ]
    return pd.DataFrame(rows, columns=["seed", "step", "state"])


def times_of(fractions, converged=None):
    """Convergence times of seeds 0, 1, ... as an outcome."""
    n = len(fractions)
    table = pd.DataFrame(
        {
            "seed": range(n),
            "step": [round(1000 * f) for f in fractions],
            "epoch": [100.0 * f for f in fractions],
            "fraction": fractions,
            "converged": [True] * n if converged is None else converged,
        }
    )
    return time_outcome(table, "eval_accuracy", 0.9)


def random_shares(rng, n_runs, n_states):
    return pd.DataFrame(
        rng.dirichlet(np.ones(n_states), size=n_runs), columns=list(range(n_states))
    ).rename_axis(index="seed", columns="state")


class TestConvergenceTimes:
    def test_first_checkpoint_strictly_above_the_threshold(self):
        table = convergence_times({3: log_of([0.5, 0.9, 0.95, 0.2, 0.99])}, threshold=0.9)
        assert table.to_dict("records") == [
            {"seed": 3, "step": 20, "epoch": 2.0, "fraction": 0.5, "converged": True}
        ]

    def test_censored_run_counts_as_its_last_step(self):
        table = convergence_times({0: log_of([0.5, 0.9, 0.9])}, threshold=0.9)
        assert table.iloc[0].to_dict() == {
            "seed": 0,
            "step": 20,
            "epoch": 2.0,
            "fraction": 1.0,
            "converged": False,
        }

    def test_step_zero_counts(self):
        table = convergence_times({0: log_of([0.95, 0.1])}, threshold=0.9)
        assert (table["step"].item(), table["fraction"].item()) == (0, 0.0)
        assert table["converged"].item()

    def test_diverged_run_does_not_converge_after_its_nulls_began(self):
        logs = {
            0: log_of([0.1, np.nan, np.nan]),
            1: log_of(pd.array([0.1, 0.95, None], dtype="Float64")),
            2: log_of([None, None, None]),
        }
        table = convergence_times(logs, threshold=0.9)
        assert table["converged"].tolist() == [False, True, False]
        assert table["step"].tolist() == [20, 10, 20]
        assert not table.isna().any(axis=None)

    def test_rows_in_any_order_and_seeds_ascending(self):
        shuffled = log_of([0.1, 0.2, 0.95, 0.99]).iloc[[3, 1, 0, 2]]
        table = convergence_times({7: shuffled, 2: shuffled}, threshold=0.9)
        assert table["seed"].tolist() == [2, 7]
        assert table["step"].tolist() == [20, 20]

    def test_lone_initial_checkpoint_has_a_fraction(self):
        table = convergence_times({0: log_of([0.1]), 1: log_of([0.99])}, threshold=0.9)
        assert table["fraction"].tolist() == [1.0, 0.0]

    def test_other_column(self):
        log = log_of([0.0, 0.0]).assign(score=[1.0, 3.0])
        assert convergence_times({0: log}, 2.0, column="score")["step"].item() == 10

    @pytest.mark.parametrize(
        ("log", "words"),
        [
            (log_of([]), "seed 4 is empty"),
            (log_of([0.5]).drop(columns="epoch"), "seed 4 has no column epoch"),
            (log_of([0.5], steps=[np.nan], epochs=[0.0]), "seed 4 has a null step"),
            (log_of(["high"]), "seed 4: column eval_accuracy is not numeric"),
        ],
    )
    def test_broken_logs_are_refused_by_seed(self, log, words):
        with pytest.raises(InputError, match=words):
            convergence_times({4: log}, threshold=0.9)

    @given(
        st.lists(
            st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=12), min_size=1, max_size=5
        ),
        st.floats(0, 1),
    )
    @settings(max_examples=50, deadline=None)
    def test_equals_a_plain_loop(self, runs, threshold):
        logs = {seed: log_of([*map(float_or_nan, run)]) for seed, run in enumerate(runs)}
        table = convergence_times(logs, threshold).set_index("seed")
        for seed, run in enumerate(runs):
            hits = [i for i, value in enumerate(run) if value is not None and value > threshold]
            row = hits[0] if hits else len(run) - 1
            assert table.loc[seed, "converged"] == bool(hits)
            assert table.loc[seed, "step"] == 10 * row


def float_or_nan(value):
    return np.nan if value is None else value


class TestStateShares:
    def test_counts_by_hand(self):
        shares = state_shares(paths_of([0, 0, 2, 2], [0, 5, 5]))
        assert shares.columns.tolist() == [0, 2, 5]
        assert shares.loc[0].tolist() == [0.5, 0.5, 0]
        assert shares.loc[1].tolist() == pytest.approx([1 / 3, 0, 2 / 3])

    def test_rows_sum_to_one(self):
        rng = np.random.default_rng(0)
        shares = state_shares(paths_of(*(rng.integers(0, 6, size=n) for n in (1, 7, 50))))
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-15)

    def test_empty_or_wrong_tables_are_refused(self):
        with pytest.raises(InputError, match="empty"):
            state_shares(paths_of())
        with pytest.raises(InputError, match="lacks the column state"):
            state_shares(pd.DataFrame({"seed": [1]}))


class TestRegression:
    @pytest.mark.parametrize(("n_runs", "n_states"), [(40, 6), (9, 8), (12, 2)])
    def test_equals_statsmodels(self, n_runs, n_states):
        rng = np.random.default_rng(n_runs)
        shares = random_shares(rng, n_runs, n_states)
        outcome = shares.to_numpy() @ rng.normal(size=n_states) + rng.normal(0, 0.1, n_runs)
        result = regress(shares, times_of(outcome.tolist()))
        twin = sm.OLS(outcome, shares.to_numpy()).fit()
        assert twin.model.k_constant == 1  # statsmodels finds the implied intercept
        assert result.r_squared == pytest.approx(twin.rsquared, rel=1e-9)
        assert result.adjusted_r_squared == pytest.approx(twin.rsquared_adj, rel=1e-9)
        assert result.f_statistic == pytest.approx(twin.fvalue, rel=1e-9)
        assert result.p_value == pytest.approx(twin.f_pvalue, rel=1e-7)
        table = result.coefficients
        assert table["state"].tolist() == list(range(n_states))
        np.testing.assert_allclose(table["coefficient"], twin.params, rtol=1e-9)
        np.testing.assert_allclose(table["standard_error"], twin.bse, rtol=1e-9)
        np.testing.assert_allclose(table["p_value"], twin.pvalues, rtol=1e-7)

    def test_equals_a_model_with_intercept_and_one_state_less(self):
        rng = np.random.default_rng(1)
        shares = random_shares(rng, 30, 5)
        outcome = rng.normal(size=30)
        twin = sm.OLS(outcome, sm.add_constant(shares.to_numpy()[:, 1:])).fit()
        result = regress(shares, times_of(outcome.tolist()))
        assert result.r_squared == pytest.approx(twin.rsquared, rel=1e-9)
        assert result.p_value == pytest.approx(twin.f_pvalue, rel=1e-9)

    def test_runs_are_matched_by_seed_not_by_row(self):
        rng = np.random.default_rng(2)
        shares = random_shares(rng, 20, 3)
        times = times_of(rng.random(20).tolist())
        shuffled = times.per_run.sample(frac=1, random_state=0)
        extra = pd.concat([shuffled, shuffled.iloc[:1].assign(seed=99)])
        again = regress(shares, replace(times, per_run=extra))
        assert regress(shares, times).p_value == again.p_value
        with pytest.raises(InputError, match="no convergence time for seeds 3 and 5"):
            regress(shares, replace(times, per_run=times.per_run.drop(index=[3, 5])))

    def test_exact_fit_has_no_infinities(self):
        rng = np.random.default_rng(3)
        shares = random_shares(rng, 20, 3)
        outcome = (shares.to_numpy() @ [0.2, 0.9, 0.0]).tolist()
        result = regress(shares, times_of(outcome))
        assert (result.r_squared, result.f_statistic, result.p_value) == (1.0, None, 0.0)
        assert result.significant
        np.testing.assert_allclose(result.coefficients["coefficient"], [0.2, 0.9, 0], atol=1e-12)
        assert result.coefficients["p_value"].tolist() == [0, 0, 1]
        assert "fits exactly" in result.notes[0].text
        json.dumps(result.to_dict(), allow_nan=False)

    def test_pure_noise_is_significant_as_often_as_its_level_says(self):
        rng = np.random.default_rng(4)
        hits = sum(
            regress(
                random_shares(rng, 15, 4),
                times_of(rng.normal(size=15).tolist()),
                significance=0.1,
                n_resamples=10,
                alternatives=False,
            ).significant
            for _ in range(200)
        )
        # Binomial(200, 0.1): mean 20, standard deviation 4.2.
        assert 8 <= hits <= 32

    def test_few_runs_for_the_states_are_noted(self):
        """With what R² is of noise: brute force over noise."""
        rng = np.random.default_rng(5)
        shares = random_shares(rng, 8, 5)
        outcomes = rng.normal(size=(2000, 8))
        of_noise = [sm.OLS(outcome, shares.to_numpy()).fit().rsquared for outcome in outcomes]
        result = regress(shares, times_of(outcomes[0].tolist()), n_resamples=10)
        told = result.notes[-1].text
        assert told.startswith(
            "8 runs are few for 5 states: R² is 0.57 on average even of outcomes"
        )
        assert np.mean(of_noise) == pytest.approx(0.57, abs=0.02)  # its standard error is 0.005
        many = random_shares(rng, 40, 5)
        assert not regress(many, times_of(rng.random(40).tolist()), n_resamples=10).notes


class TestDependentShares:
    def test_state_with_a_constant_share_is_left_out(self):
        rng = np.random.default_rng(5)
        rest = rng.dirichlet(np.ones(3), size=25) * 0.99
        shares = pd.DataFrame(np.column_stack([np.full(25, 0.01), rest]), columns=[0, 1, 2, 3])
        outcome = rest @ [0.1, 0.4, 0.8] + rng.normal(0, 0.05, 25)
        result = regress(shares.rename_axis("seed"), times_of(outcome.tolist()))
        twin = sm.OLS(outcome, rest).fit()
        assert result.coefficients["state"].tolist() == [1, 2, 3]
        np.testing.assert_allclose(result.coefficients["coefficient"], twin.params, rtol=1e-9)
        np.testing.assert_allclose(result.coefficients["standard_error"], twin.bse, rtol=1e-9)
        assert result.r_squared == pytest.approx(twin.rsquared)
        assert result.p_value == pytest.approx(twin.f_pvalue)
        assert "same share of its checkpoints in state 0" in result.notes[0].text

    def test_proportional_states_get_no_coefficients_but_the_others_do(self):
        """States 2 and 4 are visited by one run only: their effects cannot be told apart."""
        rng = np.random.default_rng(6)
        shares = np.zeros((20, 5))
        shares[:, [0, 1, 3]] = rng.dirichlet(np.ones(3), size=20)
        shares[7] = [0.2, 0.1, 0.3, 0.25, 0.15]
        outcome = shares @ rng.normal(size=5) + rng.normal(0, 0.05, 20)
        frame = pd.DataFrame(shares).rename_axis("seed")
        result = regress(frame, times_of(outcome.tolist()))
        merged = np.column_stack(
            [shares[:, 0], shares[:, 1], shares[:, 3], shares[:, [2, 4]].sum(1)]
        )
        twin = sm.OLS(outcome, merged).fit()
        assert result.coefficients["state"].tolist() == [0, 1, 3]
        np.testing.assert_allclose(result.coefficients["coefficient"], twin.params[:3], rtol=1e-9)
        np.testing.assert_allclose(result.coefficients["standard_error"], twin.bse[:3], rtol=1e-9)
        assert result.r_squared == pytest.approx(twin.rsquared)
        assert result.f_statistic == pytest.approx(twin.fvalue)
        assert result.p_value == pytest.approx(twin.f_pvalue)
        assert result.reason is None
        assert "states 2 and 4 are linearly dependent" in result.notes[0].text


class TestNoRegression:
    def check(self, result, words):
        assert words in result.reason
        assert list(result.coefficients) == list(COEFFICIENT_COLUMNS)
        assert result.coefficients.empty
        numbers = ("r_squared", "adjusted_r_squared", "f_statistic", "p_value")
        assert [result.to_dict()[name] for name in numbers] == [None] * 4
        assert not result.significant
        assert result.detour_states == ()
        json.dumps(result.to_dict(), allow_nan=False)

    def test_no_run_converges(self):
        shares = random_shares(np.random.default_rng(0), 10, 3)
        self.check(regress(shares, times_of([1.0] * 10, [False] * 10)), "No run converges")

    def test_all_converge_at_once(self):
        shares = random_shares(np.random.default_rng(0), 10, 3)
        self.check(regress(shares, times_of([0.3] * 10)), "same fraction")

    @pytest.mark.parametrize("n_runs", [2, 3])
    def test_no_more_runs_than_states(self, n_runs):
        shares = random_shares(np.random.default_rng(0), n_runs, 3)
        result = regress(shares, times_of([0.1, 0.2, 0.3][:n_runs]))
        self.check(result, f"{n_runs} runs are too few for 3 states")

    def test_one_state(self):
        shares = state_shares(paths_of([4, 4], [4, 4, 4], [4]))
        self.check(regress(shares, times_of([0.1, 0.2, 0.3])), "Every run stays in state 4")

    def test_all_runs_alike(self):
        shares = state_shares(paths_of(*[[0, 0, 1, 2]] * 8))
        result = regress(shares, times_of([i / 10 for i in range(8)]))
        self.check(result, "same share of its time in each state")


class TestDetours:
    def forked(self, slow=True):
        """Ten runs go 0-2, ten 0-1-2; time in state 1 delays the second ten if `slow`."""
        rng = np.random.default_rng(7)
        runs, fractions = [], []
        for run in range(20):
            start = int(rng.integers(8, 16))
            detour = int(rng.integers(10, 40)) if run >= 10 else 0
            runs.append([0] * start + [1] * detour + [2] * (100 - start - detour))
            delay = detour if slow else 2 * detour * rng.choice([-0.1, 0.1])
            fractions.append((start + delay + rng.normal(0, 0.5)) / 100)
        return paths_of(*runs), fractions

    def test_a_planted_detour_is_found(self):
        paths, fractions = self.forked()
        result = regress(state_shares(paths), times_of(fractions))
        assert result.detour_states == (1,)
        table = result.coefficients.set_index("state")
        assert table["is_detour"].to_dict() == {0: False, 1: True, 2: False}
        assert table["n_runs_visiting"].to_dict() == {0: 20, 1: 10, 2: 20}

    def test_no_detour_without_significance(self):
        paths, fractions = self.forked()
        result = regress(state_shares(paths), times_of(fractions), significance=1e-80)
        assert not result.significant
        assert result.detour_states == ()
        assert not result.coefficients["is_detour"].any()

    def test_no_detour_on_a_linear_map(self):
        rng = np.random.default_rng(8)
        lengths = rng.integers(10, 40, size=(20, 2))
        runs = [[0] * a + [1] * b + [2] * (100 - a - b) for a, b in lengths]
        result = regress(state_shares(paths_of(*runs)), times_of((lengths.sum(1) / 100).tolist()))
        assert result.significant
        assert result.coefficients.set_index("state").loc[1, "coefficient"] > 0
        assert result.detour_states == ()

    def test_avoided_by_censored_runs_only_is_no_detour(self):
        paths, fractions = self.forked()
        converged = [run >= 10 for run in range(20)]
        result = regress(state_shares(paths), times_of(fractions, converged))
        assert result.significant
        assert result.detour_states == ()
        assert "10 of 20 runs do not converge" in result.notes[0].text
        converged[0] = True
        assert regress(state_shares(paths), times_of(fractions, converged)).detour_states == (1,)

    def test_negative_coefficient_is_a_shortcut_not_a_detour(self):
        shares = state_shares(paths_of([0, 1], [0, 0], [0, 2]))
        assert detour_states({0: -1.0, 1: -0.5, 2: 0.5}, shares, [0, 1, 2]) == [2]
        assert detour_states({0: 1.0, 1: 0.5, 2: 0.5}, shares, [0]) == [2]


class TestCommand:
    def write(self, folder, n_runs=12):
        rng = np.random.default_rng(9)
        runs = [[0] * k + [1] * (20 - k) for k in rng.integers(3, 15, size=n_runs)]
        paths_of(*runs).to_csv(folder / "state_paths.csv", index=False)
        for seed, states in enumerate(runs):
            target = folder / "runs" / f"seed-{seed}"
            target.mkdir(parents=True)
            accuracies = [0.5 if state == 0 else 0.95 for state in states]
            if seed == 0:
                accuracies = [0.5] * 20
            log_of(accuracies).to_parquet(target / "training_log.parquet")
        return runs

    def arguments(self, folder, **changes):
        options = {
            "state-paths": folder / "state_paths.csv",
            "runs": folder / "runs",
            "threshold": 0.9,
            "convergence": folder / "convergence.csv",
            "outcomes": folder / "outcomes.csv",
            "coefficients": folder / "coefficients.csv",
            "delays": folder / "delays.csv",
            "regression": folder / "regression.json",
        } | changes
        return ["semantics", *(f"--{name}={value}" for name, value in options.items())]

    def test_writes_four_whole_files(self, tmp_path):
        runs = self.write(tmp_path)
        assert cli.main(self.arguments(tmp_path)) == 0
        convergence = pd.read_csv(tmp_path / "convergence.csv")
        assert list(convergence) == ["seed", "step", "epoch", "fraction", "converged"]
        assert convergence["step"].tolist()[1:] == [10 * run.count(0) for run in runs[1:]]
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert (regression["n_runs"], regression["n_converged"]) == (12, 11)
        assert regression["threshold"] == 0.9
        assert regression["made_by"]["column"] == "eval_accuracy"
        coefficients = pd.read_csv(tmp_path / "coefficients.csv")
        assert list(coefficients) == list(COEFFICIENT_COLUMNS)
        assert coefficients["state"].tolist() == [0, 1]

    def test_runs_that_end_early_are_noted(self, tmp_path):
        self.write(tmp_path)
        cli.main(self.arguments(tmp_path))
        assert not json.loads((tmp_path / "regression.json").read_text())["notes"][1:]
        log = tmp_path / "runs" / "seed-3" / "training_log.parquet"
        pd.read_parquet(log).iloc[:-2].to_parquet(log)
        assert cli.main(self.arguments(tmp_path)) == 0
        notes = json.loads((tmp_path / "regression.json").read_text())["notes"]
        assert notes[-1]["text"].startswith(
            "Runs end between step 170 and 190: shares are of each run's"
        )

    def test_impossible_threshold_leaves_a_header_and_a_reason(self, tmp_path):
        self.write(tmp_path)
        assert cli.main(self.arguments(tmp_path, threshold=1.5)) == 0
        header = (tmp_path / "coefficients.csv").read_text().splitlines()
        assert header == [",".join(COEFFICIENT_COLUMNS)]
        regression = json.loads((tmp_path / "regression.json").read_text())
        assert "No run converges" in regression["reason"]
        assert regression["r_squared"] is None

    def test_broken_input_is_named(self, tmp_path, capsys):
        self.write(tmp_path)
        log = tmp_path / "runs" / "seed-5" / "training_log.parquet"
        log_of([]).to_parquet(log)
        assert cli.main(self.arguments(tmp_path)) == 1
        assert cli.main(self.arguments(tmp_path, column="score")) == 1
        log.unlink()
        assert cli.main(self.arguments(tmp_path)) == 1
        assert cli.main(self.arguments(tmp_path, threshold="nan")) == 1
        assert cli.main(self.arguments(tmp_path, significance=0)) == 1
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 5
        assert f"seed 5: {log} has no rows" in errors[0]
        assert "seed 0" in errors[1]
        assert "no column score" in errors[1]
        assert f"seed 5: {log}: cannot be read" in errors[2]
        assert "--threshold must be a finite number" in errors[3]
        assert "--significance must be more than 0 and at most 1" in errors[4]
        assert not (tmp_path / "regression.json").exists()
