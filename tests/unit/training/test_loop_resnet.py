"""The largest network of the paper through the whole of training, on a handful of images."""

import numpy as np
import pandas as pd
import pytest

from training_maps.metrics.definitions import METRIC_COLUMNS
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """An .npz of 12 + 8 images of 32x32 in two classes: bright above or bright below."""
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    images = rng.integers(0, 100, (20, 3, 32, 32)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 16 * label : 16 * label + 16] += 150
    path = tmp_path_factory.mktemp("photographs") / "photographs.npz"
    np.savez(
        path,
        train_images=images[:12], train_labels=labels[:12],
        eval_images=images[12:], eval_labels=labels[12:],
    )  # fmt: skip
    return str(path)


@pytest.mark.parametrize("stable", [True, False], ids=["stable", "destabilized"])
def test_a_resnet_trains_and_is_measured_without_checkpoints(stable, photographs, tmp_path):
    task = make_task("cifar", {"dataset": photographs, "batch_norm": stable, "residual": stable})
    recipe = Recipe(
        "adamw", learning_rate=3e-4, batch_size=12, unit="step", length=6, checkpoint_every=3
    )
    train(task, "cifar", recipe, [0], Recording(tmp_path, "metrics"), device="cpu")
    run = tmp_path / "seed-0"
    log = pd.read_parquet(run / "training_log.parquet")
    table = pd.read_parquet(run / "metrics.parquet")
    assert log["step"].tolist() == table["step"].tolist() == [0, 3, 6]
    assert list(table.columns) == ["step", *METRIC_COLUMNS]
    assert np.isfinite(table.to_numpy()).all()
    assert table["l2"].nunique() == 3
    assert np.isfinite(log[1:].to_numpy()).all()  # no gradient before the first step
    assert not (run / "checkpoints").exists()
