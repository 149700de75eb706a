"""The callback in the real Trainer of transformers, on the CPU."""

import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests.support.recorded_steps import (
    check_metrics,
    check_positive_steps,
    check_updates_and_activations,
    save_reference,
)
from training_maps.runs.journal import read_journal

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.filterwarnings("ignore")


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x, labels):
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def data(seed=0):
    x = torch.randn(32, 6, generator=torch.Generator().manual_seed(seed))
    return [{"x": row, "labels": int(row.sum() > 0)} for row in x]


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(1) == prediction.label_ids).mean())}


class Witness(transformers.TrainerCallback):
    """Notes weights, losses and evaluations at each step by itself."""

    def __init__(self):
        self.weights, self.logs = {}, {}

    def on_train_begin(self, args, state, control, **known):
        self.weights[state.global_step] = [p.detach().clone() for p in known["model"].parameters()]

    def on_step_end(self, args, state, control, **known):
        self.weights[state.global_step] = [p.detach().clone() for p in known["model"].parameters()]

    def on_log(self, args, state, control, logs=None, **known):
        self.logs.setdefault(state.global_step, {}).update(logs)


def trainer_of(tmp_path, recorder, steps=12, **options):
    witness = Witness()
    settings = transformers.TrainingArguments(
        output_dir=tmp_path / "out",
        max_steps=steps,
        per_device_train_batch_size=8,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **{"logging_steps": 2, "eval_strategy": "steps", "eval_steps": 4, "save_strategy": "no",
           **options},
    )  # fmt: skip
    trainer = transformers.Trainer(
        model=Network(), args=settings, train_dataset=data(), eval_dataset=data(1),
        compute_metrics=accuracy, callbacks=[witness, recorder],
    )  # fmt: skip
    return trainer, witness


def recorder_of(folder, every=2, **settings):
    from training_maps.recording.trainer_callback import TrainerRecorder

    return TrainerRecorder(folder, every, **settings)


def test_a_run_is_recorded(tmp_path):
    trainer, witness = trainer_of(tmp_path, recorder_of(tmp_path / "run"))
    trainer.train()
    check_metrics(tmp_path / "run", witness.weights)


def test_what_is_logged_at_a_step_is_kept_with_it_under_the_log_s_names(tmp_path):
    trainer, witness = trainer_of(tmp_path, recorder_of(tmp_path / "run"))
    trainer.train()
    log = pd.read_parquet(tmp_path / "run" / "training_log.parquet").set_index("step")
    assert log["eval_accuracy"].dropna().index.tolist() == [4, 8, 12]
    for step in (4, 8, 12):
        assert log["eval_accuracy"][step] == witness.logs[step]["eval_accuracy"]
        assert log["eval_loss"][step] == witness.logs[step]["eval_loss"]
    for step in (2, 6, 10):
        assert log["train_loss"][step] == float(witness.logs[step]["loss"])
        assert log["gradient_norm"][step] == float(witness.logs[step]["grad_norm"])
        assert log["learning_rate"][step] == float(witness.logs[step]["learning_rate"])
    assert log["epoch"].tolist() == pytest.approx([step / 4 for step in range(0, 13, 2)])


def test_a_resumed_run_goes_on(tmp_path):
    saved = {"save_strategy": "steps", "save_steps": 6}
    trainer, _ = trainer_of(tmp_path, recorder_of(tmp_path / "run"), **saved)
    trainer.train()
    before = read_journal(tmp_path / "run")
    trainer, _ = trainer_of(tmp_path, recorder_of(tmp_path / "run"), 14, **saved)
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-6"))
    lines = read_journal(tmp_path / "run")
    assert [line.step for line in lines] == list(range(0, 15, 2))
    assert lines[:4] == before[:4]


@pytest.mark.parametrize("background", [False, True])
def test_a_run_that_was_killed_as_it_saved_its_state_lacks_nothing(tmp_path, background):
    """The step of that state is recorded by the run that resumes from it, as nobody had it."""
    saved = {"save_strategy": "steps", "save_steps": 6, "logging_steps": 1}
    trainer, _ = trainer_of(tmp_path, recorder_of(tmp_path / "whole"), **saved)
    trainer.train()
    whole = read_journal(tmp_path / "whole")

    class Killed(Exception):
        """Ends the process as a signal would: nothing of the recorder runs any more."""

    class Kills(transformers.TrainerCallback):
        def on_save(self, args, state, control, **known):
            raise Killed

    recorder = recorder_of(tmp_path / "run", background=background)
    trainer, _ = trainer_of(tmp_path, recorder, **saved)
    trainer.add_callback(Kills)
    with pytest.raises(Killed):
        trainer.train()
    assert [line.step for line in read_journal(tmp_path / "run")] == [0, 2, 4]
    recorder.recorder._journal.close()  # as the system does it
    trainer, _ = trainer_of(tmp_path, recorder_of(tmp_path / "run"), **saved)
    trainer.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-6"))
    assert without_times(read_journal(tmp_path / "run")) == without_times(whole)


def without_times(lines):
    """What is recorded, but for how long the trainer's evaluations took."""
    timed = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    return [
        dataclasses.replace(
            line, logged={name: x for name, x in line.logged.items() if name not in timed}
        )
        for line in lines
    ]


def test_the_summary_at_the_end_is_not_the_last_step_s(tmp_path):
    trainer, witness = trainer_of(tmp_path, recorder_of(tmp_path / "run"))
    trainer.train()
    last = read_journal(tmp_path / "run")[-1]
    losses = [row for row in trainer.state.log_history if row["step"] == 12 and "loss" in row]
    assert last.logged["train_loss"] == losses[0]["loss"]
    assert "train_runtime" in witness.logs[12]
    assert "train_runtime" not in last.logged


def test_state_and_percentile_go_to_the_trainer_s_logs(tmp_path):
    recorder = recorder_of(tmp_path / "run", map=save_reference(tmp_path))
    trainer, _ = trainer_of(tmp_path, recorder)
    recorder.log_to(trainer)
    trainer.train()
    told = [row for row in trainer.state.log_history if "training_map/percentile" in row]
    placed = recorder.recorder.placed.table
    assert len(told) == 6
    np.testing.assert_allclose(
        [row["training_map/percentile"] for row in told], placed["percentile"][1:]
    )
    assert not [name for line in read_journal(tmp_path / "run") for name in line.logged
                if name.startswith("training_map")]  # fmt: skip


def test_steps_must_be_positive(tmp_path):
    check_positive_steps(recorder_of, tmp_path)


def test_without_transformers_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from training_maps.recording import Recorder\n"
        "from training_maps.recording import TrainerRecorder\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'training-maps[transformers]'" in done.stderr


def test_updates_and_activations_are_recorded_where_they_are_asked_for(tmp_path):
    recorder = recorder_of(tmp_path / "run", updates=True, activations=True)
    trainer, witness = trainer_of(tmp_path, recorder)
    trainer.train()
    check_updates_and_activations(tmp_path / "run", witness.weights)
