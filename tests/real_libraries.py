"""Runs of libraries that are not installed here, brought in as a user would: run by hand.

    python -m pip install lightning peft mlflow-skinny sqlalchemy alembic sqlparse wandb
    python -m tests.real_libraries lightning peft mlflow wandb

Each library trains or logs two tiny runs in a folder of its own, and what this project reads of
them is compared with what the library itself says. What was seen is in `SEEN`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training_maps.hmm.log_columns import with_log_columns
from training_maps.metrics.compute import run_metrics
from training_maps.runs.checkpoints import write_manifest
from training_maps.runs.discovery import Pattern, list_run
from training_maps.runs.formats import CheckpointReader
from training_maps.runs.tables import read_logs, read_metrics

SEEN = """
lightning 2.6.6   checkpoints with a Path among their hyperparameters are read; metrics.csv logs
                  step 9 of the checkpoint at step 10, and joins it with an offset of -1
peft 0.21.2       scale B A equals merged minus base to 2e-7 (float32) for plain LoRA, rsLoRA,
                  patterns of ranks and alphas, and GPT-2's turned layers
mlflow 3.17.2     mlflow.db has every value and the seeds; the store of files is in maintenance
wandb 0.31.0      offline runs have every value of 3000 steps, NaN and nested names too
"""


def lightning(folder: Path) -> None:
    """Checkpoints and metrics.csv; the losses join the checkpoints by the nearest step."""
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    class Model(L.LightningModule):
        def __init__(self, out: Path = Path("x")) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = torch.nn.Linear(4, 2)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = self.net(batch[0]).pow(2).mean()
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    for seed in (0, 1):
        L.seed_everything(seed)
        run = folder / f"run{seed}"
        saved = ModelCheckpoint(run / "ck", "{step}", every_n_train_steps=10, save_top_k=-1)
        data = torch.utils.data.TensorDataset(torch.randn(400, 4))
        L.Trainer(
            max_steps=40, accelerator="cpu", logger=CSVLogger(run, name="", version=""),
            log_every_n_steps=10, callbacks=[saved], enable_progress_bar=False,
        ).fit(Model(), torch.utils.data.DataLoader(data, batch_size=10))  # fmt: skip
    tables = {}
    for seed in (0, 1):
        pattern = Pattern.read(str(folder / "run{seed}/ck/step={step}.ckpt"))
        write_manifest(list_run(pattern, seed), folder / f"{seed}.json")
        tables[seed] = run_metrics(folder / f"{seed}.json")
    logs = dict(read_logs(str(folder / "run{seed}/metrics.csv"), [0, 1]))
    for seed, table in with_log_columns(tables, logs, ["train_loss"]).items():
        assert table["step"].tolist() == [10, 20, 30, 40]
        assert table["train_loss"].tolist() == logs[seed]["train_loss"].tolist()


def peft(folder: Path) -> None:
    """Adapters: what acts is what merging adds."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    llama = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 2}
    for number, (kind, settings) in enumerate(
        [
            ("Llama", {"target_modules": ["q_proj", "v_proj"]}),
            ("Llama", {"target_modules": ["q_proj", "down_proj"], "use_rslora": True,
                       "alpha_pattern": {"down_proj": 3}, "rank_pattern": {"down_proj": 2}}),
            ("GPT2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ]
    ):  # fmt: skip
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=50, bos_token_id=0, eos_token_id=0,
            **(gpt2 if kind == "GPT2" else {**llama, **heads}),
        )  # fmt: skip
        name = "GPT2LMHeadModel" if kind == "GPT2" else "LlamaForCausalLM"
        base = getattr(transformers, name)(config)
        before = {key: value.clone() for key, value in base.state_dict().items()}
        model = get_peft_model(base, LoraConfig(r=4, lora_alpha=16, **settings))
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                torch.nn.init.normal_(parameter)
        model.save_pretrained(folder / str(number))
        opened = CheckpointReader().open(folder / str(number))
        merged = model.merge_and_unload().state_dict()
        assert opened.derived
        for weight in opened.derived:
            _, found = opened.source([weight.name])
            delta = (merged[weight.name] - before[weight.name]).double().numpy()
            np.testing.assert_allclose(found[weight.name][1], delta, atol=1e-6 * abs(delta).max())  # type: ignore[index]


def mlflow(folder: Path) -> None:
    """The store of a local SQLite file."""
    import mlflow as library

    library.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    library.set_experiment("seeds")
    for seed in (0, 1):
        with library.start_run():
            library.log_param("seed", seed)
            for step in range(5):
                library.log_metric("train/loss", seed + 1 / (step + 1), step=step * 10)
    for seed, table in read_metrics(str(folder / "mlflow.db"), [0, 1]):
        assert table["train/loss"].tolist() == [seed + 1 / (step + 1) for step in range(5)]


def wandb(folder: Path) -> None:
    """Offline runs, read from the folder of all."""
    os.environ["WANDB_MODE"], os.environ["WANDB_SILENT"] = "offline", "true"
    import wandb as library

    for seed in (0, 1):
        run = library.init(project="p", config={"seed": seed}, dir=str(folder))
        for step in range(500):
            run.log({"loss": seed + 1 / (step + 1), "nested": {"a": step}})
        run.finish()
    for seed, table in read_metrics(str(folder / "wandb"), [0, 1]):
        assert table["loss"].tolist() == [seed + 1 / (step + 1) for step in range(500)]
        assert table["nested.a"].tolist() == list(range(500))


LIBRARIES: dict[str, Callable[[Path], None]] = {
    "lightning": lightning, "peft": peft, "mlflow": mlflow, "wandb": wandb,
}  # fmt: skip

if __name__ == "__main__":
    for chosen in sys.argv[1:] or LIBRARIES:
        with tempfile.TemporaryDirectory() as made:
            LIBRARIES[chosen](Path(made))
        print(f"{chosen}: as the library says")
