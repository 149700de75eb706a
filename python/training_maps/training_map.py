"""The training map: the states that runs pass through, and the ways they take between them.

Source: Hu et al. 2023, section 2.2. Vertices are the states of a hidden Markov model that some run
visits, edges the transitions that some run uses; both carry the metrics that characterise them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from training_maps.errors import InputError
from training_maps.files import made_by, read_json, write_json
from training_maps.metrics import METRICS
from training_maps.state_features import inverse_diagonals, rank_features
from training_maps.state_paths import Route, explain_routes, find_routes, read_state_paths

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training_maps.hmm import SelectedModel


@dataclass(frozen=True)
class Feature:
    """A metric that characterises a state: the larger `inverse_covariance`, the more."""

    metric: str
    inverse_covariance: float
    mean: float


@dataclass(frozen=True)
class FeatureChange:
    """How far a metric moves along a transition, in standard deviations of the metric."""

    metric: str
    change: float


@dataclass(frozen=True)
class State:
    """A vertex of the map.

    Attributes:
        state: its number; states are numbered in the order in which runs visit them.
        name: symbols of its top features, for labels.
        features: its top features, most important first.
        share_of_checkpoints: share of all runs' checkpoints that are in this state, in (0, 1].
        n_runs: number of runs that visit it.
        stay_probability: probability to stay in it from one checkpoint to the next.
        mean: mean of each metric (z-scored).
        inverse_covariance: diagonal of the inverse covariance, of each metric.
    """

    state: int
    name: str
    features: tuple[Feature, ...]
    share_of_checkpoints: float
    n_runs: int
    stay_probability: float
    mean: Mapping[str, float]
    inverse_covariance: Mapping[str, float]


@dataclass(frozen=True)
class Transition:
    """An edge of the map, from one state to another.

    Attributes:
        source: state it leaves.
        target: state it enters.
        probability: the model's transition probability.
        n_runs: number of runs that use it.
        n_uses: number of times it is used; more than `n_runs` where runs return.
        feature_changes: difference of the states' means in the top features of `target`.
    """

    source: int
    target: int
    probability: float
    n_runs: int
    n_uses: int
    feature_changes: tuple[FeatureChange, ...]


@dataclass(frozen=True, eq=False, repr=False)
class TrainingMap:
    """Latent states of training, the transitions between them and each run's path.

    Attributes:
        states: states that some run visits, ascending.
        transitions: transitions between different states that some run uses, ascending.
        paths: table of `seed`, `step`, `state`, a row a checkpoint: every run's most likely
            (Viterbi) path.
        metrics: columns of the observations.
        selected_model: kind of `model`, its `n_states` (visited or not), `restart`, `criterion`,
            `aggregate`, `covariance` and `value` of the criterion.
        notes: what a reader should know, in plain sentences.
        experiment: name of the experiment, if it has one.
    """

    states: tuple[State, ...]
    transitions: tuple[Transition, ...]
    paths: pd.DataFrame
    metrics: tuple[str, ...]
    selected_model: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    experiment: str | None = None

    @classmethod
    def from_model(
        cls, model: SelectedModel, *, n_features: int = 3, experiment: str | None = None
    ) -> TrainingMap:
        """Extract the map from a selected model and decode every run's path.

        Features of a state are ranked by the diagonal of its inverse covariance, largest first
        (Proposition 1).

        Args:
            model: as `training_maps.select_hmm` returns it.
            n_features: how many features label a state; the paper shows 3.
            experiment: name to keep with the map.

        Raises:
            InputError: if `n_features` is not positive.
        """
        if n_features < 1:
            raise InputError(f"n_features must be at least 1, not {n_features}")
        observations, hmm = model.observations, model.hmm
        metrics = tuple(observations.metrics)
        paths = _viterbi_paths(model)
        visited = [int(state) for state in np.unique(paths["state"])]
        inverse, notes = inverse_diagonals(hmm.covars_, visited)
        notes += _scarcity_notes(paths, model)
        ranked = {state: rank_features(metrics, inverse[state])[:n_features] for state in visited}
        routes = find_routes(paths)
        return cls(
            states=_states(visited, paths, model, inverse, ranked),
            transitions=_transitions(paths, model, ranked),
            paths=paths,
            metrics=metrics,
            selected_model={
                "model": model.kind,
                "n_states": int(model.n_states),
                "restart": int(model.restart),
                "criterion": model.criterion,
                "aggregate": model.aggregate,
                "covariance": model.covariance,
                "value": float(model.value),
            },
            notes=tuple(
                dict.fromkeys([*observations.notes, *model.notes, *notes, *explain_routes(routes)])
            ),
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
    def means(self) -> pd.DataFrame:
        """Means of the states, (n_states, n_metrics), indexed by state."""
        rows = [[state.mean[metric] for metric in self.metrics] for state in self.states]
        index = pd.Index([state.state for state in self.states], name="state")
        return pd.DataFrame(rows, index=index, columns=list(self.metrics))

    def to_dict(self) -> dict[str, Any]:
        """All but the paths' steps, ready for JSON."""
        return {
            "experiment": self.experiment,
            "metrics": list(self.metrics),
            "linear": self.is_linear,
            "selected_model": dict(self.selected_model),
            "feature_ranking": "inverse_covariance",
            "states": [asdict(state) for state in self.states],
            "transitions": [_transition_to_dict(edge) for edge in self.transitions],
            "paths": [
                {"states": list(route.states), "seeds": list(route.seeds)} for route in self.routes
            ],
            "notes": list(self.notes),
        }

    def to_json(self, path: str | os.PathLike[str], **settings: Any) -> None:
        """Write `to_dict()` to `path`, with `settings` in its `made_by`."""
        write_json({**self.to_dict(), "made_by": made_by(**settings)}, path)

    @classmethod
    def from_json(
        cls, path: str | os.PathLike[str], paths: pd.DataFrame | str | os.PathLike[str]
    ) -> TrainingMap:
        """Read a map that `to_json` wrote.

        Args:
            path: the map's JSON file.
            paths: the runs' paths, as a table of `seed`, `step`, `state` or a file of it.

        Raises:
            InputError: if a file is missing or is not what it should be; the message names it.
        """
        data = read_json(path)
        table = paths if isinstance(paths, pd.DataFrame) else read_state_paths(paths)
        try:
            return cls(
                states=tuple(_state_from_dict(state) for state in data["states"]),
                transitions=tuple(_transition_from_dict(edge) for edge in data["transitions"]),
                paths=table,
                metrics=tuple(data["metrics"]),
                selected_model=data["selected_model"],
                notes=tuple(data["notes"]),
                experiment=data["experiment"],
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: is not a training map (at {error})") from error

    def to_networkx(self) -> nx.DiGraph:
        """The map as a directed graph; vertices and edges carry the fields of their records."""
        import networkx as nx

        graph = nx.DiGraph(
            experiment=self.experiment,
            linear=self.is_linear,
            selected_model=dict(self.selected_model),
        )
        for state in self.states:
            graph.add_node(state.state, **asdict(state))
        for edge in self.transitions:
            attributes = asdict(edge)
            graph.add_edge(attributes.pop("source"), attributes.pop("target"), **attributes)
        return graph

    def plot(self, ax: Axes | None = None, **options: Any) -> Figure:
        """Draw the map, on `ax` if given; options are those of `draw_training_map`.

        See `training_maps.figures.training_map`.
        """
        from training_maps.figures.training_map import draw_training_map

        return draw_training_map(self, ax=ax, **options)

    def __repr__(self) -> str:
        """The map in a few lines: its shape, its states and its routes."""
        n_runs = self.paths["seed"].nunique()
        shape = "linear" if self.is_linear else f"forks into {len(self.routes)} routes"
        lines = [
            f"TrainingMap: {len(self.states)} states, {len(self.transitions)} transitions, "
            f"{n_runs} runs, {shape}",
        ]
        lines += [
            f"  state {state.state}: {state.name} ({state.share_of_checkpoints:.0%} of "
            f"checkpoints, {state.n_runs} runs)"
            for state in self.states
        ]
        lines += [f"  {route}" for route in self.routes]
        return "\n".join(lines)


def _viterbi_paths(model: SelectedModel) -> pd.DataFrame:
    """Most likely path of every run, train and validation: `seed`, `step`, `state`."""
    observations = model.observations
    x, lengths, seeds = observations.sequences()
    states = model.hmm.predict(x, lengths)
    steps_of = observations.table.groupby("seed")["step"]
    table = pd.DataFrame(
        {
            "seed": np.repeat(np.asarray(seeds, dtype=int), lengths),
            "step": np.concatenate([steps_of.get_group(seed).to_numpy() for seed in seeds]),
            "state": states.astype(int),
        }
    )
    return table.sort_values(["seed", "step"], ignore_index=True)


def _states(
    visited: Sequence[int],
    paths: pd.DataFrame,
    model: SelectedModel,
    inverse: Mapping[int, np.ndarray],
    ranked: Mapping[int, Sequence[str]],
) -> tuple[State, ...]:
    metrics = tuple(model.observations.metrics)
    symbols = {metric.column: metric.symbol for metric in METRICS}  # of the user's own: none
    shares = paths["state"].value_counts(normalize=True)
    n_runs = paths.groupby("state")["seed"].nunique()
    states = []
    for state in visited:
        mean = dict(zip(metrics, model.hmm.means_[state].tolist(), strict=True))
        precision = dict(zip(metrics, inverse[state].tolist(), strict=True))
        states.append(
            State(
                state=state,
                name=", ".join(symbols.get(m, m) for m in ranked[state]),
                features=tuple(Feature(m, precision[m], mean[m]) for m in ranked[state]),
                share_of_checkpoints=float(shares[state]),
                n_runs=int(n_runs[state]),
                stay_probability=float(model.hmm.transmat_[state, state]),
                mean=mean,
                inverse_covariance=precision,
            )
        )
    return tuple(states)


def _transitions(
    paths: pd.DataFrame, model: SelectedModel, ranked: Mapping[int, Sequence[str]]
) -> tuple[Transition, ...]:
    """Transitions that some run uses (pruning, section 2.2), with mu_target - mu_source."""
    metrics = tuple(model.observations.metrics)
    n_uses: Counter[tuple[int, int]] = Counter()
    n_runs: Counter[tuple[int, int]] = Counter()
    for route in find_routes(paths):
        uses = Counter(pairwise(route.states))
        for edge, count in uses.items():
            n_uses[edge] += count * len(route.seeds)
            n_runs[edge] += len(route.seeds)
    transitions = []
    for source, target in sorted(n_uses):
        movement = model.hmm.means_[target] - model.hmm.means_[source]
        changes = dict(zip(metrics, movement.tolist(), strict=True))
        transitions.append(
            Transition(
                source=source,
                target=target,
                probability=float(model.hmm.transmat_[source, target]),
                n_runs=n_runs[source, target],
                n_uses=n_uses[source, target],
                feature_changes=tuple(FeatureChange(m, changes[m]) for m in ranked[target]),
            )
        )
    return tuple(transitions)


def _scarcity_notes(paths: pd.DataFrame, model: SelectedModel) -> list[str]:
    """A full covariance of d metrics is singular but for its prior on d checkpoints or fewer."""
    n_metrics = len(model.observations.metrics)
    if model.covariance != "full" or n_metrics == 1:
        return []
    return [
        f"State {state} has {count} checkpoints for {n_metrics} metrics: its covariance, and with "
        "it the ranking of its features, is not determined by the data."
        for state, count in paths["state"].value_counts().sort_index().items()
        if count <= n_metrics
    ]


def _transition_to_dict(edge: Transition) -> dict[str, Any]:
    fields = asdict(edge)
    return {"from": fields.pop("source"), "to": fields.pop("target"), **fields}


def _transition_from_dict(data: Mapping[str, Any]) -> Transition:
    fields = dict(data)
    changes = tuple(FeatureChange(**change) for change in fields.pop("feature_changes"))
    return Transition(
        source=fields.pop("from"), target=fields.pop("to"), feature_changes=changes, **fields
    )


def _state_from_dict(data: Mapping[str, Any]) -> State:
    fields = dict(data)
    features = tuple(Feature(**feature) for feature in fields.pop("features"))
    return State(features=features, **fields)
