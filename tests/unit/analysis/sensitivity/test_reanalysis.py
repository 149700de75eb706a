"""What hangs on the metrics: planted metrics that carry the states, and others that are noise."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from tests.support import simulated_runs
from tests.unit.analysis.sensitivity.test_variants import NOTHING
from training_maps import cli
from training_maps.analysis.semantics.outcomes import time_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.analysis.sensitivity.reanalysis import (
    Reference,
    compare_detours,
    load_reference,
    match_states,
    reanalyse,
    with_metrics,
)
from training_maps.analysis.sensitivity.sentences import COLUMNS
from training_maps.analysis.sensitivity.variants import (
    OPEN_CHOICES,
    OTHER_STARTS,
    Variant,
    find_variants,
)
from training_maps.commands import sensitivity_variant
from training_maps.hmm.observations import Observations
from training_maps.model_selection.restarts import with_split
from training_maps.model_selection.select import select_hmm
from training_maps.training_map.map import TrainingMap
from training_maps.training_map.paths import state_shares
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json, write_json, write_table

HMM = {"n_states": range(1, 5), "restarts": 3}


# How states look: `start` tells state 0 from the others, `detour` tells state 1.
MEANS = {"start": [4.0, 0.0, 0.0], "detour": [0.0, 4.0, 0.0], "noise": [0.0] * 3, "hum": [0.0] * 3}


def rand_index(table):
    """The adjusted Rand index of a contingency table, by its definition (Hubert and Arabie)."""

    def pairs(counts):
        return (counts * (counts - 1) / 2).sum()

    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / pairs(table.sum())
    return (pairs(table) - expected) / ((rows + columns) / 2 - expected)


class TestDetours:
    def test_states_are_matched_as_by_brute_force(self):
        rng = np.random.default_rng(0)
        for _ in range(30):
            a, b = rng.integers(0, 4, 40), rng.integers(0, 3, 40)
            most = max(
                sum(int(((a == of_a) & (b == of_b)).sum()) for of_b, of_a in enumerate(order))
                for order in itertools.permutations(range(4), 3)
            )
            found = match_states(a, b)
            assert len(set(found.values())) == len(found)
            assert sum(int(((a == x) & (b == y)).sum()) for y, x in found.items()) == most

    def test_a_detour_under_another_number_is_kept(self):
        before, after = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([2, 2, 0, 0, 1, 1, 1])
        found = compare_detours(before, after, [1], [0])
        assert (found["detours_kept"], found["detours_lost"], found["detours_new"]) == ([1], [], [])
        assert found["detour_overlap"] == pytest.approx(2 / 3)

    def test_lost_and_new_ones(self):
        before = after = np.array([0, 1, 1, 2])
        found = compare_detours(before, after, [1], [2])
        assert (found["detours_kept"], found["detours_lost"], found["detours_new"]) == (
            [],
            [1],
            [2],
        )
        assert found["detour_overlap"] == 0
        assert compare_detours(before, after, [], [])["detour_overlap"] is None

    def test_a_state_that_matches_none_is_new(self):
        found = compare_detours(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1]), [0], [0, 1])
        assert (found["detours_kept"], found["detours_new"]) == ([0], [1])
        assert found["detour_overlap"] == 1


@pytest.fixture(scope="module")
def planted():
    """Forty runs through a map with a detour; two metrics carry its states, two are noise."""
    paths, convergence = simulated_runs.simulate(simulated_runs.detour, 40, seed=0)
    rng = np.random.default_rng(1)
    values = {
        name: np.array(means)[paths["state"]] + rng.normal(0, 0.5, len(paths))
        for name, means in MEANS.items()
    }
    split = np.where(paths["seed"] % 5 == 4, "validation", "train")
    table = paths[["seed", "step"]].assign(split=split, **values)
    obs = Observations(table, tuple(MEANS))
    model = select_hmm(obs, **HMM)
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    tmap = TrainingMap.from_model(model)
    fit = regress(state_shares(tmap.paths), outcome, alternatives=False)
    reference = Reference(
        paths=tmap.paths,
        n_states=model.n_states,
        model=model.kind,
        outcome=outcome,
        regression={name: getattr(fit, name) for name in ("r_squared", "p_value", "reason")}
        | {"detour_states": list(fit.detour_states)},
        settings={"censored": "last_step", "significance": 0.001, "n_resamples": 50},
    )
    assert (model.n_states, fit.detour_states) == (3, (1,))
    return obs, reference, convergence, tmap


class TestPlantedMetrics:
    @pytest.mark.parametrize("metric", ["noise", "hum"])
    def test_leaving_out_noise_changes_nothing(self, planted, metric):
        obs, reference, *_ = planted
        found = reanalyse(obs, Variant("v", left_out=metric), reference, **HMM)
        assert (found["n_states"], found["n_forks"]) == (3, 1)
        assert found["adjusted_rand_index"] > 0.99
        assert found["r_squared"] == pytest.approx(reference.regression["r_squared"], abs=0.01)
        assert (found["detours_kept"], found["detours_new"]) == ([1], [])
        assert found["detour_overlap"] > 0.98
        assert metric not in found["metrics"]

    def test_leaving_out_what_tells_the_detour_loses_it(self, planted):
        obs, reference, *_ = planted
        found = reanalyse(obs, Variant("v", left_out="detour"), reference, **HMM)
        assert found["n_states"] == 2
        assert found["adjusted_rand_index"] < 0.7
        assert found["r_squared"] < reference.regression["r_squared"] - 0.1
        assert found["detours_lost"] == [1]

    def test_noise_alone_has_nothing_of_the_states(self, planted):
        obs, reference, *_ = planted
        found = reanalyse(obs, Variant("v", ("noise", "hum")), reference, **HMM)
        assert found["n_states"] == 1
        assert abs(found["adjusted_rand_index"]) < 0.01
        assert found["p_value"] is None
        assert "stays in state 0" in found["notes"][0]["text"]

    def test_the_subset_that_carries_the_states_is_enough(self, planted):
        obs, reference, *_ = planted
        found = reanalyse(obs, Variant("v", ("detour", "start", "bias")), reference, **HMM)
        assert found["adjusted_rand_index"] > 0.99
        assert found["metrics"] == ["start", "detour"]  # in the order of the observations
        assert found["notes"] == [
            {"kind": "missing_metrics", "text": "The observations have no bias."}
        ]

    def test_other_starts_are_other_starts_and_all_metrics(self, planted):
        obs, reference, *_ = planted
        found = reanalyse(obs, Variant(OTHER_STARTS), reference, **HMM, random_state=7)
        again = select_hmm(obs, **HMM, random_state=8)
        expected = TrainingMap.from_model(again).paths
        assert found["metrics"] == list(MEANS)
        assert found["n_states"] == again.n_states
        assert (expected["state"] == reference.paths["state"]).mean() > 0.99
        assert found["adjusted_rand_index"] > 0.99

    def test_changed_settings_are_those_of_the_fits(self, planted):
        obs, reference, *_ = planted
        changes = {"n_states": "2", "covariance": "diag", "restarts": 2}
        found = reanalyse(obs, Variant("v", changes=changes), reference, **HMM)
        again = select_hmm(obs, n_states=[2], covariance="diag", restarts=2)
        paths = TrainingMap.from_model(again).paths
        assert (found["n_states"], found["changes"]) == (2, changes)
        both = pd.crosstab(paths["state"], reference.paths["state"]).to_numpy()
        assert found["adjusted_rand_index"] == pytest.approx(rand_index(both))
        assert found["n_forks"] == 0  # with two states there is one way on
        moves = [tuple(run[run != run.shift()]) for _, run in paths.groupby("seed")["state"]]
        assert found["on_commonest_path"] == max(moves.count(move) for move in moves)
        shares = pd.crosstab(paths["seed"], paths["state"], normalize="index")[1].to_numpy()
        pairs = [abs(a - b) for a, b in itertools.combinations(shares, 2)]
        assert found["dissimilarity"] == pytest.approx(np.mean(pairs))

    def test_another_split_holds_out_as_many_other_runs(self, planted):
        obs, reference, *_ = planted
        again = with_split(obs, 5)
        assert again.sequences("validation")[2] == sorted(
            np.random.default_rng(5).permutation(obs.seeds)[:8].tolist()
        )
        pd.testing.assert_frame_equal(
            again.table.drop(columns="split"), obs.table.drop(columns="split")
        )
        found = reanalyse(obs, Variant("v", changes={"split_seed": 5}), reference, **HMM)
        assert found["r_squared"] == pytest.approx(
            reanalyse(again, Variant("v"), reference, **HMM)["r_squared"], abs=1e-12
        )

    def test_without_an_outcome_there_is_no_regression(self, planted):
        obs, reference, *_ = planted
        bare = Reference(
            reference.paths, 3, "gaussian", None, {**reference.regression, "detour_states": []}, {}
        )
        found = reanalyse(obs, Variant("v", ("start", "detour")), bare, **HMM)
        assert (found["r_squared"], found["p_value"], found["n_detours"]) == (None, None, 0)
        assert found["adjusted_rand_index"] > 0.99

    def test_paths_of_other_checkpoints_are_refused(self, planted):
        obs, reference, *_ = planted
        other = Reference(**{**vars(reference), "paths": reference.paths.iloc[:-1]})
        with pytest.raises(InputError, match="of other checkpoints"):
            reanalyse(obs, Variant("v", ("start",)), other, **HMM)


class TestWithMetrics:
    def test_what_is_left(self, planted):
        obs = planted[0]
        kept, notes = with_metrics(obs, leave_out="hum")
        assert kept.metrics == ("start", "detour", "noise")
        assert list(kept.table.columns) == ["seed", "step", "split", *kept.metrics]
        np.testing.assert_array_equal(kept.table["noise"], obs.table["noise"])
        assert notes == []

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"leave_out": "mean_b"}, "have no mean_b to leave out"),
            ({"keep": ["mean_b"]}, "No metric is left"),
        ],
    )
    def test_nothing_to_find_anew(self, planted, options, reason):
        obs, reference, *_ = planted
        assert with_metrics(obs, **options)[0] is None
        variant = Variant("v", options.get("keep"), options.get("leave_out"))
        assert reason in reanalyse(obs, variant, reference, **HMM)["reason"]


@pytest.fixture(scope="module")
def results(planted, tmp_path_factory):
    """The files of an experiment, as the stages before write them."""
    obs, _, convergence, tmap = planted
    folder = tmp_path_factory.mktemp("results")
    obs.save(folder / "observations.parquet")
    tmap.to_json(folder / "training_map.json")
    write_table(tmap.paths, folder / "state_paths.csv")
    outcome = time_outcome(convergence, "eval_accuracy", 0.9)
    fit = regress(state_shares(tmap.paths), outcome, n_resamples=50, alternatives=False)
    made_by = {"resamples": 50, "random_state": 0}
    about = {"outcome": outcome.to_dict(), "made_by": made_by}
    write_json(fit.to_dict() | about, folder / "regression.json")
    write_table(outcome.per_run.assign(predicted=0.5), folder / "outcomes.csv")
    return folder


def options(folder):
    return [
        "--observations", f"{folder}/observations.parquet",
        "--state-paths", f"{folder}/state_paths.csv",
        "--training-map", f"{folder}/training_map.json",
        "--regression", f"{folder}/regression.json",
        "--outcomes", f"{folder}/outcomes.csv",
    ]  # fmt: skip


class TestCommands:
    def test_variants_are_found_and_gathered(self, results, planted):
        asked = NOTHING | {"leave_one_out": True, "subsets": {"both": ["start"]}}
        variants = [*find_variants(asked, [*MEANS, "mean_b"]).values()]
        files = []
        for variant in variants:
            files.append(f"{results}/{variant.name}.json")
            assert not cli.main([
                "sensitivity_variant", *options(results), *variant.to_arguments(),
                "--n-states", "1-4", "--restarts", "3", "--output", files[-1],
            ])  # fmt: skip
        assert not cli.main([
            "sensitivity", *options(results), "--variants", *files,
            "--table", f"{results}/sensitivity.csv", "--output", f"{results}/sensitivity.json",
        ])  # fmt: skip
        table = pd.read_csv(results / "sensitivity.csv").set_index("variant")
        assert list(table.reset_index().columns) == list(COLUMNS)
        assert list(table.index) == ["reference", *(variant.name for variant in variants)]
        assert table.loc["reference", "adjusted_rand_index"] == 1
        assert table["n_states"].tolist()[:6] == [3, 3, 2, 2, 3, 3]
        assert (
            table.loc["without_mean_b", "reason"] == "The observations have no mean_b to leave out."
        )
        assert str(table.loc["without_noise", "detours_kept"]) == "1.0"
        data = read_json(results / "sensitivity.json")
        told = " ".join(data["sentences"])
        assert "keeps 3 states in 2 of 4 cases; there are 2 without start or detour." in told
        assert "in 2 of 4 cases; they agree least without" in told
        assert "State 1 remains a detour in 3 of 4 cases." in told
        assert "Refitting with other random starts hardly changes the paths (1.00)" in told
        assert "With start (both) 2 states are chosen" in told
        assert "without_mean_b: The observations have no mean_b" in told
        # the same again is the same, but for the time it takes
        direct = reanalyse(
            planted[0], variants[3], load_reference(*(options(results)[i] for i in (3, 5, 7, 9))),
            n_states=[1, 2, 3, 4], restarts=3,
        )  # fmt: skip
        saved = read_json(f"{results}/without_noise.json")
        assert {k: saved[k] for k in direct if k != "seconds"} == {
            k: json.loads(json.dumps(v)) for k, v in direct.items() if k != "seconds"
        }

    def test_changes_that_are_none_are_refused(self, results, capsys):
        for change, why in [
            ("restarts", "NAME=VALUE"), ("linear=true", "NAME=VALUE"), ("restarts=x", "a number"),
        ]:  # fmt: skip
            code = cli.main([
                "sensitivity_variant", *options(results), "--n-states", "2",
                "--change", change, "--output", f"{results}/x.json",
            ])  # fmt: skip
            assert code == 1
            assert f"--change {change}: expected {why}" in capsys.readouterr().err

    def test_a_change_is_read_as_it_is_written(self, results):
        """What a variant's options say is what the command reads, as a number or a word."""
        for changes in [*OPEN_CHOICES.values(), {"n_states": "1-3", "model": ["gaussian"]}]:
            texts = Variant("v", changes=changes).to_arguments()[3:]
            assert sensitivity_variant._changes(texts) == changes

    def test_what_is_no_variant_is_refused(self, results, capsys):
        code = cli.main([
            "sensitivity", *options(results), "--variants", f"{results}/regression.json",
            "--table", f"{results}/x.csv", "--output", f"{results}/x.json",
        ])  # fmt: skip
        assert code == 1
        assert "regression.json: is not a variant" in capsys.readouterr().err
        assert not (results / "x.csv").exists()

    def test_older_results_are_refused(self, results, tmp_path, capsys):
        fit = read_json(results / "regression.json")
        del fit["detour_rule"]
        write_json(fit, tmp_path / "regression.json")
        asked = options(results)
        asked[7] = f"{tmp_path}/regression.json"
        code = cli.main([
            "sensitivity_variant", *asked, "--n-states", "2", "--output", f"{tmp_path}/v.json",
        ])  # fmt: skip
        assert code == 1
        assert "make them again" in capsys.readouterr().err
