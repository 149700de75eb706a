"""Training as a user's script, recorded by a callback: killed and started again, it goes on.

    python -m tests.faults.training_scripts lightning FOLDER

The state is saved every few steps, and the newest whole one is resumed from.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

EVERY, SAVED, STEPS = 2, 4, 40
"""Steps from record to record, from state to state, and in all."""
PAUSE = 0.01
"""Seconds that a step takes longer, so that moments fall into training too."""


def network() -> nn.Module:
    """A small network, the same at each call."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Four batches of eight examples, and their labels."""
    x = torch.randn(8 * SAVED, 6, generator=torch.Generator().manual_seed(0))
    return x, (x.sum(1) > 0).long()


def train_by_lightning(folder: Path) -> None:
    """Train for ten epochs; the state is saved at the end of each."""
    import pytorch_lightning as lightning
    from torch.utils.data import DataLoader, TensorDataset

    from training_maps.recording.lightning_callback import LightningRecorder

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            time.sleep(PAUSE)
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    saving = lightning.callbacks.ModelCheckpoint(
        folder / "states", "{step}", save_top_k=-1, save_on_train_epoch_end=True
    )
    trainer = lightning.Trainer(
        max_steps=STEPS, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
        callbacks=[LightningRecorder(folder / "output", EVERY, updates=True), saving],
    )  # fmt: skip
    # Lightning 2.6 trains a batch too many where it goes on from the end of the first epoch.
    (folder / "states" / f"step={SAVED}.ckpt").unlink(missing_ok=True)
    saved = _newest(folder / "states", "*.ckpt", lambda path: torch.load(path, weights_only=False))
    data = DataLoader(TensorDataset(*examples()), batch_size=8)
    trainer.fit(Module(), data, ckpt_path=saved, weights_only=False)


def train_by_transformers(folder: Path) -> None:
    """Train for so many steps; the state is saved at each fourth."""
    import json

    import transformers

    from training_maps.recording.trainer_callback import TrainerRecorder

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            time.sleep(PAUSE)
            return {"loss": nn.functional.cross_entropy(self.net(x), labels)}

    settings = transformers.TrainingArguments(
        output_dir=folder / "states", max_steps=STEPS, per_device_train_batch_size=8, use_cpu=True,
        report_to=[], disable_tqdm=True, logging_steps=1, save_strategy="steps", save_steps=SAVED,
    )  # fmt: skip
    x, labels = examples()
    data = [{"x": row, "labels": int(label)} for row, label in zip(x, labels, strict=True)]
    trainer = transformers.Trainer(
        model=Network(), args=settings, train_dataset=data,
        callbacks=[TrainerRecorder(folder / "output", EVERY)],
    )  # fmt: skip
    # What is written last of a state tells that it is whole.
    last = _newest(folder / "states", "*/trainer_state.json", lambda p: json.loads(p.read_text()))
    trainer.train(resume_from_checkpoint=None if last is None else str(last.parent))


def _newest(folder: Path, pattern: str, read: Any) -> Path | None:
    """The newest of the files that can be read."""
    for path in sorted(folder.glob(pattern), key=lambda path: -path.stat().st_mtime_ns):
        try:
            read(path)
        except Exception:
            continue
        return path
    return None


if __name__ == "__main__":
    train = {"lightning": train_by_lightning, "transformers": train_by_transformers}
    train[sys.argv[1]](Path(sys.argv[2]))
