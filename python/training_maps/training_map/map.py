"""The training map: the states that runs pass through, and the ways they take between them.

Source: Hu et al. 2023, section 2.2. Vertices are the states of a hidden Markov model that some run
visits, edges the transitions that some run uses; both carry the metrics that characterise them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from training_maps.result_tables import LAYER_CHANGE_COLUMNS
from training_maps.settings.sections import TrainingMapSettings
from training_maps.training_map.elements import (
    State,
    Transition,
    state_from_dict,
    transition_from_dict,
    transition_to_dict,
)
from training_maps.training_map.export import write_dot, write_graphml
from training_maps.training_map.extraction import (
    numbering_notes,
    scarcity_notes,
    states_of_model,
    states_of_paths,
    transitions_of_model,
    transitions_of_paths,
    used_transitions,
    viterbi_paths,
)
from training_maps.training_map.features import (
    INVERSE_COVARIANCE,
    features_by_inverse_covariance,
    inverse_diagonals,
)
from training_maps.training_map.noise import noise_notes, noise_of
from training_maps.training_map.paths import (
    Route,
    check_state_paths,
    explain_routes,
    find_routes,
    read_state_paths,
)
from training_maps.training_map.posterior_gradient import (
    POSTERIOR_GRADIENT,
    features_by_posterior_gradient,
)
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_json, read_table, write_json
from training_maps.utils.notes import Note, notes_from

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training_maps.model_selection.select import SelectedModel

FEATURE_RANKINGS = (INVERSE_COVARIANCE, POSTERIOR_GRADIENT)


@dataclass(frozen=True, eq=False, repr=False)
class TrainingMap:
    """Latent states of training, the transitions between them and each run's path.

    Attributes:
        states: states that some run visits, ascending.
        transitions: transitions between different states that some run uses, ascending.
        paths: table of `seed`, `step`, `state`, a row a checkpoint: every run's most likely
            (Viterbi) path.
        metrics: columns of the observations; none without a model.
        selected_model: kind of `model`, its `n_states` (visited or not), `restart`, `criterion`,
            `aggregate`, `covariance` and `value` of the criterion; None without a model.
        feature_ranking: what ranks features: "inverse_covariance" or "posterior_gradient"; None
            without a model.
        notes: what a reader should know.
        experiment: name of the experiment, if it has one.
        layers: how each layer of the networks changes at each transition, a table with
            `result_tables.LAYER_CHANGE_COLUMNS`; None where that is not known
            (`analysis.layer_changes` computes it).
    """

    states: tuple[State, ...]
    transitions: tuple[Transition, ...]
    paths: pd.DataFrame
    metrics: tuple[str, ...]
    selected_model: Mapping[str, Any] | None = field(default_factory=dict)
    feature_ranking: str | None = INVERSE_COVARIANCE
    notes: tuple[Note, ...] = ()
    experiment: str | None = None
    layers: pd.DataFrame | None = None

    @classmethod
    def from_model(
        cls,
        model: SelectedModel,
        *,
        n_features: int = TrainingMapSettings.n_features,
        features: str = TrainingMapSettings.features,
        experiment: str | None = None,
    ) -> TrainingMap:
        """Extract the map from a selected model and decode every run's path.

        Args:
            model: as `training_maps.select_hmm` returns it.
            n_features: how many features label a state; the paper shows 3.
            features: what ranks them: "inverse_covariance", the diagonal of a state's inverse
                covariance (Proposition 1), or "posterior_gradient", how much they change the
                state's posterior probability where runs enter it (`posterior_gradient`).
            experiment: name to keep with the map.

        Raises:
            InputError: if `n_features` is not positive, or `features` is not one of the two.
        """
        if n_features < 1:
            raise InputError(f"n_features must be at least 1, not {n_features}")
        if features not in FEATURE_RANKINGS:
            raise InputError(f"features: {features!r} is not one of {', '.join(FEATURE_RANKINGS)}")
        paths = viterbi_paths(model)
        visited = [int(state) for state in np.unique(paths["state"])]
        inverse, notes = inverse_diagonals(model.hmm.covars_, visited)
        notes += scarcity_notes(paths, model)
        if features == POSTERIOR_GRADIENT:
            top, changes, more = features_by_posterior_gradient(model, paths, inverse, n_features)
            notes += more
        else:
            edges = used_transitions(paths)
            top, changes = features_by_inverse_covariance(model, inverse, edges, n_features)
        noise = noise_of(model, paths)
        notes += [*noise_notes(noise), *explain_routes(find_routes(paths))]
        return cls(
            states=states_of_model(paths, model, top, inverse, noise),
            transitions=transitions_of_model(paths, model, changes),
            paths=paths,
            metrics=tuple(model.observations.metrics),
            selected_model=_settings_of(model),
            feature_ranking=features,
            notes=tuple(dict.fromkeys([*model.observations.notes, *model.notes, *notes])),
            experiment=experiment,
        )

    @classmethod
    def from_paths(cls, state_paths: pd.DataFrame, experiment: str | None = None) -> TrainingMap:
        """The map of runs whose states are known, from whatever source; there is no model.

        States have no features, means or covariances, and `selected_model` is None. Probabilities
        are shares of the checkpoints that are followed by another.

        Args:
            state_paths: table of `seed`, `step`, `state`, one row a checkpoint, all whole numbers.
            experiment: name to keep with the map.

        Raises:
            InputError: if the table is empty, lacks a column, holds anything but whole numbers, or
                has a step of a seed twice.
        """
        paths = check_state_paths(state_paths)
        return cls(
            states=states_of_paths(paths),
            transitions=transitions_of_paths(paths),
            paths=paths,
            metrics=(),
            selected_model=None,
            feature_ranking=None,
            notes=(*numbering_notes(paths), *explain_routes(find_routes(paths))),
            experiment=experiment,
        )

    @cached_property
    def routes(self) -> tuple[Route, ...]:
        """Distinct sequences of states, most common first, ties in the order of their states."""
        return find_routes(self.paths)

    @property
    def is_linear(self) -> bool:
        """Whether every run passes through the same states in the same order.

        Taken to the letter (Hu et al. 2023, sections 3.2 and 3.4): one route. A run that ends
        before the last state, or that returns to a state where the others do not, makes the map
        fork; `notes` say so where that is all that differs. Runs that all return to a state in the
        same way are linear.
        """
        return len(self.routes) == 1

    @property
    def means(self) -> pd.DataFrame | None:
        """Means of the states, (n_states, n_metrics), indexed by state; None without a model."""
        rows = [state.mean for state in self.states if state.mean is not None]
        if len(rows) < len(self.states):
            return None
        index = pd.Index([state.state for state in self.states], name="state")
        return pd.DataFrame(rows, index=index, columns=list(self.metrics))

    def to_dict(self) -> dict[str, Any]:
        """All but the paths' steps, ready for JSON."""
        return {
            "experiment": self.experiment,
            "metrics": list(self.metrics),
            "linear": self.is_linear,
            "selected_model": self._model_settings(),
            "feature_ranking": self.feature_ranking,
            "states": [asdict(state) for state in self.states],
            "transitions": [transition_to_dict(edge) for edge in self.transitions],
            "paths": [
                {"states": list(route.states), "seeds": list(route.seeds)} for route in self.routes
            ],
            "notes": [note.to_dict() for note in self.notes],
        }

    def _model_settings(self) -> dict[str, Any] | None:
        return None if self.selected_model is None else dict(self.selected_model)

    def to_json(self, path: str | os.PathLike[str], **settings: Any) -> None:
        """Write `to_dict()` to `path`, with `settings` in its `made_by`."""
        write_json({**self.to_dict(), "made_by": made_by(**settings)}, path)

    @classmethod
    def from_json(
        cls, path: str | os.PathLike[str], paths: pd.DataFrame | str | os.PathLike[str]
    ) -> TrainingMap:
        """Read a map that `to_json` wrote, and the changes of layers beside it, if they are there.

        Args:
            path: the map's JSON file.
            paths: the runs' paths, as a table of `seed`, `step`, `state` or a file of it.

        Raises:
            InputError: if a file is missing or is not what it should be; the message names it.
        """
        data = read_json(path)
        changes = Path(path).with_name("layer_changes.parquet")
        table = paths if isinstance(paths, pd.DataFrame) else read_state_paths(paths)
        try:
            return cls(
                states=tuple(state_from_dict(state) for state in data["states"]),
                transitions=tuple(transition_from_dict(edge) for edge in data["transitions"]),
                paths=table,
                metrics=tuple(data["metrics"]),
                selected_model=data["selected_model"],
                feature_ranking=data["feature_ranking"],
                notes=notes_from(data["notes"], path),
                experiment=data["experiment"],
                layers=read_table(changes, LAYER_CHANGE_COLUMNS) if changes.is_file() else None,
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: is not a training map (at {error})") from error

    def to_networkx(self) -> nx.DiGraph:
        """The map as a directed graph; vertices and edges carry the fields of their records."""
        import networkx as nx

        graph = nx.DiGraph(
            experiment=self.experiment,
            linear=self.is_linear,
            selected_model=self._model_settings(),
        )
        for state in self.states:
            graph.add_node(state.state, **asdict(state))
        for edge in self.transitions:
            attributes = asdict(edge)
            graph.add_edge(attributes.pop("source"), attributes.pop("target"), **attributes)
        return graph

    def to_graphml(self, path: str | os.PathLike[str]) -> None:
        """Write the map as GraphML; see `training_maps.training_map.export`."""
        write_graphml(self.to_dict(), path)

    def to_dot(self, path: str | os.PathLike[str]) -> None:
        """Write the map in Graphviz's language; see `training_maps.training_map.export`."""
        write_dot(self.to_dict(), path)

    def plot(self, ax: Axes | None = None, **options: Any) -> Figure:
        """Draw the map, on `ax` if given; options are those of `draw_training_map`.

        See `training_maps.figures.map.drawing`.
        """
        from training_maps.figures.map.drawing import draw_training_map

        return draw_training_map(self, ax=ax, **options)

    def _repr_html_(self) -> str:
        """The map as notebooks show it: a picture, and tables of its states and transitions."""
        from training_maps.figures.map.notebook import html_view

        return html_view(self.to_dict(), repr(self).splitlines()[0])

    def __repr__(self) -> str:
        """The map in a few lines: its shape, its states and its routes."""
        n_runs = self.paths["seed"].nunique()
        shape = "linear" if self.is_linear else f"forks into {len(self.routes)} routes"
        lines = [
            f"TrainingMap: {len(self.states)} states, {len(self.transitions)} transitions, "
            f"{n_runs} runs, {shape}",
        ]
        lines += [
            f"  state {state.state}{f': {state.name}' if state.features else ''} "
            f"({state.share_of_checkpoints:.0%} of checkpoints, {state.n_runs} runs)"
            for state in self.states
        ]
        lines += [f"  {route}" for route in self.routes]
        return "\n".join(lines)


def _settings_of(model: SelectedModel) -> dict[str, Any]:
    """What a map says of its model."""
    return {
        "model": model.kind,
        "n_states": int(model.n_states),
        "restart": int(model.restart),
        "criterion": model.criterion,
        "aggregate": model.aggregate,
        "covariance": model.covariance,
        "value": float(model.value),
    }
