"""New runs by path or pattern: in each form that the sources of the workflow take."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from tests.support.placed_runs import METRICS, STEPS, log_of, metrics_of
from tests.support.small_runs import network, write_run
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.metrics.parameters import Overrides
from training_maps.placing.new_runs import Reading, find_new_runs, measurable
from training_maps.utils.errors import InputError
from training_maps.utils.files import write_table

LOGGED = Reading(METRICS, columns={"eval_accuracy": "val/acc"})
WEIGHTS = Reading(METRIC_COLUMNS)


def logged(seed=0):
    table = metrics_of(150, np.random.default_rng(seed))
    return table.assign(**{"val/acc": log_of(150)["eval_accuracy"], "note": "text"})


def found(path, reading=LOGGED):
    return list(find_new_runs(str(path), reading))


def check(run, seed=0):
    expected = logged(seed)
    pd.testing.assert_frame_equal(run.metrics, expected[["step", *METRICS]])
    assert run.log["eval_accuracy"].tolist() == expected["val/acc"].tolist()
    assert "note" not in run.log
    assert run.diverged is None


class TestTables:
    @pytest.mark.parametrize("name", ["run.csv", "run.parquet", "run.jsonl", "run.csv.gz"])
    def test_one_run(self, tmp_path, name):
        table = logged()
        if name.endswith("parquet"):
            table.to_parquet(tmp_path / name)
        elif name.endswith("jsonl"):
            table.to_json(tmp_path / name, orient="records", lines=True, double_precision=15)
        else:
            table.to_csv(tmp_path / name, index=False)
        (run,) = found(tmp_path / name)
        assert run.name == name.partition(".")[0] or name.endswith(".gz")
        np.testing.assert_allclose(run.metrics[[*METRICS]], table[[*METRICS]], atol=1e-12)

    def test_a_column_of_seeds_is_a_run_each(self, tmp_path):
        both = pd.concat([logged(s).assign(seed=s) for s in (3, 8)])
        both.to_csv(tmp_path / "all.csv", index=False)
        runs = found(tmp_path / "all.csv")
        assert [run.name for run in runs] == ["seed 3", "seed 8"]
        check(runs[0], 3)
        check(runs[1], 8)
        assert "seed" not in runs[0].log

    def test_a_pattern_of_seeds(self, tmp_path):
        for seed in (3, 8):
            logged(seed).to_csv(tmp_path / f"run-{seed}.csv", index=False)
        runs = found(tmp_path / "run-{seed}.csv")
        assert [run.name for run in runs] == ["seed 3", "seed 8"]
        check(runs[1], 8)

    def test_a_step_by_another_name(self, tmp_path):
        logged().rename(columns={"step": "updates"}).to_csv(tmp_path / "run.csv", index=False)
        with pytest.raises(InputError, match="which column is the step"):
            found(tmp_path / "run.csv")
        check(found(tmp_path / "run.csv", Reading(METRICS, "updates", LOGGED.columns))[0])
        with pytest.raises(InputError, match="no column 'nothing'"):
            found(tmp_path / "run.csv", Reading(METRICS, "nothing"))

    def test_rows_of_a_step_are_merged_and_the_later_value_counts(self, tmp_path):
        table = logged()
        half = table.drop(columns="l1")
        other = table[["step", "l1"]]
        resumed = table.iloc[[5]].assign(l1=99.0)
        pd.concat([half, other, resumed]).to_csv(tmp_path / "run.csv", index=False)
        (run,) = found(tmp_path / "run.csv")
        assert run.metrics["l1"].iloc[5] == 99.0
        assert len(run.metrics) == len(STEPS)

    def test_infinity_ends_it(self, tmp_path):
        table = logged()
        table.loc[7, "l1"] = np.inf
        table.to_csv(tmp_path / "run.csv", index=False)
        (run,) = found(tmp_path / "run.csv")
        assert run.diverged == STEPS[7]
        assert run.metrics["step"].tolist() == STEPS[:7].tolist()

    def test_what_is_not_there(self, tmp_path):
        logged().drop(columns=[*METRICS]).to_csv(tmp_path / "run.csv", index=False)
        with pytest.raises(InputError, match="none of the map's metrics"):
            found(tmp_path / "run.csv")
        logged().drop(columns="val/acc").to_csv(tmp_path / "run.csv", index=False)
        with pytest.raises(InputError, match=r"no column 'val/acc' .eval_accuracy=val/acc"):
            found(tmp_path / "run.csv")
        with pytest.raises(InputError, match="does not exist"):
            found(tmp_path / "nothing.csv")
        with pytest.raises(InputError, match="no table"):
            found(tmp_path / "run-{seed}.csv")

    def test_event_files(self, tmp_path):
        pytest.importorskip("tensorboard")
        writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter(tmp_path / "tb")
        for row in logged().to_dict("records"):
            for name in (*METRICS, "val/acc"):
                writer.add_scalar(name, row[name], row["step"])
        writer.close()
        (run,) = found(tmp_path / "tb")
        np.testing.assert_allclose(run.metrics[[*METRICS]], logged()[[*METRICS]], rtol=1e-6)
        assert "eval_accuracy" in run.log

    def test_a_run_s_folder(self, tmp_path):
        folder = tmp_path / "seed-4"
        write_table(logged()[["step", *METRICS]], folder / "metrics.parquet")
        (run,) = found(folder)
        assert run.name == "seed-4"
        assert run.log is None
        write_table(log_of(150), folder / "training_log.parquet")
        assert found(folder)[0].log["eval_accuracy"].tolist() == logged()["val/acc"].tolist()


NETWORKS = {step: network(step) for step in (0, 5, 10)}


class TestCheckpoints:
    def expected(self, tmp_path):
        return run_metrics(write_run(tmp_path / "expected", NETWORKS))

    def test_a_folder_its_manifest_and_its_checkpoints(self, tmp_path):
        manifest = write_run(tmp_path / "seed-3", NETWORKS)
        for path in (manifest, manifest.parent, manifest.parent / "checkpoints"):
            (run,) = found(path, WEIGHTS)
            pd.testing.assert_frame_equal(run.metrics, self.expected(tmp_path))
        assert found(manifest, WEIGHTS)[0].name == "seed-3"

    def test_a_pattern_of_steps(self, tmp_path):
        for step, tensors in NETWORKS.items():
            (tmp_path / "mine" / f"step-{step}").mkdir(parents=True)
            save_file(tensors, tmp_path / "mine" / f"step-{step}" / "model.safetensors")
        (run,) = found(tmp_path / "mine" / "step-{step}", WEIGHTS)
        assert run.name == "mine"
        pd.testing.assert_frame_equal(run.metrics, self.expected(tmp_path), check_exact=False)

    def test_a_pattern_of_seeds_and_steps_in_torch_s_format(self, tmp_path):
        for seed in (1, 2):
            for step, tensors in NETWORKS.items():
                state = {name: torch.from_numpy(array) for name, array in tensors.items()}
                torch.save({"ema": state}, tmp_path / f"s{seed}_{step}.pt")
        reading = Reading(METRIC_COLUMNS, state_dict_key="ema")
        runs = found(tmp_path / "s{seed}_{step}.pt", reading)
        assert [run.name for run in runs] == ["seed 1", "seed 2"]
        pd.testing.assert_frame_equal(runs[0].metrics, self.expected(tmp_path), check_exact=False)

    def test_which_tensors_count_can_be_said(self, tmp_path):
        manifest = write_run(tmp_path / "run", NETWORKS)
        overrides = Overrides(left_out=("hidden.weight",))
        (run,) = found(manifest, Reading(METRIC_COLUMNS, overrides=overrides))
        assert run.metrics["l1"].iloc[0] < self.expected(tmp_path)["l1"].iloc[0]

    def test_only_the_map_s_metrics_are_measured(self, tmp_path):
        manifest = write_run(tmp_path / "run", NETWORKS)
        (run,) = found(manifest, Reading(("l2", "effective_rank", "gradient_norm")))
        assert list(run.metrics) == ["step", "l2", "effective_rank"]
        assert measurable(("l2", "nothing")) == ["l2"]

    def test_a_weight_that_is_not_finite_ends_it(self, tmp_path):
        networks = {step: network(step) for step in (0, 5, 10)}
        networks[10]["output.weight"].flat[0] = np.nan
        (run,) = found(write_run(tmp_path / "run", networks), WEIGHTS)
        assert run.diverged == 10
        assert run.metrics["step"].tolist() == [0, 5]

    def test_half_written_checkpoints_can_be_passed_over(self, tmp_path):
        manifest = write_run(tmp_path / "run", NETWORKS)
        last = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
        last.write_bytes(last.read_bytes()[:100])
        with pytest.raises(InputError):
            found(manifest, WEIGHTS)
        (run,) = found(manifest, Reading(METRIC_COLUMNS, unreadable="skip"))
        assert run.metrics["step"].tolist() == [0, 5]

    def test_what_cannot_be_measured(self, tmp_path):
        manifest = write_run(tmp_path / "run", NETWORKS)
        with pytest.raises(InputError, match="none that checkpoints have"):
            found(manifest, Reading(("val/acc",)))
        with pytest.raises(InputError, match="there are no checkpoints"):
            found(tmp_path / "none_{step}.pt", WEIGHTS)
        with pytest.raises(InputError, match="there are no checkpoints"):
            found(tmp_path / "none_{seed}_{step}.pt", WEIGHTS)
        (tmp_path / "file.unknown").write_text("")
        with pytest.raises(InputError, match="neither a table nor a folder"):
            found(tmp_path / "file.unknown", WEIGHTS)

    def test_a_step_that_is_there_twice(self, tmp_path):
        for name in ("a_5.safetensors", "b_5.safetensors"):
            save_file(network(5), tmp_path / name)
        with pytest.raises(InputError, match="step 5 is there twice"):
            found(tmp_path / "*_{step}.safetensors", WEIGHTS)
