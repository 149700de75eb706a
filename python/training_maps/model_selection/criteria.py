"""How fitted models are judged, and one of them chosen.

A candidate is a kind of model with a number of states. It is judged by its restarts: by the mean of
their criterion, as Hu et al. 2023 did, or by the best of them. Where the runs were split in several
ways into training and validation runs, this is averaged over the splits. Inside this module and in
`training_maps.model_selection.stability` lower is better: log-likelihoods are negated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np

from training_maps.settings.sections import Aggregate, Criterion, KindOfModel
from training_maps.utils.errors import InputError
from training_maps.utils.numbers import Floats

if TYPE_CHECKING:
    import pandas as pd

#: Chooses by what halves of the runs agree on (`training_maps.structure.choice`), not by scores.
FOUND_AGAIN = "found_again"
#: What stands in for it where halves say nothing, and where a score is wanted.
IN_ITS_PLACE = "bic"
#: The criteria that choose by the scores.
CRITERIA = tuple(name for name in get_args(Criterion) if name != FOUND_AGAIN)
AGGREGATES = get_args(Aggregate)
#: The kinds of model; of equals, the first named is chosen.
MODEL_NAMES = get_args(KindOfModel)


class Candidate(NamedTuple):
    """A kind of model with a number of states."""

    model: str
    n_states: int

    @property
    def order(self) -> tuple[int, int]:
        """Sorts candidates: fewest states first, then in the order of `MODEL_NAMES`."""
        return self.n_states, MODEL_NAMES.index(self.model)


def all_candidates(model: str | Sequence[str], n_states: Iterable[int]) -> list[Candidate]:
    """All kinds of model with all numbers of states, in their order.

    Raises:
        InputError: if there is none, or a kind of model that there is not.
    """
    models = [model] if isinstance(model, str) else list(model)
    for name in models:
        if name not in MODEL_NAMES:
            raise InputError(f"model: {name!r} is not one of {', '.join(MODEL_NAMES)}")
    numbers = [int(k) for k in n_states]
    candidates = {Candidate(name, k) for name in models for k in numbers}
    if not candidates:
        missing = "n_states: no number of states" if models else "model: no kind of model"
        raise InputError(f"{missing} to try")
    return sorted(candidates, key=lambda candidate: candidate.order)


def criterion_of_scores(criterion: str) -> str:
    """The criterion that judges scores: itself, or what stands in for halves of the runs."""
    return IN_ITS_PLACE if criterion == FOUND_AGAIN else criterion


def check_choice(criterion: str, aggregate: str) -> None:
    """Refuse a criterion or an aggregate that there is not."""
    if criterion not in CRITERIA:
        raise InputError(f"criterion: {criterion!r} is not one of {', '.join(CRITERIA)}")
    if aggregate not in AGGREGATES:
        raise InputError(f"aggregate: {aggregate!r} is not one of {', '.join(AGGREGATES)}")


def criterion_value(
    criterion: str, log_likelihood: Floats, n_parameters: int, n_checkpoints: Floats
) -> Floats:
    """The criterion, lower is better; arguments broadcast.

    Args:
        criterion: "bic", "aic" or "log_likelihood".
        log_likelihood: log-likelihood of the runs that judge, in nats.
        n_parameters: free parameters of the model.
        n_checkpoints: number of checkpoints of those runs.
    """
    if criterion == "log_likelihood":
        return -log_likelihood
    penalty = 2.0 if criterion == "aic" else np.log(n_checkpoints)
    return -2 * log_likelihood + penalty * n_parameters


def aggregated(values: Floats, aggregate: str) -> Floats:
    """A criterion (..., R), lower is better, over the R restarts."""
    return values.mean(axis=-1) if aggregate == "mean" else values.min(axis=-1)


def by_candidate(scores: pd.DataFrame) -> dict[Candidate, pd.DataFrame]:
    """Each candidate's rows of the scores, by ascending restart; candidates in their order."""
    pairs = zip(scores["model"].tolist(), scores["n_states"].tolist(), strict=True)
    of_row = [Candidate(model, n_states) for model, n_states in pairs]
    return {
        candidate: scores.loc[[other == candidate for other in of_row]].sort_values(
            ["split", "restart"]
        )
        for candidate in sorted(set(of_row), key=lambda candidate: candidate.order)
    }


def judged(scores: pd.DataFrame, criterion: str, aggregate: str) -> dict[Candidate, float]:
    """The aggregated criterion of each candidate, lower is better, in their order.

    Args:
        scores: one row a restart, with `model`, `n_states`, `restart` and the criteria.
        criterion: "bic", "aic" or "log_likelihood", of the validation runs.
        aggregate: "mean" or "best".
    """
    likelihood = criterion == "log_likelihood"
    column = "log_likelihood_validation" if likelihood else criterion
    sign = -1 if likelihood else 1
    return {
        candidate: float(
            np.mean(
                [
                    aggregated(sign * of_split[column].to_numpy(dtype=np.float64), aggregate)
                    for _, of_split in rows.groupby("split")
                ]
            )
        )
        for candidate, rows in by_candidate(scores).items()
    }


def choose(
    scores: pd.DataFrame, criterion: str = "bic", aggregate: str = "mean"
) -> tuple[Candidate, int]:
    """Choose the kind of model, the number of states and the restart.

    Args:
        scores: one row a restart, with `model`, `n_states`, `restart` and the criteria.
        criterion: "bic", "aic" or "log_likelihood", of the validation runs.
        aggregate: "mean" compares candidates by the criterion's mean over restarts, as the authors
            did; "best" by the best restart of each.

    Returns:
        The candidate, and of its restarts on the observations' own split the one with the best
        validation likelihood. Of equals, the fewest states, the Gaussian model and the first
        restart.
    """
    check_choice(criterion, aggregate)
    values = judged(scores, criterion, aggregate)
    chosen = min(values, key=lambda candidate: values[candidate])  # of equals, the first
    rows = by_candidate(scores)[chosen]
    rows = rows[rows["split"] == 0]
    best = rows["log_likelihood_validation"].to_numpy().argmax()
    return chosen, int(rows["restart"].to_numpy()[best])
