"""Simulated sets of runs are what they say: the benchmark of claims and its tests rest on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.support.simulated_training import CHAINS, DRIFTS, FORKS, KINDS, SimulatedRuns
from tests.support.simulated_training.runs import METRICS, THRESHOLD
from training_maps.analysis.semantics.outcomes import convergence_times
from training_maps.hmm.observations import observations
from training_maps.metrics.definitions import METRIC_COLUMNS

N_RUNS = 20


@pytest.fixture(scope="module")
def simulated() -> dict[str, SimulatedRuns]:
    return {name: kind(N_RUNS, 3) for name, kind in KINDS.items()}


def z_scores(runs: SimulatedRuns) -> np.ndarray:
    """All runs' z-scored metrics, (runs, checkpoints, d)."""
    return observations(runs.tables).sequences()[0].reshape(len(runs.tables), -1, len(METRICS))


def true_states(runs: SimulatedRuns) -> np.ndarray:
    """True states, (runs, checkpoints)."""
    assert runs.truth.paths is not None
    return runs.truth.paths["state"].to_numpy().reshape(len(runs.tables), -1)


def routes(runs: SimulatedRuns) -> list[tuple[int, ...]]:
    """The states of each run, in order."""
    return [tuple(dict.fromkeys(states)) for states in true_states(runs).tolist()]


def converged(runs: SimulatedRuns) -> np.ndarray:
    """The checkpoint at which each run converges."""
    return runs.truth.convergence["step"].to_numpy() // 10


def means_of_groups(runs: SimulatedRuns, state: int) -> tuple[float, float]:
    """Mean convergence of the runs that visit a state and of the others."""
    visits = np.array([state in route for route in routes(runs)])
    return float(converged(runs)[visits].mean()), float(converged(runs)[~visits].mean())


def test_metrics_are_the_papers() -> None:
    assert sorted(METRICS) == sorted(METRIC_COLUMNS)


@pytest.mark.parametrize("name", KINDS)
class TestEveryKind:
    def test_the_package_takes_its_tables(self, name: str, simulated: dict[str, SimulatedRuns]):
        obs = observations(simulated[name].tables)
        assert obs.metrics == METRICS
        assert obs.seeds == list(range(N_RUNS))
        assert {note.kind for note in obs.notes} == set()

    def test_metrics_are_positive_and_some_nearly_collinear(self, name, simulated):
        tables = simulated[name].tables.values()
        assert all((table[list(METRICS)] > 0).all(axis=None) for table in tables)
        least = [
            min(abs(table["l1"].corr(table["l1_over_l2"])), abs(table["l2"].corr(table["var_w"])))
            for table in tables
        ]
        assert np.median(least) > 0.95

    def test_runs_converge_when_the_truth_says(self, name, simulated):
        runs = simulated[name]
        found = convergence_times(runs.logs, THRESHOLD)
        assert found["converged"].all()
        pd.testing.assert_frame_equal(found[["seed", "step"]], runs.truth.convergence)
        assert converged(runs).std() > 1

    def test_the_same_seed_gives_the_same_runs(self, name, simulated):
        again, other = KINDS[name](N_RUNS, 3), KINDS[name](N_RUNS, 4)
        for seed in range(N_RUNS):
            pd.testing.assert_frame_equal(again.tables[seed], simulated[name].tables[seed])
            pd.testing.assert_frame_equal(again.logs[seed], simulated[name].logs[seed])
        assert not again.tables[0].equals(other.tables[0])

    def test_lengths_are_as_asked_for(self, name):
        runs = KINDS[name](4, 0, n_checkpoints=40)
        assert [len(table) for table in runs.tables.values()] == [40] * 4
        assert [len(log) for log in runs.logs.values()] == [40] * 4
        assert runs.truth.convergence["step"].max() < 400
        assert runs.truth.kind == name


class TestDrift:
    @pytest.mark.parametrize("name", [kind.__name__ for kind in DRIFTS])
    def test_there_is_no_state_but_of_noise(self, name, simulated):
        truth = simulated[name].truth
        assert truth.structure == "drift"
        assert not truth.forks
        assert (truth.paths is None) == (truth.n_states == 1) == (name != "noise_states")

    def test_noise_of_neighbours_is_correlated_where_it_says_so(self, simulated):
        """Second differences have a correlation of -2/3 for white noise, of nearly -1/2 here."""

        def correlation(name: str) -> float:
            bent = np.diff(z_scores(simulated[name]), 2, axis=1)
            return float(np.corrcoef(bent[:, 1:].ravel(), bent[:, :-1].ravel())[0, 1])

        assert correlation("drift_white") == pytest.approx(-2 / 3, abs=0.04)
        assert correlation("drift_correlated") == pytest.approx(-1 / 2, abs=0.04)

    def test_rates_differ_by_a_factor_of_three(self):
        times = converged(KINDS["drift_run_rates"](200, 0))
        assert times.max() / times.min() == pytest.approx(3, rel=0.1)
        # Few runs of the others differ by more than a half.
        low, high = np.quantile(converged(KINDS["drift_white"](200, 0)), [0.1, 0.9])
        assert high / low < 1.6

    def test_tails_are_heavy(self, simulated):
        def kurtosis(name: str) -> float:
            bent = np.diff(z_scores(simulated[name]), 2, axis=1)
            bent /= bent.std(axis=1, keepdims=True)
            return float((bent**4).mean())

        assert kurtosis("drift_white") < 4
        assert kurtosis("drift_heavy_tails") > 5

    def test_noise_changes_smoothly_or_abruptly(self, simulated):
        def sizes(name: str) -> np.ndarray:
            """Noise of each tenth of the runs."""
            bent = np.diff(z_scores(simulated[name]), 2, axis=1)[:, :90]
            return np.array([part.std() for part in np.split(bent, 9, axis=1)])

        ends = sizes("drift_changing_noise")[[0, -1]]
        assert max(ends) / min(ends) > 5
        runs = simulated["noise_states"]
        bent = np.diff(z_scores(runs), 2, axis=1)
        state = true_states(runs)[:, 1:-1]
        assert bent[state == 0].std() / bent[state == 1].std() == pytest.approx(5, rel=0.1)

    def test_the_pace_of_a_power_law_falls_over_two_orders_of_magnitude(self, simulated):
        steps = np.abs(np.diff(z_scores(simulated["drift_power_law"]), axis=1)).mean(axis=(0, 2))
        assert steps[0] / steps[-10:].mean() > 30

    def test_a_random_walk_leaves_its_curve_ever_more(self, simulated):
        """Runs are further apart late than early, by more than without a walk."""
        spread = {}
        for name in ("drift_random_walk", "drift_white"):
            runs = simulated[name]
            logs = np.log(np.stack([table["l1"] for table in runs.tables.values()]))
            spread[name] = logs[:, -10:].std(axis=0).mean() / logs[:, :5].std(axis=0).mean()
        assert spread["drift_random_walk"] > 1.5 * spread["drift_white"]


class TestStates:
    @pytest.mark.parametrize("name", [kind.__name__ for kind in (*CHAINS, *FORKS)])
    def test_runs_converge_as_they_enter_their_last_state(self, name, simulated):
        runs = simulated[name]
        states = true_states(runs)
        last = np.array([route[-1] for route in routes(runs)])
        entered = np.argmax(states == last[:, None], axis=1)
        np.testing.assert_array_equal(entered, converged(runs))
        assert runs.truth.coincident == {"generalisation"}
        assert runs.truth.n_states == states.max() + 1

    @pytest.mark.parametrize("name", [kind.__name__ for kind in CHAINS])
    def test_chains_are_linear(self, name, simulated):
        assert set(routes(simulated[name])) == {(0, 1, 2, 3)}
        assert set(routes(KINDS[name](N_RUNS, 2))) == {(0, 1, 2)}
        assert not simulated[name].truth.forks

    @pytest.mark.parametrize("name", [kind.__name__ for kind in FORKS])
    def test_half_of_the_runs_take_each_branch(self, name, simulated):
        ways = routes(simulated[name])
        assert sorted(ways.count(way) for way in set(ways)) == [N_RUNS // 2] * 2
        assert simulated[name].truth.forks

    def test_delays_cost_what_they_take_and_short_cuts_save_it(self):
        visitors, others = means_of_groups(KINDS["fork_delay"](200, 0), 1)
        assert visitors - others == pytest.approx(25, abs=4)
        visitors, others = means_of_groups(KINDS["short_cut"](200, 0), 1)
        assert others - visitors == pytest.approx(24, abs=4)
        for name in ("fork_equal", "stark_fork"):
            visitors, others = means_of_groups(KINDS[name](200, 0), 1)
            assert visitors - others == pytest.approx(0, abs=4)

    def test_plateaus_stand_still_and_other_states_move(self, simulated):
        """By how far a run goes from one half of a stay to the other, against its scatter."""

        def moved(name: str) -> float:
            runs = simulated[name]
            values, states = z_scores(runs), true_states(runs)
            ways = []
            for run, path in zip(values, states, strict=True):
                inside = run[path == 1]
                halves = np.array_split(inside, 2)
                within = np.mean([half.std(axis=0) for half in halves])
                ways.append(np.abs(halves[1].mean(axis=0) - halves[0].mean(axis=0)).mean() / within)
            return float(np.mean(ways))

        assert moved("chain_plateaus") < 0.8
        assert moved("chain_relaxing") > 1.2
        assert moved("chain_drifting") > 1.2

    def test_branches_of_a_stark_fork_are_further_apart(self, simulated):
        def apart(name: str) -> float:
            values, states = z_scores(simulated[name]), true_states(simulated[name])
            means = [values[states == state].mean(axis=0) for state in (1, 2)]
            return float(np.linalg.norm(means[0] - means[1]))

        assert apart("stark_fork") > apart("fork_equal")
