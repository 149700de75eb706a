"""How much states, and what they mean, hang on which metrics the model sees, and how it is fitted.

The number of states is selected and the states are found again with other metrics or other settings
of the fits, and compared with the experiment's own, the reference. Z-scores are per metric, so that
leaving one out changes no other. The paper chooses its 14 metrics by hand; the authors compared a
few subsets. How often it restarts, how it judges and which runs it holds out, it leaves open.

**Paths** are compared by the adjusted Rand index over all checkpoints of all runs: 1 if they differ
in the states' numbers only, about 0 if they are unrelated.

**Detours** are compared in two ways. States of both are matched one to one so that as many
checkpoints as possible are in matching states (Kuhn 1955); a detour of the reference is kept if its
match is a detour. And their overlap is that of the checkpoints spent in detours: how many are in
detours of both, as a share of those in detours of either (Jaccard).
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from training_maps.analysis.dissimilarity import exact_means
from training_maps.analysis.forks import find_forks
from training_maps.analysis.semantics.outcomes import Outcome, read_outcome
from training_maps.analysis.semantics.regression import regress
from training_maps.analysis.sensitivity.variants import OTHER_STARTS, Variant
from training_maps.hmm.observations import BOOKKEEPING, Observations
from training_maps.model_selection.restarts import with_split
from training_maps.model_selection.select import select_hmm
from training_maps.stats.agreement import adjusted_rand_index, match_states
from training_maps.training_map.extraction import viterbi_paths
from training_maps.training_map.paths import find_routes, read_state_paths, state_shares
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_json
from training_maps.utils.notes import Note
from training_maps.utils.numbers import Ints
from training_maps.utils.seeds import parse_seeds


@dataclass(frozen=True, eq=False)
class Reference:
    """An experiment's own states, which variants are compared with.

    Attributes:
        paths: table of `seed`, `step`, `state`, a row a checkpoint.
        n_states: number of states of the selected model.
        model: its kind.
        outcome: what is regressed on the states; None if there is nothing.
        regression: `r_squared`, `p_value`, `detour_states` and `reason` of that regression.
        settings: of `regress`, as the reference's was made with.
    """

    paths: pd.DataFrame
    n_states: int
    model: str
    outcome: Outcome | None
    regression: Mapping[str, Any]
    settings: Mapping[str, Any]


def load_reference(
    state_paths: str | os.PathLike[str],
    training_map: str | os.PathLike[str],
    regression: str | os.PathLike[str],
    outcomes: str | os.PathLike[str],
) -> Reference:
    """Read the reference from an experiment's results.

    Raises:
        InputError: if a file is missing or is not what it should be; the message names it.
    """
    chosen = read_json(training_map)
    fit = read_json(regression)
    try:
        model = chosen["selected_model"]
        if model is None:
            raise InputError(f"{training_map}: was made of state paths, so there is no model")
        return Reference(
            paths=read_state_paths(state_paths),
            n_states=int(model["n_states"]),
            model=str(model["model"]),
            outcome=read_outcome(regression, outcomes),
            regression={
                name: fit[name] for name in ("r_squared", "p_value", "detour_states", "reason")
            },
            settings={
                "censored": fit["censored"],
                "significance": fit["significance"],
                "detour_rule": fit["detour_rule"],
                "n_resamples": fit["made_by"]["resamples"],
                "random_state": fit["made_by"]["random_state"],
            },
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{training_map} and {regression}: are not of this version (at {error}); make them "
            "again with 'training-maps map' and 'training-maps semantics'"
        ) from error


def with_metrics(
    obs: Observations, *, keep: Sequence[str] | None = None, leave_out: str | None = None
) -> tuple[Observations | None, list[Note]]:
    """The observations with some of their metrics only.

    Args:
        obs: observations.
        keep: metrics to keep; all if None. Those that the observations do not have are ignored:
            a network may have no biases, and a metric that is constant in every run is left out.
        leave_out: a metric to leave out.

    Returns:
        The observations, and what to know of them; None if no metric is left, or if the one to
        leave out is not there, so that there is nothing to find again: the note says so.
    """
    has = ", ".join(obs.metrics)
    if leave_out is not None and leave_out not in obs.metrics:
        return None, [Note("no_metric", f"The observations have no {leave_out} to leave out.")]
    wanted = obs.metrics if keep is None else tuple(keep)
    metrics = tuple(m for m in obs.metrics if m in wanted and m != leave_out)
    if not metrics:
        return None, [Note("no_metric", f"No metric is left; the observations have {has}.")]
    missing = [metric for metric in wanted if metric not in obs.metrics]
    notes = []
    if missing:
        notes.append(Note("missing_metrics", f"The observations have no {', '.join(missing)}."))
    bookkeeping = [column for column in BOOKKEEPING if column in obs.table]
    return Observations(obs.table[[*bookkeeping, *metrics]], metrics, obs.notes), notes


def reanalyse(
    obs: Observations, variant: Variant, reference: Reference, **settings: Any
) -> dict[str, Any]:
    """Select a model and find the states again with a variant's metrics; compare them.

    Args:
        obs: the experiment's observations.
        variant: which metrics are kept, and which settings are others. `OTHER_STARTS` has a
            `random_state` larger by one.
        reference: the experiment's own states.
        settings: of `select_hmm`, as the experiment's were made with.

    Returns:
        Ready for JSON: `variant`, its `metrics` and `changes`, `model`, `n_states` and `verdict`
        (whether the choice is stable), `linear`, `n_forks`, `on_commonest_path` (how many runs),
        `dissimilarity` (of ground distance index), `adjusted_rand_index`, `r_squared`, `p_value`,
        what `compare_detours` says, `seconds`, `notes`, and `reason` if there is nothing to
        compare, all numbers being None then.

    Raises:
        InputError: if a setting is out of its range, or the reference is of other checkpoints.
    """
    begin = time.perf_counter()
    seen, notes = with_metrics(obs, keep=variant.kept, leave_out=variant.left_out)
    if seen is None:
        return {"variant": variant.name, "metrics": [], "reason": " ".join(map(str, notes))}
    if variant.name == OTHER_STARTS:
        settings["random_state"] = settings.get("random_state", 0) + 1
    changes = dict(variant.changes)
    if "split_seed" in changes:
        seen = with_split(seen, changes.pop("split_seed"))
    if "n_states" in changes:
        changes["n_states"] = parse_seeds(changes["n_states"], f"{variant.name}: n_states")
    model = select_hmm(seen, **settings | changes)
    paths = viterbi_paths(model)
    before, after = _same_checkpoints(reference.paths, paths)
    found: dict[str, Any] = {"r_squared": None, "p_value": None, "detour_states": []}
    if reference.outcome is not None:
        shares = state_shares(paths)
        fit = regress(shares, reference.outcome, alternatives=False, **reference.settings)
        found = {name: getattr(fit, name) for name in found}
        notes += [] if fit.reason is None else [Note("no_regression", fit.reason)]
    detours = compare_detours(
        before, after, reference.regression["detour_states"], found["detour_states"]
    )
    return {
        "variant": variant.name,
        "metrics": list(seen.metrics),
        "changes": dict(variant.changes),
        "model": model.kind,
        "n_states": model.n_states,
        "verdict": model.stability.verdict,
        **_shape(paths),
        "adjusted_rand_index": adjusted_rand_index(before, after),
        "r_squared": found["r_squared"],
        "p_value": found["p_value"],
        **detours,
        "seconds": time.perf_counter() - begin,
        "reason": None,
        "notes": [note.to_dict() for note in notes],
    }


def compare_detours(
    before: Ints, after: Ints, detours_before: Collection[int], detours_after: Collection[int]
) -> dict[str, Any]:
    """How detours differ between two ways to give the same checkpoints states.

    Args:
        before: (n,) states of the reference.
        after: (n,) states of the variant, under numbers of their own.
        detours_before: which states of the reference are detours.
        detours_after: which of the variant are.

    Returns:
        `detour_states` and `n_detours` of the variant; of the reference's numbers, detours that are
        `detours_kept` and `detours_lost`; `detours_new`, the variant's detours that match no detour
        of the reference; and `detour_overlap`, None if neither has a detour.
    """
    match = match_states(before, after)
    matched = {state: match.get(state) for state in detours_after}
    kept = sorted(state for state in detours_before if state in matched.values())
    inside_before = np.isin(before, list(detours_before))
    inside_after = np.isin(after, list(detours_after))
    either = int((inside_before | inside_after).sum())
    both = int((inside_before & inside_after).sum())
    return {
        "detour_states": [int(state) for state in detours_after],
        "n_detours": len(detours_after),
        "detours_kept": kept,
        "detours_lost": sorted(set(detours_before) - set(kept)),
        "detours_new": sorted(state for state, of in matched.items() if of not in kept),
        "detour_overlap": both / either if either else None,
    }


def _shape(paths: pd.DataFrame) -> dict[str, Any]:
    """The shape of the map of `paths`, and equation 3 with ground distance index, in numbers."""
    routes = find_routes(paths)
    apart = exact_means(paths)["index"]
    return {
        "linear": len(routes) == 1,
        "n_forks": len(find_forks(paths)),
        "on_commonest_path": len(routes[0].seeds),
        "dissimilarity": float(apart.mean()) if len(apart) > 1 else None,
    }


def _same_checkpoints(reference: pd.DataFrame, paths: pd.DataFrame) -> tuple[Ints, Ints]:
    """The states of two tables of paths, row by row of the same checkpoints."""
    keys = ["seed", "step"]
    a, b = (table.sort_values(keys) for table in (reference, paths))
    if len(a) != len(b) or not np.array_equal(a[keys].to_numpy(), b[keys].to_numpy()):
        raise InputError(
            "the state paths to compare with are of other checkpoints than the observations; make "
            "them again with 'training-maps map'"
        )
    return a["state"].to_numpy(), b["state"].to_numpy()


def reference_row(reference: Reference, metrics: Iterable[str]) -> dict[str, Any]:
    """The reference as a variant of its own, which it agrees with."""
    detours = [int(state) for state in reference.regression["detour_states"]]
    return {
        "variant": "reference",
        "metrics": list(metrics),
        "model": reference.model,
        "n_states": reference.n_states,
        "verdict": None,
        **_shape(reference.paths),
        "adjusted_rand_index": 1.0,
        "r_squared": reference.regression["r_squared"],
        "p_value": reference.regression["p_value"],
        "detour_states": detours,
        "n_detours": len(detours),
        "detours_kept": detours,
        "detours_lost": [],
        "detours_new": [],
        "detour_overlap": 1.0 if detours else None,
        "seconds": None,
        "reason": None,
        "notes": [],
    }
