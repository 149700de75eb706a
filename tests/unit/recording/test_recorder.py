"""A recorder: the same metrics as of checkpoints, tables that other stages read, a placed run."""

import logging
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.support.project import ROOT
from training_maps.hmm.observations import observations
from training_maps.metrics.compute import run_metrics
from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.metrics.parameters import Overrides
from training_maps.model_selection.fit import fit_hmm
from training_maps.placing.calibrate import Runs, reference_of
from training_maps.placing.new_runs import Reading, find_new_runs
from training_maps.placing.place import NewRun, place_run
from training_maps.placing.reference import FILE
from training_maps.recording.recorder import Recorder
from training_maps.runs.journal import read_journal
from training_maps.runs.training_logs import find_training_logs
from training_maps.utils.errors import InputError
from training_maps.utils.files import table_metadata


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def trained(model, steps, every=1):
    """Change the weights a little, every step; yields the steps to record at."""
    torch.manual_seed(99)
    for step in range(steps):
        if step % every == 0:
            yield step
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.02).add_(0.01 * torch.randn_like(parameter))


def checkpoints(folder, seed=0, steps=6):
    """The same run by checkpoints."""
    folder.mkdir(parents=True)
    model = network(seed)
    for step in trained(model, steps):
        save_file(model.state_dict(), folder / f"step-{step:04}.safetensors")
    return run_metrics(folder)


@pytest.mark.parametrize("background", [False, True])
def test_metrics_are_those_of_checkpoints(tmp_path, background):
    model = network()
    with Recorder(tmp_path / "run", background=background) as recorder:
        for step in trained(model, 6):
            recorder.record(model, step, epoch=step / 2, eval_accuracy=torch.tensor(step / 10))
    found = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    pd.testing.assert_frame_equal(found, checkpoints(tmp_path / "steps"), check_exact=True)
    log = pd.read_parquet(tmp_path / "run" / "training_log.parquet")
    assert log["epoch"].tolist() == [step / 2 for step in range(6)]
    np.testing.assert_allclose(log["eval_accuracy"], np.arange(6) / 10, rtol=1e-6)


def test_other_stages_read_what_it_writes(tmp_path):
    for seed in range(3):
        model = network(seed)
        with Recorder(tmp_path / f"seed-{seed}", seed=seed) as recorder:
            for step in trained(model, 12):
                recorder.record(model, step, eval_accuracy=0.5)
    tables = {s: pd.read_parquet(tmp_path / f"seed-{s}" / "metrics.parquet") for s in range(3)}
    assert observations(tables).seeds == [0, 1, 2]
    assert find_training_logs(tmp_path, [0, 1, 2])[1]["eval_accuracy"].tolist() == [0.5] * 12
    metadata = table_metadata(tmp_path / "seed-2" / "metrics.parquet")
    assert metadata["seed"] == 2
    assert metadata["non_finite"] is None


def test_a_run_is_resumed_after_a_kill_and_from_an_earlier_step(tmp_path):
    model = network()
    steps = list(range(10))
    states = {}
    for step in trained(model, 10):
        states[step] = {k: v.clone() for k, v in model.state_dict().items()}
    first = Recorder(tmp_path / "run")
    for step in steps[:7]:
        first.record(states[step], step, loss=1.0)
    first._journal.close()  # as if it was killed: no table is written
    assert not (tmp_path / "run" / "metrics.parquet").exists()
    with Recorder(tmp_path / "run") as again:
        for step in steps[4:]:
            again.record(states[step], step, loss=2.0)
    assert [line.step for line in read_journal(tmp_path / "run")] == steps
    found = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    pd.testing.assert_frame_equal(found, checkpoints(tmp_path / "steps", steps=10))
    log = pd.read_parquet(tmp_path / "run" / "training_log.parquet")
    assert log["loss"].tolist() == [1.0] * 4 + [2.0] * 6


def test_one_recorder_a_folder(tmp_path):
    with Recorder(tmp_path), pytest.raises(InputError, match="another process"):
        Recorder(tmp_path)


def test_which_tensors_count_can_be_said(tmp_path):
    model = network()
    with Recorder(tmp_path, overrides=Overrides(left_out=("0.*",))) as recorder:
        recorder.record(model, 0)
    assert [matrix.tensor for matrix in recorder.selection.matrices] == ["2.weight"]
    with Recorder(tmp_path / "b", overrides=Overrides(left_out=("nothing",))) as recorder, \
         pytest.raises(InputError, match="matches none of its 4 tensors"):  # fmt: skip
        recorder.record(model, 0)


def test_columns_can_be_chosen(tmp_path):
    with Recorder(tmp_path, columns=["l2", "effective_rank"]) as recorder:
        recorder.record(network(), 0)
        recorder.record(network(1), 1)
    assert list(pd.read_parquet(tmp_path / "metrics.parquet")) == ["step", "l2", "effective_rank"]
    for wrong, told in (("nothing", "there is no metric nothing"),
                        ("distance_from_start", "takes other checkpoints")):  # fmt: skip
        with pytest.raises(InputError, match=told):
            Recorder(tmp_path / "b", columns=[wrong])


@pytest.mark.parametrize("background", [False, True])
def test_a_weight_that_is_not_finite_ends_the_metrics_and_not_training(tmp_path, background):
    model = network()
    with Recorder(tmp_path, background=background) as recorder:
        for step in trained(model, 6):
            if step == 3:
                with torch.no_grad():
                    model[0].weight[0, 0] = torch.nan
            recorder.record(model, step, loss=float(step))
    assert pd.read_parquet(tmp_path / "metrics.parquet")["step"].tolist() == [0, 1, 2]
    assert len(pd.read_parquet(tmp_path / "training_log.parquet")) == 6
    metadata = table_metadata(tmp_path / "metrics.parquet")
    assert metadata["non_finite"] == {"step": 3, "tensor": "0.weight"}
    (run,) = find_new_runs(str(tmp_path), Reading(METRIC_COLUMNS))
    assert run.diverged == 3


def test_what_goes_wrong_in_the_background_is_told(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path, background=True)
    monkeypatch.setattr(recorder._journal, "append", lambda line: 1 / 0)
    recorder.record(network(), 0)
    with pytest.raises(ZeroDivisionError):
        recorder.record(network(), 1)
    recorder.close()  # the error was told, and nothing else is waiting


def test_logged_values_must_be_numbers(tmp_path):
    with Recorder(tmp_path) as recorder, pytest.raises(InputError, match="loss is str"):
        recorder.record(network(), 0, loss="high")


def test_ranks_but_the_first_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "RANK", "1")
    with Recorder(tmp_path / "run") as recorder:
        assert recorder.record(network(), 0) is None
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A map of twelve such runs."""
    folder = tmp_path_factory.mktemp("map")
    tables = {seed: checkpoints(folder / f"{seed}", seed, 20) for seed in range(12)}
    obs = observations(tables, scale="pooled")
    hmm = fit_hmm(obs, 2, restarts=1, random_state=0).hmm
    made = reference_of(Runs.of(obs, tables), hmm, {"experiment": "networks"})
    made.save(folder / FILE)
    return made, folder


def test_a_run_is_placed_as_it_trains(reference, tmp_path):
    made, folder = reference
    model, placed = network(30), []
    with Recorder(tmp_path / "run", map=folder) as recorder:
        assert recorder.values() == {}
        for step in trained(model, 20):
            placed.append(recorder.record(model, step))
        assert recorder.values()["training_map/percentile"] > 0
    assert placed[0] is None
    whole = place_run(made, NewRun("run", pd.read_parquet(tmp_path / "run/metrics.parquet")))
    for n, one in enumerate(placed[1:], 2):
        pd.testing.assert_frame_equal(one.table, whole.table.iloc[:n], check_exact=True)


def test_a_warning_is_told_once(reference, tmp_path, caplog):
    _, folder = reference
    model, told = network(31), []
    with Recorder(tmp_path / "run", map=folder / FILE, on_warning=told.append) as recorder:
        for step in trained(model, 20):
            if step == 8:
                with torch.no_grad():
                    model[0].weight.mul_(3.0)
            recorder.record(model, step)
        assert recorder.values()["training_map/warning"] == 1.0
    assert [one.first_warning for one in told] == [8]
    assert len([r for r in caplog.records if "From step 8 on" in r.getMessage()]) <= 1


def test_a_run_that_cannot_be_placed_is_recorded_all_the_same(reference, tmp_path, monkeypatch):
    _, folder = reference
    seen = []
    monkeypatch.setattr(logging.getLogger("training_maps"), "warning",
                        lambda *message: seen.append(message[0] % message[1:]))  # fmt: skip
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.Linear(8, 2, bias=False))
    with Recorder(tmp_path / "run", map=folder) as recorder:
        for step in trained(model, 5):
            assert recorder.record(model, step) is None
    assert len(seen) == 1
    assert "recorded and not placed" in seen[0]
    assert "mean_b" in seen[0]
    assert len(pd.read_parquet(tmp_path / "run" / "metrics.parquet")) == 5


def test_a_map_that_cannot_place(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Recorder(tmp_path / "run", map=tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["ddp", "fully_shard"])
def test_of_two_ranks_the_first_records_the_whole_model(tmp_path, kind):
    """Two processes train one model; what is recorded is that of one process."""
    code = textwrap.dedent(
        f"""
        import os, sys, torch
        from torch import nn, distributed
        distributed.init_process_group("gloo", init_method="file://{tmp_path}/meeting",
                                       rank=int(sys.argv[1]), world_size=2)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
        if {kind!r} == "ddp":
            model = nn.parallel.DistributedDataParallel(model)
        else:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard
            fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
        from training_maps.recording.recorder import Recorder
        with Recorder("{tmp_path}/run") as recorder:
            recorder.record(model, 0, loss=0.5)
        distributed.barrier()
        distributed.destroy_process_group()
        """
    )
    (tmp_path / "train.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, tmp_path / "train.py", str(rank)], env=environment,
                         stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]  # fmt: skip
    ends = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    found = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    expected = checkpoints(tmp_path / "steps", steps=1)
    pd.testing.assert_frame_equal(found, expected)


def test_a_trainer_needs_few_packages_for_it(reference, tmp_path):
    """Neither those of figures and the workflow, nor those that only fits need."""
    code = textwrap.dedent(
        f"""
        import sys
        import torch
        from training_maps.recording import Recorder
        with Recorder({str(tmp_path / "run")!r}, map={str(reference[1])!r}) as recorder:
            for step in range(4):
                recorder.record(torch.nn.Linear(6, 8), step)
        print(sorted(set(sys.modules) & {{"matplotlib", "snakemake", "sklearn", "hmmlearn",
                                          "jsonschema", "yaml", "pooch"}}))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tail_exponent_is_computed_where_it_is_asked_for(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(40, 60)
    columns = ["l2", "tail_exponent"]
    with Recorder(tmp_path / "run", columns=columns) as recorder:
        recorder.record(model, 0)
    (tmp_path / "steps").mkdir()
    save_file(model.state_dict(), tmp_path / "steps" / "step-0.safetensors")
    expected = run_metrics(tmp_path / "steps", columns=columns)
    found = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    pd.testing.assert_frame_equal(found, expected)
