"""Phases of runs with known change points, and what they are said to go with."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.unit.analysis.phases.test_curves import rise
from training_maps import cli
from training_maps.analysis.phases.curves import Rule
from training_maps.analysis.phases.transitions import find_phase_transitions
from training_maps.result_tables import PHASE_COLUMNS
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_table

N = 100


def log_of(memorised, generalised, seed=0, noise=True, n=N, **columns):
    """A training log of a run that memorises and generalises at known checkpoints, or never."""
    rng = np.random.default_rng(seed)
    log = {"step": 10 * np.arange(n), "epoch": np.arange(n) / 2}
    for name, middle, size in (("train", memorised, 900), ("eval", generalised, 100)):
        p = 0.5 + 0.5 * (np.zeros(n) if middle is None else rise(n, middle, width=3))
        log[f"{name}_accuracy"] = rng.binomial(size, p) / size if noise else p
        log[f"{name}_loss"] = 0.05 + 2 * (1 - p)
    return pd.DataFrame(log | columns)


def paths_of(routes, n=N):
    """State paths from (state, first checkpoint) pairs."""
    tables = []
    for seed, route in routes.items():
        states = np.zeros(n, dtype=int)
        for state, begin in route:
            states[begin:] = state
        tables.append(pd.DataFrame({"seed": seed, "step": 10 * np.arange(n), "state": states}))
    return pd.concat(tables, ignore_index=True)


MIDDLES = dict(enumerate([30, 34, 38, 42, 46, 50, 54, 58, 62, 66]))


class TestRuns:
    def planted(self, late=0):
        """Runs that memorise at checkpoint 12 and generalise as they go from state 1 to 2."""
        logs = {s: log_of(12, m, seed=s) for s, m in MIDDLES.items()}
        routes = {s: [(1, 20), (2, m + late)] for s, m in MIDDLES.items()}
        return paths_of(routes), logs

    def test_finds_the_planted_times(self):
        found = find_phase_transitions(*self.planted())
        assert list(found.table) == list(PHASE_COLUMNS)
        table = found.table.set_index(["phase", "seed"])
        for seed, middle in MIDDLES.items():
            row = table.loc[("generalisation", seed)]
            assert row["status"] == "found"
            assert row["column"] == "eval_accuracy"
            assert abs(row["step"] - 10 * middle) <= 10
            assert row["epoch"] == row["step"] / 20
            assert row["onset_step"] <= row["step"] <= row["completion_step"]
            assert row["transition"] == "1-2"
            assert (row["state_before"], row["state_after"]) == (1, 2)
            assert row["entered_step"] == 10 * middle
            row = table.loc[("memorisation", seed)]
            assert abs(row["step"] - 120) <= 10
            assert row["state"] == 0
            assert pd.isna(row["transition"])
        assert found.summary["order"]["memorisation first"] == 10

    def test_finds_what_goes_with_generalisation(self):
        phases = find_phase_transitions(*self.planted()).summary["phases"]
        of_all = phases["generalisation"]["coincidences"]
        (edge,) = [c for c in of_all if c["transition"] == [1, 2]]
        assert edge["n_runs"] == 10
        # Seven of a hundred checkpoints are within three of the entry.
        assert edge["expected_at_random"] == pytest.approx(0.7)
        assert edge["p_value"] < 0.001
        assert edge["p_value_at_random"] < 1e-9
        # The times of others are 4, 8, ... checkpoints off: next to none fits.
        assert edge["expected_of_other_runs"] < 1
        assert phases["generalisation"]["sentence"] == (
            "Generalisation is found in 10 of 10 runs. In 10 of them it comes within 3 checkpoints "
            "of the transition from state 1 to 2, and in "
            f"{edge['expected_of_other_runs']:.1f} at the times of the other runs (p < 0.001)."
        )
        assert phases["generalisation"]["goes_with"] == [1, 2]
        assert phases["memorisation"]["goes_with"] is None
        assert "No transition goes with it beyond chance" in phases["memorisation"]["sentence"]
        assert "in state 0 in 10 of them" in phases["memorisation"]["sentence"]

    def test_what_is_beyond_the_tolerance_does_not_coincide(self):
        summary = find_phase_transitions(*self.planted(late=8)).summary
        of_all = summary["phases"]["generalisation"]["coincidences"]
        assert [c["n_runs"] for c in of_all if c["transition"] == [1, 2]] == [0]
        summary = find_phase_transitions(*self.planted(late=8), tolerance=9).summary
        of_all = summary["phases"]["generalisation"]["coincidences"]
        assert [c["n_runs"] for c in of_all if c["transition"] == [1, 2]] == [10]

    def test_runs_that_all_do_the_same_at_the_same_time(self):
        """Coincidence beyond random times, but the times of other runs fit as well."""
        logs = {s: log_of(10, 40, seed=s) for s in range(8)}
        paths = paths_of({s: [(1, 40)] for s in range(8)})
        summary = find_phase_transitions(paths, logs).summary
        (edge,) = [
            c for c in summary["phases"]["generalisation"]["coincidences"] if c["transition"]
        ]
        assert edge["n_runs"] == edge["expected_of_other_runs"] == 8
        phase = summary["phases"]["generalisation"]
        assert (phase["goes_with"], phase["at_same_times"]) == (None, True)
        assert phase["sentence"] == (
            "Generalisation is found in 8 of 8 runs. In 8 of them it comes within 3 checkpoints of "
            "the transition from state 0 to 1. All runs do both at about the same time, so these "
            "runs cannot tell whether the two belong together."
        )

    def test_orders(self):
        logs = {
            0: log_of(10, 60), 1: log_of(30, 31), 2: log_of(70, 20), 3: log_of(10, None),
            4: log_of(None, 50), 5: log_of(None, None), 6: log_of(10, 60),
        }  # fmt: skip
        del logs[6]["eval_accuracy"], logs[6]["eval_loss"]
        found = find_phase_transitions(paths_of({s: [] for s in range(8)}), logs, Rule(chance=0.5))
        assert found.summary["order"] == {
            "memorisation first": 1, "together": 1, "generalisation first": 1,
            "only memorisation": 1, "only generalisation": 1, "neither": 1, "not known": 2,
        }  # fmt: skip
        status = found.table.set_index(["phase", "seed"])["status"]
        assert status["generalisation", 3] == "not reached"
        assert status["generalisation", 6] == status["memorisation", 7] == "no log"
        assert any(
            note["text"]
            == "Generalisation does not happen by the end of the run in 2 of 8 runs (seeds 3,5)."
            for note in found.summary["notes"]
        )

    def test_from_the_start(self):
        logs = {0: log_of(10, -5, noise=False), 1: log_of(10, 60, noise=False)}
        found = find_phase_transitions(paths_of({0: [], 1: []}), logs, Rule(chance=0.5))
        row = found.table[found.table["phase"] == "generalisation"].iloc[0]
        assert row["status"] == "from the start"
        assert pd.isna(row["step"])
        assert found.summary["order"]["generalisation first"] == 1

    def test_losses_where_there_is_no_accuracy(self):
        paths, logs = self.planted()
        for log in logs.values():
            log["eval_accuracy"] = np.nan
            del log["train_accuracy"]
        found = find_phase_transitions(paths, logs)
        table = found.table.set_index(["phase", "seed"])
        for seed, middle in MIDDLES.items():
            row = table.loc[("generalisation", seed)]
            assert row["column"] == "eval_loss"
            # Halfway down in logarithms: later than halfway down, by a checkpoint or two.
            assert 10 * middle <= row["step"] <= 10 * middle + 20
        notes = [note["text"] for note in found.summary["notes"]]
        assert any("told by the loss in 10 of 10 runs" in note for note in notes)

    def test_nobody_generalises(self):
        logs = {s: log_of(10, None, seed=s) for s in range(6)}
        found = find_phase_transitions(paths_of({s: [(1, 9)] for s in range(6)}), logs)
        phase = found.summary["phases"]["generalisation"]
        assert phase["status"] == {"not reached": 6}
        assert phase["plateau"] is None
        assert phase["coincidences"] == []
        assert phase["median_step"] is None
        assert phase["sentence"] == "Generalisation is found in 0 of 6 runs."

    def test_no_logs(self):
        found = find_phase_transitions(paths_of({0: [], 1: []}), {})
        assert found.summary["reason"] == "There are no training logs, which phases are found in."
        assert set(found.table["status"]) == {"no log"}
        assert found.table["step"].isna().all()
        json.dumps(found.summary, allow_nan=False)

    def test_paths_that_end_before_the_phase(self):
        """Only the first 30 checkpoints have states; the run generalises at 60."""
        paths = paths_of({0: [(1, 20)], 1: [(1, 20)]})
        paths = paths[paths["step"] < 300]
        found = find_phase_transitions(paths, {0: log_of(10, 60), 1: log_of(10, 25, seed=1)})
        row = found.table[found.table["phase"] == "generalisation"].iloc[0]
        assert row["status"] == "found"
        assert pd.isna(row["state"])
        assert any("after the last checkpoint whose state is known in 1 of 2" in note["text"]
                   for note in found.summary["notes"])  # fmt: skip

    def test_paths_with_fewer_checkpoints_than_the_log(self):
        """A log of every step and states of every tenth: the last checkpoint before counts."""
        log = log_of(30, 64, n=200, noise=False)
        log["step"] = np.arange(200)
        table = pd.DataFrame({"seed": 0, "step": range(0, 200, 10), "state": [0] * 7 + [1] * 13})
        found = find_phase_transitions(table, {0: log}, tolerance=1)
        row = found.table[found.table["phase"] == "generalisation"].iloc[0]
        assert row["step"] == 64
        assert row["state"] == 0  # that of step 60; state 1 is entered at step 70
        assert row["transition"] == "0-1"
        assert row["entered_step"] == 70

    def test_text_is_refused(self):
        log = log_of(10, 20)
        log["eval_accuracy"] = "high"
        with pytest.raises(InputError, match="seed 0: column eval_accuracy is not numeric"):
            find_phase_transitions(paths_of({0: []}), {0: log})


class TestCommand:
    def arguments(self, folder, *more):
        return [
            "phase_transitions",
            f"--state-paths={folder}/state_paths.csv",
            f"--output={folder}/phases.csv",
            f"--summary={folder}/phases.json",
            *more,
        ]

    def test_writes_table_and_summary(self, tmp_path, capsys):
        write_table(paths_of({s: [(1, 40)] for s in range(6)}), tmp_path / "state_paths.csv")
        for seed in range(6):
            path = tmp_path / "runs" / f"seed-{seed}" / "training_log.parquet"
            write_table(log_of(10, 40, seed=seed), path)
        assert cli.main(self.arguments(tmp_path, f"--runs={tmp_path}/runs")) == 0
        table = pd.read_csv(tmp_path / "phases.csv")
        assert list(table) == list(PHASE_COLUMNS)
        assert len(table) == 12
        assert "," not in (tmp_path / "phases.csv").read_text().splitlines()[1].split(",")[4]
        data = json.loads((tmp_path / "phases.json").read_text())
        assert data["phases"]["generalisation"]["n_found"] == 6
        assert data["made_by"]["tolerance"] == 3
        assert "Generalisation is found in 6 of 6 runs" in capsys.readouterr().err

    def test_without_logs(self, tmp_path, capsys):
        write_table(paths_of({0: []}), tmp_path / "state_paths.csv")
        assert cli.main(self.arguments(tmp_path)) == 0
        assert json.loads((tmp_path / "phases.json").read_text())["reason"]
        assert "There are no training logs" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("option", "words"),
        [
            ("--level=0.1", "--level must be more than 0.1"),
            ("--window=4", "--window must be at least 1 and odd, got 4"),
            ("--dips=1", "--dips must be at least 0"),
            ("--chance=-1", "--chance must be at least 0"),
            ("--tolerance=-1", "--tolerance must be at least 0"),
        ],
    )
    def test_bad_options(self, tmp_path, capsys, option, words):
        write_table(paths_of({0: []}), tmp_path / "state_paths.csv")
        assert cli.main(self.arguments(tmp_path, option)) == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / "phases.csv").exists()

    def test_an_empty_log_is_named(self, tmp_path, capsys):
        write_table(paths_of({0: []}), tmp_path / "state_paths.csv")
        path = tmp_path / "runs" / "seed-0" / "training_log.parquet"
        write_table(log_of(10, 40).iloc[:0], path)
        assert cli.main(self.arguments(tmp_path, f"--runs={tmp_path}/runs")) == 1
        assert "seed-0" in capsys.readouterr().err
