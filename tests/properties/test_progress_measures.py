"""Progress measures of modular addition against closed forms, a slow twin, and a trained run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from scipy.special import log_softmax
from tools import progress_measures

from tests.support.project import ROOT
from training_maps.training.random_streams import Streams
from training_maps.training.tasks.modular_addition import ModularAddition
from training_maps.utils.files import read_json

P = 11


@pytest.fixture
def sums():
    pairs = np.random.default_rng(0).permutation(P**2)
    return progress_measures.Sums(pairs // P, pairs % P, np.arange(P**2) < 40)


def wave(sums, k, size=1.0):
    """The answer by trigonometry: size * cos(2 pi k (a + b - c) / p), (n, p)."""
    return size * np.cos(2 * np.pi * k / P * ((sums.a + sums.b)[:, None] - np.arange(P)))


class TestLosses:
    def test_of_pure_waves_all_is_kept_and_all_is_taken_away(self, sums):
        logits = wave(sums, 2, 5) + wave(sums, 3, 4)
        found = progress_measures.measure(sums, logits, [2, 3])
        right = -log_softmax(logits, axis=1)[np.arange(P**2), sums.answers].mean()
        assert found["loss"] == pytest.approx(right, abs=1e-12)
        assert found["restricted_loss"] == pytest.approx(right, abs=1e-12)
        assert found["excluded_loss"] == pytest.approx(np.log(P), abs=1e-12)
        assert found["key_share"] == pytest.approx(1, abs=1e-12)

    def test_of_a_table_of_answers_nothing_is_kept_of_key_frequencies(self, sums):
        """A memorised sum hardly shows in waves: excluding them hardly hurts."""
        logits = np.zeros((P**2, P))
        logits[np.flatnonzero(sums.trained_on), sums.answers[sums.trained_on]] = 30
        found = progress_measures.measure(sums, logits, [2])
        assert found["excluded_loss"] < 0.01
        assert found["restricted_loss"] > 1.5

    def test_equal_projections_on_the_waves_over_all_sums(self, sums):
        """Nanda et al. 2023, Section 5: directions cos(w(a+b)) and sin(w(a+b)) in all p^2 sums."""
        rng = np.random.default_rng(1)
        logits = wave(sums, 4, 3) + rng.normal(size=(P**2, P))
        parts = np.zeros_like(logits)
        for k in (1, 4):
            for turn in (np.cos, np.sin):
                direction = turn(2 * np.pi * k / P * (sums.a + sums.b))
                direction /= np.linalg.norm(direction)
                parts += np.outer(direction, direction @ logits)
        found = progress_measures.measure(sums, logits, [1, 4])
        rows = np.arange(P**2)
        kept = -log_softmax(parts + logits.mean(0), axis=1)[rows, sums.answers]
        without = -log_softmax(logits - parts, axis=1)[rows, sums.answers]
        assert found["restricted_loss"] == pytest.approx(kept.mean(), abs=1e-12)
        assert found["excluded_loss"] == pytest.approx(without[sums.trained_on].mean(), abs=1e-12)

    def test_key_frequencies_are_those_that_were_planted(self, sums):
        logits = wave(sums, 2, 5) + wave(sums, 5, 1) + 7.0
        assert progress_measures.key_frequencies(sums, logits).tolist() == [2, 5]
        assert progress_measures.key_frequencies(sums, logits, 0.5).tolist() == [2]


class TestEmbedding:
    def test_gini_of_equal_values_and_of_one_alone(self):
        assert progress_measures.gini(np.ones(8)) == pytest.approx(0, abs=1e-15)
        assert progress_measures.gini(np.eye(8)[0]) == pytest.approx(7 / 8)

    def test_gini_is_half_the_relative_mean_difference(self):
        values = np.random.default_rng(2).exponential(size=30)
        differences = np.abs(values[:, None] - values).mean()
        expected = differences / (2 * values.mean())
        assert progress_measures.gini(values) == pytest.approx(expected)

    def test_power_of_a_wave_is_at_its_frequency(self):
        embedding = np.outer(np.cos(2 * np.pi * 3 / P * np.arange(P)), [1.0, 2.0])
        power = progress_measures.embedding_power(embedding)
        assert power.argmax() == 2
        assert np.delete(power, 2) == pytest.approx(0, abs=1e-20)


class TestRuns:
    def test_sums_are_those_that_training_drew(self):
        task = ModularAddition(modulus=P)
        data = task.data(Streams(3).data)
        sums = progress_measures.sums_of(task, 3)
        on = sums.trained_on
        assert (sums.a[on] == data.train_inputs[:, 0]).all()
        assert (sums.answers[on] == data.train_targets).all()
        assert (sums.answers[~on] == data.eval_targets).all()
        assert sums.modulus == P

    def test_the_logits_are_the_network_s(self, sums):
        task = ModularAddition(modulus=P, d_model=8, n_heads=2, d_head=4, d_mlp=16)
        network = Streams(0).initialise(task)
        found = progress_measures.logits_of(task, network.state_dict(), sums)
        tokens = torch.tensor([[int(sums.a[5]), int(sums.b[5]), P]])
        assert found[5] == pytest.approx(network(tokens)[0, :P].detach().numpy(), abs=1e-6)

    def test_a_run_s_table_has_a_row_a_checkpoint(self, tmp_path, monkeypatch):
        task = ModularAddition(modulus=P, d_model=8, n_heads=2, d_head=4, d_mlp=16)
        folder = tmp_path / "seed-4" / "checkpoints"
        folder.mkdir(parents=True)
        for step in (0, 10, 20):
            save_file(
                Streams(step).initialise(task).state_dict(), folder / f"step-{step:06d}.safetensors"
            )
        recipe = {name: getattr(task, name) for name in task.__dataclass_fields__}
        monkeypatch.setattr(progress_measures, "table_metadata", lambda _: recipe | {"seed": 4})
        table = progress_measures.of_run(folder)
        assert table["step"].tolist() == [0, 10, 20]
        assert (table["seed"] == 4).all()
        assert np.isfinite(table[list(progress_measures.COLUMNS)]).all(axis=None)


SHIPPED = ROOT / "reference" / "modular_addition" / "progress.parquet"


@pytest.mark.skipif(not SHIPPED.exists(), reason="no progress measures are shipped")
class TestShipped:
    def test_the_networks_are_those_of_the_log(self):
        """Their loss over all sums is that which training logged of its two parts."""
        table = pd.read_parquet(SHIPPED)
        logs = pd.read_parquet(SHIPPED.with_name("training_log.parquet"))
        recipe = read_json(SHIPPED.with_name("settings.json"))["recipe"]
        both = table.merge(logs, on=["seed", "step"])
        assert len(both) == len(table)
        both = both[both["step"] > 0]  # of an untrained network the logit of "=" counts too
        n = recipe["modulus"] ** 2
        share = int(recipe["train_share"] * n) / n
        logged = share * both["train_loss"] + (1 - share) * both["eval_loss"]
        assert both["loss"].to_numpy() == pytest.approx(logged.to_numpy(), rel=1e-3, abs=1e-6)

    def test_they_are_of_checkpoints_that_the_metrics_are_of(self):
        table = pd.read_parquet(SHIPPED)
        metrics = pd.read_parquet(SHIPPED.with_name("metrics.parquet"))
        both = table.merge(metrics[["seed", "step"]], on=["seed", "step"])
        assert len(both) == len(table)
        modulus = read_json(SHIPPED.with_name("settings.json"))["recipe"]["modulus"]
        first = table.groupby("seed").first()
        # An untrained network knows nothing: about as good as a guess, and no wave stands out.
        assert first["restricted_loss"].to_numpy() == pytest.approx(np.log(modulus), abs=0.3)
        last = table.groupby("seed").last()
        learned = last["loss"] < 0.1
        assert learned.sum() >= 7
        assert (last.loc[learned, "restricted_loss"] < 0.1).all()
        assert (last["excluded_loss"] > last["restricted_loss"]).all()
