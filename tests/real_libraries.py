"""Runs of real libraries, six tiny ones of each, brought in as a user would, in at most 8 lines.

    python -m pip install pytorch-lightning transformers accelerate peft stable-baselines3
    python -m pip install keras flax mlflow-skinny sqlalchemy alembic sqlparse wandb
    python -m tests.real_libraries lightning trainer peft sb3 keras flax mlflow wandb

Each library trains or logs its runs in a folder of its own, and what this project reads of them is
compared with what the library itself says. Of libraries that are installed here,
`tests/properties/test_real_libraries.py` runs them; the others are run by hand, and `SEEN` says
what was seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.project import ROOT
from training_maps.config.resolve import prepare
from training_maps.config.schema import load_schema
from training_maps.hmm.log_columns import with_log_columns
from training_maps.metrics.compute import checkpoint_metrics, run_metrics
from training_maps.runs.checkpoints import write_manifest
from training_maps.runs.derived_weights import as_doubles
from training_maps.runs.discovery import Pattern, list_run
from training_maps.runs.formats import CheckpointReader
from training_maps.runs.tables import read_logs, read_metrics

SEEDS = range(6)
MOST_LINES = 8

SEEN = """
lightning 2.6.6      checkpoints with a Path among their hyperparameters are read; metrics.csv logs
                     step 9 of the checkpoint at step 10, and joins it with an offset of -1
transformers 5.23.0  folders of checkpoints; trainer_state.json of the last one is the log
peft 0.21.2          scale B A equals merged minus base, and with the base what merging leaves, to
                     1e-6 (float32): LoRA, rsLoRA, patterns of ranks and alphas, GPT-2's turned
                     layers, DoRA of both, modules_to_save
stable-baselines3 2.9.2  archives have each parameter bit for bit; monitor.csv has the returns
keras 3.15.1 (torch)  weights an epoch, whole models and the history; attention, LSTM, norms
flax 0.12.8          states of training in msgpack, bfloat16 too
mlflow 3.17.2        mlflow.db has every value and the seeds; the store of files is in maintenance
wandb 0.31.0         offline runs have every value of 3000 steps, NaN and nested names too
"""

Matrices = Sequence[np.ndarray]


def brought(folder: Path, experiment: str) -> tuple[dict[int, Any], dict[int, Any]]:
    """What a few lines make of the runs in a folder: their metrics, and their logs if there are.

    The lines are checked as a dry run checks them.
    """
    experiment = experiment.strip()
    assert len(experiment.splitlines()) <= MOST_LINES
    (folder / "own.yaml").write_text(experiment)
    with contextlib.chdir(folder):
        config = prepare({"experiments": ["own.yaml"]}, ROOT / "experiments", load_schema())
        settings = config.experiments["own"]
        assert settings["seeds"] == list(SEEDS)
        checkpoints, log = settings["checkpoints"], settings["training_log"]
        metrics = {}
        for seed in SEEDS:
            write_manifest(list_run(Pattern.read(checkpoints["path"]), seed), Path("run.json"))
            metrics[seed] = run_metrics("run.json", base=checkpoints["base"])
        names = ("seed", "step", "epoch", "columns", "repeated_steps")
        told = {name: log[name] for name in names if log[name]}
        logs = dict(read_logs(log["path"], list(SEEDS), **told)) if log["path"] else {}
        joined = settings["observations"]["log_columns"]
        return (with_log_columns(metrics, logs, joined) if joined else metrics), logs


def same(table: Any, step: int, matrices: Matrices, biases: Matrices = ()) -> None:
    """A row of metrics is that of the matrices as the library has them in memory."""
    expected = checkpoint_metrics(
        [np.asarray(m, float).reshape(len(m), -1) for m in matrices],
        [np.asarray(b, float).ravel() for b in biases],
    )
    (row,) = table[table["step"] == step].to_dict("records")
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def lightning(folder: Path) -> None:
    """Checkpoints and metrics.csv; the losses join the checkpoints by the nearest step."""
    import pytorch_lightning as pl
    import torch
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import CSVLogger

    class Model(pl.LightningModule):
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

    models = {}
    for seed in SEEDS:
        pl.seed_everything(seed)
        run = folder / f"run{seed}"
        saved = ModelCheckpoint(run / "ck", "{step}", every_n_train_steps=10, save_top_k=-1)
        data = torch.utils.data.TensorDataset(torch.randn(400, 4))
        models[seed] = Model()
        pl.Trainer(
            max_steps=40, accelerator="cpu", logger=CSVLogger(run, name="", version=""),
            log_every_n_steps=10, callbacks=[saved], enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(models[seed], torch.utils.data.DataLoader(data, batch_size=10))  # fmt: skip
    metrics, logs = brought(
        folder,
        """
source: checkpoints
checkpoints: {path: 'run{seed}/ck/step={step}.ckpt'}
training_log: {path: 'run{seed}/metrics.csv'}
observations: {log_columns: [train_loss]}
""",
    )
    for seed in SEEDS:
        assert metrics[seed]["step"].tolist() == [10, 20, 30, 40]
        assert metrics[seed]["train_loss"].tolist() == logs[seed]["train_loss"].tolist()
        net = models[seed].net
        same(metrics[seed], 40, [net.weight.detach()], [net.bias.detach()])


def trainer(folder: Path) -> None:
    """Folders checkpoint-STEP; the state of the last one has the whole log."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    config = transformers.GPT2Config(
        vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    models = {}
    for seed in SEEDS:
        transformers.set_seed(seed)
        model = models[seed] = transformers.GPT2LMHeadModel(config)
        rows = [{"input_ids": row, "labels": row} for row in torch.randint(0, 20, (16, 8))]
        told = transformers.TrainingArguments(
            str(folder / f"seed{seed}"), max_steps=6, save_steps=2, logging_steps=2, seed=seed,
            per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        transformers.Trainer(model, told, train_dataset=rows).train()
    metrics, logs = brought(
        folder,
        """
source: checkpoints
checkpoints: {path: 'seed{seed}/checkpoint-{step}/'}
training_log: {path: 'seed{seed}/checkpoint-6/trainer_state.json', columns: {train_loss: loss}}
""",
    )
    for seed in SEEDS:
        assert metrics[seed]["step"].tolist() == [2, 4, 6]
        assert logs[seed]["step"].tolist() == [2, 4, 6]
        assert np.isfinite(logs[seed]["train_loss"]).all()
        block = models[seed].transformer.h[0]
        layers = [block.attn.c_attn, block.attn.c_proj, block.mlp.c_fc, block.mlp.c_proj]
        weights = [layer.weight.detach() for layer in layers]
        same(metrics[seed], 6, weights, [layer.bias.detach() for layer in layers])


def peft(folder: Path) -> None:
    """Adapters alone: what merging adds; and on their base: what merging leaves."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    llama = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    gpt2 = {"n_embd": 32, "n_layer": 2, "n_head": 2}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("Llama", {"target_modules": ["q_proj", "v_proj"]}),
        ("Llama", {"target_modules": ["q_proj", "down_proj"], "use_rslora": True,
                   "alpha_pattern": {"down_proj": 3, "layers.1.down_proj": 5},
                   "rank_pattern": {"down_proj": 2}}),
        ("GPT2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
        ("Llama", {"target_modules": ["q_proj", "up_proj"], "use_dora": True}),
        ("GPT2", {"target_modules": ["c_fc"], "fan_in_fan_out": True, "use_dora": True}),
        ("Llama", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "up_proj"]}),
    ]  # fmt: skip
    for number, (kind, settings) in enumerate(kinds):
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=50, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False,
            **(gpt2 if kind == "GPT2" else {**llama, **heads}),
        )  # fmt: skip
        name = "GPT2LMHeadModel" if kind == "GPT2" else "LlamaForCausalLM"
        base = getattr(transformers, name)(config)
        base.save_pretrained(folder / f"base{number}")
        before = {key: value.clone() for key, value in base.state_dict().items()}
        base.name_or_path = base.config._name_or_path = str(folder / f"base{number}")
        model = get_peft_model(base, LoraConfig(r=4, lora_alpha=16, **settings))
        for key, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" not in key:
                torch.nn.init.normal_(parameter)
        where = folder / f"seed{number}" / "checkpoint-5"
        model.save_pretrained(where)
        merged = model.merge_and_unload().state_dict()
        alone = CheckpointReader().open(where)
        if not settings.get("use_dora"):
            for weight in alone.derived:
                delta = (merged[weight.name] - before[weight.name]).double().numpy()
                _close(alone, weight.name, delta)
        whole = CheckpointReader(base="auto").open(where)
        for tensor, *_ in whole.description:
            _close(whole, tensor, merged[tensor].double().numpy())
    brought(
        folder,
        "source: checkpoints\ncheckpoints: {path: 'seed{seed}/checkpoint-{step}/', base: auto}",
    )


def _close(opened: Any, name: str, expected: np.ndarray) -> None:
    _, found_by_name = opened.source([name])
    found = as_doubles(*found_by_name[name], name)
    np.testing.assert_allclose(found, expected, atol=1e-6 * abs(expected).max())


def sb3(folder: Path) -> None:
    """Archives of a checkpoint callback, and the monitor's returns: an outcome without accuracy."""
    import gymnasium
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import CheckpointCallback
    from stable_baselines3.common.monitor import Monitor

    models = {}
    for seed in SEEDS:
        run = folder / f"run{seed}"
        env = Monitor(gymnasium.make("CartPole-v1"), str(run / "monitor.csv"))
        settings = {"net_arch": [8]}
        model = models[seed] = PPO(
            "MlpPolicy", env, n_steps=64, batch_size=32, n_epochs=1, seed=seed, device="cpu",
            policy_kwargs=settings,
        )  # fmt: skip
        saved = CheckpointCallback(64, str(run), name_prefix="ppo")
        model.learn(192, callback=saved)
    metrics, logs = brought(
        folder,
        """
source: checkpoints
checkpoints: {path: 'run{seed}/ppo_{step}_steps.zip'}
training_log: {path: 'run{seed}/monitor.csv', columns: {return: r}}
semantics: {column: return}
""",
    )
    for seed in SEEDS:
        assert metrics[seed]["step"].tolist() == [64, 128, 192]
        assert logs[seed]["return"].min() >= 1
        parameters = {n: p.detach() for n, p in models[seed].policy.named_parameters()}
        matrices = [p for p in parameters.values() if p.ndim == 2]
        biases = [p for n, p in parameters.items() if n.endswith("bias")]
        models[seed].save(str(folder / "last"))
        opened = CheckpointReader().open(folder / "last.zip")
        for name, value in parameters.items():
            np.testing.assert_array_equal(opened.doubles([name])[0], value.numpy())
        assert len(matrices) == 4
        assert len(biases) == 4


def keras(folder: Path) -> None:
    """Weights an epoch, a whole model, and the history."""
    os.environ["KERAS_BACKEND"] = "torch"
    import json

    import keras as library

    models = {}
    for seed in SEEDS:
        library.utils.set_random_seed(seed)
        inputs = library.Input((6,), dtype="int32")
        x = library.layers.Embedding(20, 8)(inputs)
        x = library.layers.MultiHeadAttention(2, 4)(x, x)
        x = library.layers.Conv1D(5, 3)(library.layers.LayerNormalization()(x))
        x = library.layers.Dense(3)(library.layers.LSTM(4)(library.layers.BatchNormalization()(x)))
        model = models[seed] = library.Model(inputs, x)
        model.compile("adam", "mse")
        run = folder / f"run{seed}"
        run.mkdir()
        saved = library.callbacks.ModelCheckpoint(
            str(run / "{epoch:02d}.weights.h5"), save_weights_only=True
        )
        draw = np.random.default_rng(seed)
        data = draw.integers(0, 20, (32, 6)), draw.normal(size=(32, 3))
        history = model.fit(*data, epochs=3, verbose=0, callbacks=[saved])
        (run / "history.json").write_text(json.dumps(history.history))
        model.save(run / "model.keras")
    metrics, logs = brought(
        folder,
        """
source: checkpoints
checkpoints: {path: 'run{seed}/{step}.weights.h5'}
training_log: {path: 'run{seed}/history.json', columns: {train_loss: loss}}
""",
    )
    for seed in SEEDS:
        assert metrics[seed]["step"].tolist() == [1, 2, 3]
        assert logs[seed]["step"].tolist() == [1, 2, 3]
        matrices, biases = [], []
        for variable in models[seed].trainable_variables:
            value = np.asarray(variable.numpy(), float)
            if variable.name == "bias":
                biases.append(value)
            elif "kernel" in variable.name and variable.path.split("/")[-2].startswith(
                ("q", "k", "v")
            ):
                matrices.append(value.reshape(len(value), -1))
            elif "kernel" in variable.name:
                matrices.append(value.reshape(-1, value.shape[-1]))
        same(metrics[seed], 3, matrices, biases)
        archive = CheckpointReader().open(folder / f"run{seed}" / "model.keras")
        assert len(archive.description) == len(
            [v for v in models[seed].variables if "seed" not in v.path]
        )


def flax(folder: Path) -> None:
    """States of training in msgpack, with bfloat16 among them."""
    import jax
    import jax.numpy as jnp
    from flax import linen, serialization

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            x = linen.LayerNorm()(linen.Embed(20, 8)(x))
            x = linen.SelfAttention(2)(x)
            return linen.Dense(3, param_dtype=jnp.bfloat16)(x)

    states = {}
    for seed in SEEDS:
        variables = Net().init(jax.random.PRNGKey(seed), jnp.zeros((2, 5), int))
        for step in (10, 20):
            state = {"step": step, "params": variables["params"], "opt_state": {"mu": variables}}
            (folder / f"run{seed}-{step}.msgpack").write_bytes(serialization.to_bytes(state))
        states[seed] = variables["params"]
    metrics, _ = brought(
        folder, "source: checkpoints\ncheckpoints: {path: 'run{seed}-{step}.msgpack'}"
    )
    for seed in SEEDS:
        leaves: Mapping[str, Any] = {
            ".".join(str(key.key) for key in path): np.asarray(leaf, float)
            for path, leaf in jax.tree_util.tree_flatten_with_path(states[seed])[0]
        }
        matrices = [
            v.reshape(8, -1) if v.ndim == 3 and "out" not in n else v.reshape(-1, v.shape[-1])
            for n, v in leaves.items() if n.endswith("kernel")
        ]  # fmt: skip
        biases = [v for n, v in leaves.items() if n.endswith("bias") and "Norm" not in n]
        same(metrics[seed], 20, matrices, biases)


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
    "lightning": lightning, "trainer": trainer, "peft": peft, "sb3": sb3, "keras": keras,
    "flax": flax, "mlflow": mlflow, "wandb": wandb,
}  # fmt: skip

if __name__ == "__main__":
    for chosen in sys.argv[1:] or LIBRARIES:
        with tempfile.TemporaryDirectory() as made:
            LIBRARIES[chosen](Path(made))
        print(f"{chosen}: as the library says")
