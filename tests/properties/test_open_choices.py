"""What tools.open_choices finds, and that the page's summary of it is right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tools import open_choices
from tools.reference_data import REFERENCE

from training_maps.utils.files import read_json

SAID = read_json(REFERENCE / open_choices.NAME / open_choices.FILE)


def simulated(n_runs=12, n_steps=40):
    """Runs of two levels of two metrics, and when each goes over: at a time of its own."""
    rng = np.random.default_rng(0)
    metrics, rows = {}, []
    for seed in range(n_runs):
        turn = int(rng.integers(10, 30))
        level = np.where(np.arange(n_steps) < turn, 0.0, 6.0)
        values = level[:, None] + rng.normal(size=(n_steps, 2))
        metrics[seed] = pd.DataFrame({"step": 10 * np.arange(n_steps), "l1": values[:, 0],
                                      "l2": values[:, 1]})  # fmt: skip
        rows.append((seed, 10 * turn, turn / n_steps, True))
    return metrics, pd.DataFrame(rows, columns=["seed", "step", "fraction", "converged"])


@pytest.fixture(scope="module")
def found():
    metrics, times = simulated()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_choices, "NUMBERS", {"bic": None, "six": 3})
        patch.setattr(open_choices, "FITS", {"diagonal_covariance": {"covariance": "diag"}})
        patch.setattr(open_choices, "SUBSETS", {"authors_l1": ("l1",)})
        patch.setattr(open_choices, "THINNED", (2,))
        return open_choices.choices(metrics, times, {"n_states": [1, 2, 3], "restarts": 2})


def test_planted_states_survive_every_choice(found):
    names = ["here", "diagonal_covariance", "authors_l1", "pooled_scale", "every_2"]
    assert list(found["bic"]) == list(found["six"]) == names
    for name, row in found["bic"].items():
        assert row["n_states"] == 2, name
        assert row["linear"], name
        assert row["n_forks"] == row["n_detours"] == 0, name
        assert row["r_squared"] > 0.9, name
        assert row["adjusted_rand_index"] > 0.9, name
    assert found["bic"]["here"]["adjusted_rand_index"] == 1
    assert all(row["n_states"] == 3 for row in found["six"].values())
    assert found["six"]["here"]["adjusted_rand_index"] == 1


def test_the_summary_counts():
    row = {"n_states": 4, "linear": False, "n_forks": 2, "n_detours": 0, "r_squared": 0.5}
    rows = {
        "a": row | {"adjusted_rand_index": 1.0},
        "b": row | {"linear": True, "n_forks": 0, "r_squared": None, "adjusted_rand_index": 0.2},
        "c": row | {"n_states": 7, "n_detours": 1, "r_squared": 0.9, "adjusted_rand_index": 0.6},
    }
    assert open_choices.summary(rows) == {
        "n": 3, "least_states": 4, "most_states": 7, "linear": 1, "forks": 2, "detours": 1,
        "least_r_squared": 0.5, "most_r_squared": 0.9, "least_agreement": 0.2,
    }  # fmt: skip


def test_what_was_found_begins_where_the_results_are():
    """The choices made here give the map that the workflow made of the same runs."""
    results = read_json(REFERENCE / open_choices.NAME / "results.json")
    for number, of_workflow in (("bic", results), ("six", results["six_states"])):
        here = SAID[number]["here"]
        assert here["n_states"] == of_workflow["n_states"]
        assert here["n_forks"] == len(of_workflow["forks"])
        assert here["n_detours"] == len(of_workflow["detour_states"])
        assert here["r_squared"] == pytest.approx(of_workflow["r_squared"], rel=1e-6)
        assert here["adjusted_rand_index"] == 1
    same = [row for row in results["sensitivity"] if row["variant"] == "six"]
    assert SAID["six"]["here"]["on_commonest_path"] == same[0]["on_commonest_path"]
