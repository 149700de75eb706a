"""States and transitions of a training map: from a model and its runs, or from paths alone.

Source: Hu et al. 2023, section 2.2: vertices are the states that some run visits, edges the
transitions that some run uses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from training_maps.hmm.stays import mean_transitions
from training_maps.metrics.definitions import ALL_METRICS
from training_maps.training_map.elements import Feature, FeatureChange, State, Transition
from training_maps.training_map.paths import find_routes
from training_maps.utils.notes import Note

if TYPE_CHECKING:
    from training_maps.model_selection.select import SelectedModel

Edge = tuple[int, int]


def viterbi_paths(model: SelectedModel) -> pd.DataFrame:
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


def states_of_model(
    paths: pd.DataFrame,
    model: SelectedModel,
    features: Mapping[int, tuple[Feature, ...]],
    inverse: Mapping[int, np.ndarray],
    noise_of: Mapping[int, int],
) -> tuple[State, ...]:
    """The states that some run visits, ascending, with what the model knows of them."""
    metrics = tuple(model.observations.metrics)
    symbols = {metric.column: metric.symbol for metric in ALL_METRICS}  # of the user's own: none
    transitions = mean_transitions(model.hmm.transmat_, model.hmm.minimum_stay)
    states = []
    for state, share, n_runs in _visits(paths):
        top = features[state]
        states.append(
            State(
                state=state,
                name=", ".join(symbols.get(f.metric, f.metric) for f in top),
                features=top,
                share_of_checkpoints=share,
                n_runs=n_runs,
                stay_probability=float(transitions[state, state]),
                mean=dict(zip(metrics, model.hmm.means_[state].tolist(), strict=True)),
                inverse_covariance=dict(zip(metrics, inverse[state].tolist(), strict=True)),
                noise_of=noise_of.get(state),
            )
        )
    return tuple(states)


def states_of_paths(paths: pd.DataFrame) -> tuple[State, ...]:
    """The states that some run visits, ascending, with what paths alone tell."""
    follow = _followers(paths)
    states = []
    for state, share, n_runs in _visits(paths):
        going_on = sum(follow[state].values())
        states.append(
            State(
                state=state,
                name=f"state {state}",
                features=(),
                share_of_checkpoints=share,
                n_runs=n_runs,
                stay_probability=follow[state][state] / going_on if going_on else None,
                mean=None,
                inverse_covariance=None,
            )
        )
    return tuple(states)


def transitions_of_model(
    paths: pd.DataFrame,
    model: SelectedModel,
    changes: Mapping[Edge, tuple[FeatureChange, ...]],
) -> tuple[Transition, ...]:
    """Transitions that some run uses, ascending, with the model's probabilities."""
    probability = mean_transitions(model.hmm.transmat_, model.hmm.minimum_stay)
    return tuple(
        Transition(
            source=source,
            target=target,
            probability=float(probability[source, target]),
            n_runs=n_runs,
            n_uses=n_uses,
            feature_changes=changes[source, target],
        )
        for (source, target), n_runs, n_uses in _uses(paths)
    )


def transitions_of_paths(paths: pd.DataFrame) -> tuple[Transition, ...]:
    """Transitions that some run uses, ascending, with the shares of checkpoints that take them."""
    follow = _followers(paths)
    return tuple(
        Transition(
            source=source,
            target=target,
            probability=n_uses / sum(follow[source].values()),
            n_runs=n_runs,
            n_uses=n_uses,
            feature_changes=(),
        )
        for (source, target), n_runs, n_uses in _uses(paths)
    )


def used_transitions(paths: pd.DataFrame) -> list[Edge]:
    """Pairs of different states that some run goes between, ascending."""
    return [edge for edge, _, _ in _uses(paths)]


def entered_rows(paths: pd.DataFrame, edges: Sequence[Edge]) -> dict[Edge, np.ndarray]:
    """Rows of sorted `paths` at which runs enter a state, by the transition they use."""
    seeds, states = paths["seed"].to_numpy(), paths["state"].to_numpy()
    later = np.flatnonzero((seeds[1:] == seeds[:-1]) & (states[1:] != states[:-1])) + 1
    came_from = states[later - 1]
    return {
        (source, target): later[(came_from == source) & (states[later] == target)]
        for source, target in edges
    }


def scarcity_notes(paths: pd.DataFrame, model: SelectedModel) -> list[Note]:
    """A full covariance of d metrics is singular but for its prior on d checkpoints or fewer."""
    n_metrics = len(model.observations.metrics)
    if model.covariance != "full" or n_metrics == 1:
        return []
    return [
        Note(
            "few_checkpoints",
            f"State {state} has {count} checkpoints for {n_metrics} metrics: its covariance, and "
            "with it the ranking of its features, is not determined by the data.",
        )
        for state, count in paths["state"].value_counts().sort_index().items()
        if count <= n_metrics
    ]


def numbering_notes(paths: pd.DataFrame) -> list[Note]:
    """A note if states are not numbered in the order in which runs visit them."""
    ordered = paths.sort_values(["seed", "step"])
    # Runs may have other numbers of steps: what counts is how far along a run is.
    place = ordered.groupby("seed").cumcount() / ordered.groupby("seed")["step"].transform("size")
    first = ordered.assign(place=place).groupby(["state", "seed"])["place"].min()
    mean = first.groupby("state").mean().to_numpy()
    if (np.diff(mean) >= 0).all():
        return []
    return [
        Note(
            "given_numbers",
            "States keep the numbers that they were given, which are not in the order in which "
            "runs visit them: an arrow to a lower number need not be a return.",
        )
    ]


def _visits(paths: pd.DataFrame) -> list[tuple[int, float, int]]:
    """Each visited state, ascending, its share of checkpoints and its number of runs."""
    shares = paths["state"].value_counts(normalize=True)
    n_runs = paths.groupby("state")["seed"].nunique()
    return [(int(k), float(shares[k]), int(n_runs[k])) for k in np.unique(paths["state"])]


def _uses(paths: pd.DataFrame) -> list[tuple[Edge, int, int]]:
    """Each transition that some run uses, ascending, its number of runs and of uses."""
    n_uses: Counter[Edge] = Counter()
    n_runs: Counter[Edge] = Counter()
    for route in find_routes(paths):
        for edge, count in Counter(pairwise(route.states)).items():
            n_uses[edge] += count * len(route.seeds)
            n_runs[edge] += len(route.seeds)
    return [(edge, n_runs[edge], n_uses[edge]) for edge in sorted(n_uses)]


def _followers(paths: pd.DataFrame) -> dict[int, Counter[int]]:
    """How often a checkpoint of each state is followed by one of each state, in sorted paths."""
    seeds, states = paths["seed"].to_numpy(), paths["state"].to_numpy()
    within = seeds[1:] == seeds[:-1]
    follow: dict[int, Counter[int]] = {int(state): Counter() for state in np.unique(states)}
    pairs = zip(states[:-1][within].tolist(), states[1:][within].tolist(), strict=True)
    for source, target in pairs:
        follow[source][target] += 1
    return follow
