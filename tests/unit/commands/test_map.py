"""`training-maps map`: from fits to the map and its files."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest

from tests.support.known_chains import METRICS, model_of, run_of
from training_maps import cli
from training_maps.hmm.observations import Observations
from training_maps.model_selection.fit import fit_hmm
from training_maps.model_selection.fitted import save_fitted
from training_maps.model_selection.select import load_selected
from training_maps.training_map.map import TrainingMap


class TestCommand:
    @pytest.fixture
    def fitted(self, tmp_path):
        """A folder with fits to six runs that go 0-1-2 and four that go 0-2."""
        runs = [run_of(0, 1, 2, stay=n) for n in (8, 9, 10, 11, 12, 13)]
        runs += [run_of(0, 2, stay=n) for n in (8, 9, 10, 11)]
        observations = model_of(runs).observations
        observations.save(tmp_path / "observations.parquet")
        for k in (2, 3):
            fit = fit_hmm(observations, k, restarts=2)
            save_fitted(tmp_path / "hmm" / f"states-{k}.npz", fit, observations)
            fit.scores.to_csv(tmp_path / "hmm" / f"states-{k}.csv", index=False)
        return tmp_path

    def arguments(self, folder, **changes):
        options = {
            "observations": folder / "observations.parquet",
            "models": folder / "hmm",
            "n-states": "2-3",
            "experiment": "toy",
            "selection": folder / "hmm" / "model_selection.csv",
            "stability": folder / "hmm" / "stability.json",
            "output": folder / "training_map.json",
            "state-paths": folder / "state_paths.csv",
        } | changes
        return ["map", *(f"--{name}={value}" for name, value in options.items())]

    def test_finds_the_planted_fork(self, fitted, capsys):
        assert cli.main(self.arguments(fitted)) == 0
        tmap = TrainingMap.from_json(fitted / "training_map.json", fitted / "state_paths.csv")
        assert [(route.states, len(route.seeds)) for route in tmap.routes] == [
            ((0, 1, 2), 6),
            ((0, 2), 4),
        ]
        assert tmap.experiment == "toy"
        selection = pd.read_csv(fitted / "hmm" / "model_selection.csv")
        assert selection["n_states"].tolist() == [2, 2, 3, 3]
        assert "6 runs: 0-1-2" in capsys.readouterr().err
        assert tmap.feature_ranking == "inverse_covariance"
        assert cli.main(self.arguments(fitted, features="posterior_gradient")) == 0
        again = TrainingMap.from_json(fitted / "training_map.json", fitted / "state_paths.csv")
        assert again.feature_ranking == "posterior_gradient"
        assert again.routes == tmap.routes
        assert again.transitions[0].feature_changes[0].posterior_gradient is not None

    def test_edges_of_a_fitted_model_are_those_of_its_paths(self, fitted):
        observations = Observations.load(fitted / "observations.parquet")
        model = load_selected(observations, fitted / "hmm", [3], "bic", "mean")
        tmap = TrainingMap.from_model(model)
        used = set()
        for _, run in tmap.paths.groupby("seed"):
            states = run["state"].tolist()
            used |= {pair for pair in pairwise(states) if pair[0] != pair[1]}
        assert {(edge.source, edge.target) for edge in tmap.transitions} == used
        for edge in tmap.transitions:
            difference = model.hmm.means_[edge.target] - model.hmm.means_[edge.source]
            for change in edge.feature_changes:
                assert change.change == difference[METRICS.index(change.metric)]

    @pytest.mark.parametrize("n_states", ["0-3", "3-1", "two", "1.5"])
    def test_wrong_numbers_of_states(self, tmp_path, n_states, capsys):
        assert cli.main(self.arguments(tmp_path, **{"n-states": n_states})) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"--n-states '{n_states}'")
        assert len(error.splitlines()) == 1
