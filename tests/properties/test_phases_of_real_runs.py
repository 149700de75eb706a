"""Memorisation and generalisation of real runs: small sparse parities, trained here."""

from __future__ import annotations

import pandas as pd
import pytest

from training_maps.analysis.phases.transitions import find_phase_transitions
from training_maps.hmm.observations import observations
from training_maps.model_selection.select import select_hmm
from training_maps.training.loop import Recording, train
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.training_map.map import TrainingMap

SEEDS = range(6)
RECIPE = Recipe(
    "sgd", learning_rate=0.1, weight_decay=0.01, batch_size=32, length=80, checkpoint_every=2
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Training logs and metrics of six runs on 15 bits, which all of them learn."""
    folder = tmp_path_factory.mktemp("parities")
    task = make_task("sparse_parities", {"n_bits": 15, "n_train": 500})
    train(task, "sparse_parities", RECIPE, SEEDS, Recording(folder, "metrics"), device="cpu")
    tables = {}
    for name in ("training_log", "metrics"):
        tables[name] = {s: pd.read_parquet(folder / f"seed-{s}" / f"{name}.parquet") for s in SEEDS}
    return tables["training_log"], tables["metrics"]


def test_phases_of_real_runs(trained):
    logs, metrics = trained
    model = select_hmm(observations(metrics), n_states=[3], restarts=1, random_state=0)
    tmap = TrainingMap.from_model(model)
    found = find_phase_transitions(tmap.paths, logs)
    levels = found.summary["phases"]["generalisation"]
    assert levels["chance"] == pytest.approx(0.5, abs=0.1)
    assert levels["plateau"] > 0.95
    table = found.table.set_index(["phase", "seed"])
    assert (table["status"] == "found").all()
    for seed, log in logs.items():
        memorised = table.loc[("memorisation", seed)]
        generalised = table.loc[("generalisation", seed)]
        # The evaluation set is learned no earlier than the training set, give or take a checkpoint.
        apart = log["step"].diff().max()
        assert memorised["step"] <= generalised["step"] + apart
        # By eye: halfway is before 0.9 is first exceeded, and after the last value of at most 0.6.
        above = log.loc[log["eval_accuracy"] > 0.9, "step"].min()
        at_chance = log.loc[log["eval_accuracy"] <= 0.6, "step"].max()
        assert at_chance - 2 * apart <= generalised["step"] <= above + 2 * apart
        assert generalised["epoch"] * log["step"].max() / 80 == generalised["step"]
    coincidences = levels["coincidences"]
    assert sum(c["n_runs"] for c in coincidences if c["state"] is not None) == 6
