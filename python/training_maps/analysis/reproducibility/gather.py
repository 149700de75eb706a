"""What all halves of the runs say together of an experiment's map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.reproducibility.agreement import (
    chosen_by,
    chosen_without,
    compare_candidates,
    compare_halves,
    mean_agreement,
)
from training_maps.analysis.reproducibility.found_again import ALIKE, FindDelays, found_again
from training_maps.analysis.reproducibility.sentences import reproducibility_sentences
from training_maps.hmm.observations import Observations
from training_maps.model_selection.criteria import FOUND_AGAIN, check_choice, criterion_of_scores
from training_maps.reproducibility.refit import HalfFit
from training_maps.settings.sections import SelectionSettings
from training_maps.utils.errors import InputError


def gather_halves(
    halves: Sequence[HalfFit],
    obs: Observations,
    paths: pd.DataFrame,
    *,
    criterion: str = SelectionSettings.criterion,
    aggregate: str = SelectionSettings.aggregate,
    find_delays: FindDelays | None = None,
    structure: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """How far halves agree, and what of the map they have.

    Args:
        halves: of these observations; folds are passed over.
        obs: observations of all runs.
        paths: the experiment's own: `seed`, `step`, `state`, a row a checkpoint.
        criterion: how each half chooses among its fits.
        aggregate: likewise.
        find_delays: what names delays, if they are looked for.
        structure: `structure.json`. With the criterion "found_again", each half has the model that
            all halves outside its pair choose.

    Returns:
        Ready for JSON: `scheme`, "halves" or "leave_one_out"; `agreement`, means over pairs of
        `states`, `routes` and `n_states`; `pairs`; `fits`, what each half saw and chose;
        `candidates`, the same means where the model is given; `found`, the share of halves that
        have each part of the map;
        `alike`, the least index of what counts as found; `sentences`; and `reason`, why there is
        nothing to compare, None otherwise.

    Raises:
        InputError: if the paths are of other checkpoints, or a rule is not one there is.
    """
    by_halves = criterion == FOUND_AGAIN
    criterion = criterion_of_scores(criterion)
    check_choice(criterion, aggregate)
    keys = ["seed", "step"]
    paths = paths.sort_values(keys, ignore_index=True)
    if not np.array_equal(paths[keys].to_numpy(), obs.table[keys].to_numpy()):
        raise InputError(
            "the state paths are of other checkpoints than the observations; make them again with "
            "'training-maps map'"
        )
    halves = sorted((h for h in halves if h.scheme != "folds"), key=lambda half: half.number)
    chosen = chosen_by(halves, criterion, aggregate)
    if by_halves:
        chosen |= chosen_without(structure or {}, halves)
    fitted = [half for half in halves if half.number in chosen]
    pairs = compare_halves(fitted, chosen)
    reasons = [half.reason for half in halves if half.reason is not None]
    result = {
        "scheme": fitted[0].scheme if fitted else None,
        "agreement": mean_agreement(pairs),
        "pairs": pairs,
        "fits": [
            {
                "half": half.number,
                "seeds": half.seeds[half.inside].tolist(),
                **chosen[half.number]._asdict(),
            }
            for half in fitted
        ],
        "candidates": compare_candidates(fitted),
        "found": found_again(
            paths, [half.path_of(chosen[half.number]) for half in fitted], find_delays
        )
        if fitted
        else {},
        "alike": ALIKE,
        "reason": None if pairs else (reasons or ["There are no halves to compare."])[0],
    }
    return {**result, "sentences": reproducibility_sentences(result)}
