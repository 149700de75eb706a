"""The callback in a real Lightning Trainer, on the CPU."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support.recorded_steps import (
    check_metrics,
    check_positive_steps,
    check_updates_and_activations,
    save_reference,
)
from training_maps.recording.quantities import gradient_norm
from training_maps.runs.journal import read_journal

lightning = pytest.importorskip("pytorch_lightning")
pytestmark = pytest.mark.filterwarnings("ignore")


def data(seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(32, 6, generator=draw)
    return DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8)


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
        self.seen = {}

    def training_step(self, batch, _):
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        self.log("val/acc", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Witness(lightning.Callback):
    """Notes weights, gradient and validation at each step by itself."""

    def __init__(self):
        self.weights, self.norms, self.accuracies = {}, {}, {}

    def on_train_start(self, trainer, module):
        self.weights[0] = [p.detach().clone() for p in module.parameters()]

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.norms[trainer.global_step + 1] = gradient_norm(module.parameters())

    def on_train_batch_end(self, trainer, module, *_):
        self.weights[trainer.global_step] = [p.detach().clone() for p in module.parameters()]

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.accuracies[trainer.global_step] = float(trainer.callback_metrics["val/acc"])


def fit(tmp_path, recorder, max_epochs=3, **options):
    witness = Witness()
    trainer = lightning.Trainer(
        max_epochs=max_epochs,
        callbacks=[witness, recorder],
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        log_every_n_steps=1,
        **{"logger": False, "enable_checkpointing": False, **options},
    )
    trainer.fit(Module(), data(), data(1), ckpt_path=options.pop("ckpt_path", None))
    return trainer, witness


def recorder_of(folder, every=2, **settings):
    from training_maps.recording.lightning_callback import LightningRecorder

    return LightningRecorder(folder, every, columns={"eval_accuracy": "val/acc"}, **settings)


def test_a_run_is_recorded(tmp_path):
    _, witness = fit(tmp_path, recorder_of(tmp_path / "run"))
    check_metrics(tmp_path / "run", witness.weights)


def test_what_is_logged_at_a_step_is_kept_with_it_and_nothing_old(tmp_path):
    _, witness = fit(tmp_path, recorder_of(tmp_path / "run"))
    log = pd.read_parquet(tmp_path / "run" / "training_log.parquet").set_index("step")
    assert sorted(witness.accuracies) == [4, 8, 12]  # an epoch has four steps
    found = log["eval_accuracy"].dropna()
    assert found.to_dict() == pytest.approx(witness.accuracies)
    assert log["loss"].notna().tolist() == [False] + [True] * 6
    for step in (2, 4, 6, 12):
        assert log["gradient_norm"][step] == pytest.approx(witness.norms[step], rel=1e-6)
        assert log["learning_rate"][step] == pytest.approx(0.1)
    assert log["epoch"].iloc[0] == 0


def test_accumulated_batches_are_one_step(tmp_path):
    recorder = recorder_of(tmp_path / "run", every=1)
    fit(tmp_path, recorder, accumulate_grad_batches=2)
    assert [line.step for line in read_journal(tmp_path / "run")] == list(range(7))


def test_a_resumed_run_goes_on(tmp_path):
    trainer, _ = fit(tmp_path, recorder_of(tmp_path / "run"), max_epochs=2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    before = read_journal(tmp_path / "run")
    trainer = lightning.Trainer(
        max_epochs=4, callbacks=[recorder_of(tmp_path / "run")], accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Module(), data(), data(1), ckpt_path=tmp_path / "half.ckpt", weights_only=False)
    lines = read_journal(tmp_path / "run")
    assert [line.step for line in lines] == list(range(0, 17, 2))
    assert lines[: len(before)] == before


@pytest.mark.parametrize("background", [False, True])
def test_a_run_that_was_killed_as_it_saved_its_state_lacks_nothing(tmp_path, background):
    """The step of that state is recorded by the run that resumes from it, with what was logged."""
    fit(tmp_path, recorder_of(tmp_path / "whole", updates=True))
    whole = read_journal(tmp_path / "whole")
    saving = lightning.callbacks.ModelCheckpoint(tmp_path / "states", "{step}", save_top_k=-1)
    recorder = recorder_of(tmp_path / "run", updates=True, background=background)
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=[recorder, saving], accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    write = trainer.save_checkpoint

    def write_and_kill(path, *options):
        write(path, *options)
        recorder.on_exception = lambda *_: None
        raise RuntimeError("killed")

    trainer.save_checkpoint = write_and_kill
    with pytest.raises(RuntimeError, match="killed"):
        trainer.fit(Module(), data(), data(1))
    assert [line.step for line in read_journal(tmp_path / "run")] == [0, 2]
    recorder.recorder._journal.close()  # as the system does it
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=[recorder_of(tmp_path / "run", updates=True)], accelerator="cpu",
        logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    (state,) = (tmp_path / "states").iterdir()
    trainer.fit(Module(), data(), data(1), ckpt_path=state, weights_only=False)
    assert read_journal(tmp_path / "run") == whole


def test_a_run_that_was_killed_after_its_last_state_is_finished(tmp_path):
    trainer, _ = fit(tmp_path, recorder_of(tmp_path / "run", every=4))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    whole = read_journal(tmp_path / "run")
    for name in ("metrics.parquet", "training_log.parquet"):
        (tmp_path / "run" / name).rename(tmp_path / name)
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=[recorder_of(tmp_path / "run", every=4)], accelerator="cpu",
        logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Module(), data(), data(1), ckpt_path=tmp_path / "last.ckpt", weights_only=False)
    assert read_journal(tmp_path / "run") == whole
    for name in ("metrics.parquet", "training_log.parquet"):
        found, expected = (
            pd.read_parquet(folder / name) for folder in (tmp_path / "run", tmp_path)
        )
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_two_recorders_have_a_state_each(tmp_path):
    recorders = [recorder_of(tmp_path / f"{every}", every=every) for every in (1, 2)]
    trainer = lightning.Trainer(callbacks=recorders, max_epochs=1, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Module(), data(), data(1))
    trainer.save_checkpoint(tmp_path / "state.ckpt")
    assert len(torch.load(tmp_path / "state.ckpt", weights_only=True)["callbacks"]) == 2


def test_an_error_in_training_leaves_the_tables(tmp_path):
    class Fails(lightning.Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if trainer.global_step == 7:
                raise RuntimeError("out of luck")

    recorder = recorder_of(tmp_path / "run")
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=[Fails(), recorder], accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="out of luck"):
        trainer.fit(Module(), data(), data(1))
    table = pd.read_parquet(tmp_path / "run" / "metrics.parquet")
    assert table["step"].tolist() == [0, 2, 4, 6]


def test_state_and_percentile_go_to_the_trainer_s_logger(tmp_path):
    from pytorch_lightning.loggers import CSVLogger

    recorder = recorder_of(tmp_path / "run", map=save_reference(tmp_path))
    fit(tmp_path, recorder, logger=CSVLogger(tmp_path, "csv"))
    logged = pd.read_csv(next((tmp_path / "csv").rglob("metrics.csv")))
    told = logged.dropna(subset=["training_map/percentile"])
    assert told["step"].tolist() == [2, 4, 6, 8, 10, 12]
    assert recorder.recorder.placed.table["step"].max() == 12
    np.testing.assert_allclose(
        told["training_map/percentile"], recorder.recorder.placed.table["percentile"][1:]
    )


def test_steps_must_be_positive(tmp_path):
    check_positive_steps(recorder_of, tmp_path)


def test_without_lightning_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['lightning.pytorch'] = sys.modules['pytorch_lightning'] = None\n"
        "from training_maps.recording import Recorder\n"
        "from training_maps.recording import LightningRecorder\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'training-maps[lightning]'" in done.stderr


def test_updates_and_activations_are_recorded_where_they_are_asked_for(tmp_path):
    recorder = recorder_of(tmp_path / "run", updates=True, activations=True)
    _, witness = fit(tmp_path, recorder)
    log = check_updates_and_activations(tmp_path / "run", witness.weights)
    for step in (2, 6, 12):
        # Plain descent: what moves is the gradient by the learning rate.
        assert log["update_size"][step] == pytest.approx(0.1 * witness.norms[step], rel=1e-4)
