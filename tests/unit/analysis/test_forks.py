"""Forks of chains that are planted, and the permutation test against brute force and SciPy."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.support.known_chains import paths_of, run_of
from training_maps import cli
from training_maps.analysis.forks import explain_forks, find_forks
from training_maps.stats.mean_interval import mean_interval
from training_maps.utils.files import write_table


def times_of(steps, converged=None, **columns):
    converged = [True] * len(steps) if converged is None else converged
    return pd.DataFrame(
        {"seed": range(len(steps)), "step": steps, "converged": converged, **columns}
    )


def branches(fork):
    return {branch.to: branch.seeds for branch in fork.branches}


class TestWhere:
    def test_a_fork_and_its_split(self):
        (fork,) = find_forks(paths_of([0, 1, 2, 5], [0, 2, 5], [0, 1, 2, 5], [0, 1, 1, 2]))
        assert fork.state == 0
        assert branches(fork) == {1: (0, 2, 3), 2: (1,)}
        assert [branch.n_runs for branch in fork.branches] == [3, 1]
        assert [branch.share for branch in fork.branches] == [0.75, 0.25]
        assert fork.seeds_ending == ()

    def test_three_ways_most_taken_first(self):
        (fork,) = find_forks(paths_of([0, 3], [0, 1], [0, 2], [0, 2]))
        assert [branch.to for branch in fork.branches] == [2, 1, 3]

    def test_returns_make_no_fork(self):
        assert find_forks(paths_of([0, 1, 0, 1, 2], [0, 1, 2], [0, 1, 2, 0, 2])) == ()

    def test_the_papers_way_back(self):
        """3-1-3-2 and 3-2: a fork at 3, none at 1, though arrows lead from 3 to both."""
        (fork,) = find_forks(paths_of([3, 1, 3, 2], [3, 2], [3, 1, 3, 2]))
        assert fork.state == 3
        assert branches(fork) == {1: (0, 2), 2: (1,)}

    def test_ends_make_no_fork_but_are_told(self):
        assert find_forks(paths_of([0, 1, 2], [0, 1], [0])) == ()
        (fork,) = find_forks(paths_of([0, 1], [0, 2], [0], [0, 0]))
        assert fork.seeds_ending == (2, 3)
        assert [branch.share for branch in fork.branches] == [0.5, 0.5]

    def test_different_beginnings_are_no_fork(self):
        """Runs that begin in different states were never in one place."""
        assert find_forks(paths_of([0, 2], [1, 2])) == ()

    @given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_equals_a_plain_loop_in_any_order_of_rows(self, runs):
        ways = [list(dict.fromkeys(run)) for run in runs]
        expected = {}
        for state in range(4):
            taken = {}
            for seed, way in enumerate(ways):
                if state in way[:-1]:
                    taken.setdefault(way[way.index(state) + 1], []).append(seed)
            if len(taken) > 1:
                expected[state] = {to: tuple(seeds) for to, seeds in taken.items()}
        found = find_forks(paths_of(*runs).sample(frac=1, random_state=1))
        assert {fork.state: branches(fork) for fork in found} == expected


class TestWhetherItMatters:
    paths = paths_of(*[[0, 1, 3]] * 6, *[[0, 2, 3]] * 6)

    def test_means_intervals_and_verdict(self):
        steps = [10, 12, 14, 11, 13, 12, 30, 34, 28, 31, 33, 36]
        found = explain_forks(self.paths, times_of(steps, epoch=np.array(steps) / 4))
        (fork,) = found.forks
        left, right = fork.branches
        assert (left.mean_step, right.mean_step) == (12, 32)
        # Symmetric but for rounding: Student's t.
        theirs = stats.ttest_1samp(steps[:6], 0).confidence_interval(0.95)
        assert left.interval_step == pytest.approx((theirs.low, theirs.high))
        assert right.interval_step == mean_interval(np.array(steps[6:], dtype=float))
        assert left.mean_epoch == 3
        assert left.interval_epoch == pytest.approx((theirs.low / 4, theirs.high / 4))
        assert fork.test.f == pytest.approx(stats.f_oneway(steps[:6], steps[6:]).statistic)
        assert fork.test.p_value == pytest.approx(2 / 924)
        assert fork.p_value_adjusted == fork.test.p_value
        assert fork.predicts_convergence
        assert "6 runs to state 1 (mean convergence at epoch 3, 95 % interval" in fork.sentence
        assert "The branch predicts when" in fork.sentence

    def test_no_effect(self):
        steps = [10, 30, 14, 31, 13, 32, 12, 34, 11, 28, 33, 12]
        (fork,) = explain_forks(self.paths, times_of(steps)).forks
        assert fork.predicts_convergence is False
        assert fork.branches[0].mean_epoch is None
        assert "is not seen to predict" in fork.sentence

    def test_several_forks_are_corrected_for(self):
        """The second fork's p-value is doubled if the first has the smaller one, and so on."""
        runs = [[0, 1, 3, 4], [0, 1, 3, 5], [0, 2, 3, 4], [0, 2, 3, 5]] * 3
        steps = [10, 11, 20, 22, 10.5, 12, 21, 22.5, 9, 11, 19, 23]
        found = explain_forks(paths_of(*runs), times_of(steps))
        raw = [fork.test.p_value for fork in found.forks]
        assert [fork.state for fork in found.forks] == [0, 3]
        adjusted = [fork.p_value_adjusted for fork in found.forks]
        assert adjusted == pytest.approx(multipletests(raw, method="holm")[1])
        assert adjusted[0] == pytest.approx(2 * raw[0])
        assert [fork.predicts_convergence for fork in found.forks] == [True, False]

    def test_censored_runs_count_as_their_last_step_and_are_told(self):
        steps = [10, 12, 14, 11, 13, 12, 99, 34, 99, 31, 33, 36]
        found = explain_forks(self.paths, times_of(steps, [s != 99 for s in steps]))
        (fork,) = found.forks
        assert [branch.n_converged for branch in fork.branches] == [6, 4]
        assert fork.branches[1].mean_step == np.mean(steps[6:])
        (note,) = found.notes
        assert note.text.startswith("2 runs (seeds 6,8) that never converge count as the last step")

    def test_branches_taken_after_convergence_are_told(self):
        paths = paths_of(*[[0] * 20 + [1]] * 6, *[[0] * 20 + [2]] * 6)
        found = explain_forks(paths, times_of([5, 6, 7, 5, 6, 7, 15, 16, 17, 15, 30, 20]))
        (fork,) = found.forks
        # Entered at step 20: the run that converges then does so with it, not before.
        assert [branch.n_converged_before for branch in fork.branches] == [6, 4]
        assert any(
            "10 of the 12 runs that go on from state 0 had converged" in n.text for n in found.notes
        )

    def test_few_runs_cannot_be_significant_and_it_is_told(self):
        found = explain_forks(paths_of([0, 1], [0, 2], [0, 2]), times_of([1, 8, 9]))
        assert found.forks[0].predicts_convergence is False
        assert any("could not be below 0.33" in note.text for note in found.notes)

    @pytest.mark.parametrize(
        ("times", "reason"),
        [
            (None, "not known"),
            (times_of([]), "not known"),
            (times_of([3] * 6), "of one branch at most"),
            (times_of([3] * 12), "at the same step"),
            (times_of(range(12), [False] * 12), "None of these runs converges"),
        ],
    )
    def test_without_a_test_the_reason_is_told(self, times, reason):
        (fork,) = explain_forks(self.paths, times).forks
        assert fork.test is None
        assert fork.predicts_convergence is None
        assert reason in fork.reason
        assert fork.sentence.endswith(fork.reason)
        assert [branch.n_runs for branch in fork.branches] == [6, 6]

    def test_branches_of_fewer_than_three_runs_have_no_interval(self):
        paths = paths_of(*[[0, 1, 3]] * 3, *[[0, 2, 3]] * 2)
        (fork,) = explain_forks(paths, times_of([10, 12, 15, 30, 34])).forks
        three, two = fork.branches
        assert three.interval_step is not None
        assert two.mean_step == 32
        assert two.interval_step is None
        assert "to state 2 (mean convergence at step 32)" in fork.sentence

    def test_long_times_are_told_in_full(self):
        paths = paths_of(*[[0, 1, 3]] * 2, *[[0, 2, 3]] * 2)
        (fork,) = explain_forks(paths, times_of([57_900, 57_920, 1.25, 1.5])).forks
        assert "to state 1 (mean convergence at step 57,910)" in fork.sentence
        assert "to state 2 (mean convergence at step 1.375)" in fork.sentence


class TestCommand:
    def write(self, folder, effect=30):
        runs = [run_of(0, 1, 3), run_of(0, 2, 3)] * 6
        write_table(paths_of(*runs), folder / "state_paths.csv")
        rng = np.random.default_rng(0)
        steps = (10 + rng.integers(0, 8, 12) + effect * (np.arange(12) % 2)).tolist()
        write_table(times_of(steps, epoch=np.array(steps) / 2), folder / "convergence.csv")
        log = pd.DataFrame({"step": range(0, 20, 2), "epoch": np.arange(10) / 2})
        write_table(log, folder / "runs" / "seed-3" / "training_log.parquet")

    def arguments(self, folder, *more):
        return [
            "forks",
            f"--state-paths={folder}/state_paths.csv",
            f"--output={folder}/forks.json",
            f"--run-paths={folder}/run_paths.csv",
            *more,
        ]

    def test_writes_forks_and_times(self, tmp_path, capsys):
        self.write(tmp_path)
        more = [f"--convergence={tmp_path}/convergence.csv", f"--runs={tmp_path}/runs"]
        assert cli.main(self.arguments(tmp_path, *more)) == 0
        data = json.loads((tmp_path / "forks.json").read_text())
        assert data["n_runs"] == 12
        (fork,) = data["forks"]
        assert fork["state"] == 0
        assert fork["predicts_convergence"] is True
        assert fork["test"]["exact"] is True
        assert fork["branches"][0]["seeds"] == [0, 2, 4, 6, 8, 10]
        assert fork["sentence"] in capsys.readouterr().err
        assert data["made_by"]["permutations"] == 9999
        table = pd.read_csv(tmp_path / "run_paths.csv")
        assert table[table["seed"] == 3]["epoch"].tolist() == [0.0, 1.5, 3.0]
        assert table[table["seed"] == 2]["epoch"].isna().all()

    def test_without_convergence_and_logs(self, tmp_path):
        self.write(tmp_path)
        assert cli.main(self.arguments(tmp_path)) == 0
        (fork,) = json.loads((tmp_path / "forks.json").read_text())["forks"]
        assert fork["test"] is None
        assert "not known" in fork["reason"]

    @pytest.mark.parametrize(
        ("option", "words"),
        [
            ("--significance=1", "--significance must be more than 0 and less than 1, got 1.0"),
            ("--permutations=0", "--permutations must be at least 1"),
            ("--convergence=missing.csv", "missing.csv"),
        ],
    )
    def test_bad_input(self, tmp_path, capsys, option, words):
        self.write(tmp_path)
        assert cli.main(self.arguments(tmp_path, option)) == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / "forks.json").exists()
