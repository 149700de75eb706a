"""What a training map is made of: states, transitions, their features, and their form in JSON.

Source: Hu et al. 2023, section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: The kind of the note that a state differs from a neighbour in noise alone.
NOISE_ALONE = "noise_alone"


@dataclass(frozen=True)
class Feature:
    """A metric that characterises a state.

    Attributes:
        metric: its column.
        inverse_covariance: its entry of the diagonal of the state's inverse covariance.
        mean: its mean in the state (z-scored).
        posterior_gradient: how fast the log posterior probability of the state grows with the
            metric, per standard deviation, averaged over the transitions into the state; None
            unless features are ranked by it, or where the metric is missing at all of them.
    """

    metric: str
    inverse_covariance: float
    mean: float
    posterior_gradient: float | None = None


@dataclass(frozen=True)
class FeatureChange:
    """How far a metric moves along a transition, in standard deviations of the metric.

    Attributes:
        metric: its column.
        change: difference of its means, target minus source.
        posterior_gradient: as for `Feature`, averaged over the uses of this transition.
    """

    metric: str
    change: float
    posterior_gradient: float | None = None


@dataclass(frozen=True)
class State:
    """A vertex of the map.

    Attributes:
        state: its number; a model's states are numbered in the order in which runs visit them.
        name: symbols of its top features, for labels; "state 3" where there are no features.
        features: its top features, most important first.
        share_of_checkpoints: share of all runs' checkpoints that are in this state, in (0, 1].
        n_runs: number of runs that visit it.
        stay_probability: probability to stay in it from one checkpoint to the next; None where
            paths alone are known and none leaves it.
        mean: mean of each metric (z-scored); None without a model.
        inverse_covariance: diagonal of the inverse covariance, of each metric; None without a
            model.
        noise_of: the state that it differs from in noise alone (`training_map.noise`); None if
            there is none, or without a model.
    """

    state: int
    name: str
    features: tuple[Feature, ...]
    share_of_checkpoints: float
    n_runs: int
    stay_probability: float | None
    mean: Mapping[str, float] | None
    inverse_covariance: Mapping[str, float] | None
    noise_of: int | None = None


@dataclass(frozen=True)
class Transition:
    """An edge of the map, from one state to another.

    Attributes:
        source: state it leaves.
        target: state it enters.
        probability: the model's transition probability; without a model, the share of the
            checkpoints in `source` that are followed by one in `target`.
        n_runs: number of runs that use it.
        n_uses: number of times it is used; more than `n_runs` where runs return.
        feature_changes: how its top features change along it.
    """

    source: int
    target: int
    probability: float
    n_runs: int
    n_uses: int
    feature_changes: tuple[FeatureChange, ...]


def transition_to_dict(edge: Transition) -> dict[str, Any]:
    """A transition for JSON, where its states are `from` and `to`."""
    fields = asdict(edge)
    return {"from": fields.pop("source"), "to": fields.pop("target"), **fields}


def transition_from_dict(data: Mapping[str, Any]) -> Transition:
    """What `transition_to_dict` made; KeyError or TypeError if it is not that."""
    fields = dict(data)
    changes = tuple(FeatureChange(**change) for change in fields.pop("feature_changes"))
    return Transition(
        source=fields.pop("from"), target=fields.pop("to"), feature_changes=changes, **fields
    )


def state_from_dict(data: Mapping[str, Any]) -> State:
    """A state of its `dataclasses.asdict`; KeyError or TypeError if it is not that."""
    fields = dict(data)
    features = tuple(Feature(**feature) for feature in fields.pop("features"))
    return State(features=features, **fields)
