"""Each run's path through the states: the table `seed, step, state`, and what it says by itself.

Source: Hu et al. 2023, sections 2.2 and 2.3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training_maps.result_tables import PATH_COLUMNS, RUN_PATH_COLUMNS
from training_maps.utils.errors import InputError
from training_maps.utils.files import read_table
from training_maps.utils.notes import Note
from training_maps.utils.seeds import first_seeds
from training_maps.utils.wording import plural, route

if TYPE_CHECKING:
    import pandas as pd

# The kind of the note that says why a map without a fork is not linear by the letter.
WHY_NOT_LINEAR = "why_not_linear"


@dataclass(frozen=True)
class Route:
    """A sequence of states, and the seeds of the runs that take it.

    `states` has no state twice in a row: staying is not moving. Returning is: 0, 1, 0, 2.
    """

    states: tuple[int, ...]
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        """`28 runs: 0-1-2-5`."""
        runs = plural(len(self.seeds), "run")
        return f"{runs}: {route(self.states, '-')}"


def read_state_paths(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table of `seed`, `step`, `state`, sort it and check that it is one.

    Raises:
        InputError: if the file is missing, empty, or holds anything but whole numbers, or a seed's
            step twice.
    """
    return check_state_paths(read_table(path, PATH_COLUMNS), str(path))


def check_state_paths(table: pd.DataFrame, where: str = "the table of state paths") -> pd.DataFrame:
    """The columns `seed`, `step`, `state` of a table, sorted, checked to be state paths.

    Args:
        table: one row a checkpoint; further columns are left out.
        where: what the table is, for the error's message.

    Raises:
        InputError: as `read_state_paths`.
    """
    missing = [column for column in PATH_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(
            f"{where}: has no column {', '.join(missing)}; it has {', '.join(map(str, table))}"
        )
    table = table[list(PATH_COLUMNS)]
    if table.empty:
        raise InputError(f"{where}: has no rows; expected one for each checkpoint of each run")
    from pandas.api.types import is_integer_dtype  # where sentences are all that is wanted, none

    for column in PATH_COLUMNS:
        if not is_integer_dtype(table[column]) or table[column].hasnans:
            raise InputError(f"{where}: column {column} must hold whole numbers in every row")
    repeated = table[table.duplicated(["seed", "step"])]
    if len(repeated):
        seed, step = repeated[["seed", "step"]].iloc[0]
        raise InputError(f"{where}: seed {seed} has step {step} twice")
    return table.astype(int).sort_values(["seed", "step"], ignore_index=True)


def state_shares(state_paths: pd.DataFrame) -> pd.DataFrame:
    """Share of each run's checkpoints in each state (equation 2).

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.

    Returns:
        Table with a row a seed (index `seed`, ascending) and a column for each state that some run
        visits (ascending); each row sums to 1.

    Raises:
        InputError: if the table is empty or lacks a column.
    """
    missing = [name for name in ("seed", "state") if name not in state_paths.columns]
    if missing or state_paths.empty:
        problem = f"lacks the column {', '.join(missing)}" if missing else "is empty"
        raise InputError(f"the table of state paths {problem}; expected seed, step, state")
    import pandas as pd

    counts = pd.crosstab(state_paths["seed"], state_paths["state"])
    return counts.div(counts.sum(axis=1), axis=0)


def find_routes(state_paths: pd.DataFrame) -> tuple[Route, ...]:
    """Group runs by their sequence of states: most common first, ties in order of the states."""
    ordered = state_paths.sort_values(["seed", "step"])
    seeds, states = ordered["seed"].to_numpy(), ordered["state"].to_numpy()
    starts_run = np.concatenate([[True], seeds[1:] != seeds[:-1]])
    moves = starts_run | np.concatenate([[True], states[1:] != states[:-1]])
    states_of: dict[int, list[int]] = {}
    for seed, state in zip(seeds[moves].tolist(), states[moves].tolist(), strict=True):
        states_of.setdefault(seed, []).append(state)
    seeds_of: dict[tuple[int, ...], list[int]] = {}
    for seed, visited in states_of.items():
        seeds_of.setdefault(tuple(visited), []).append(seed)
    routes = [Route(states, tuple(seeds)) for states, seeds in seeds_of.items()]
    return tuple(sorted(routes, key=lambda route: (-len(route.seeds), route.states)))


def path_times(
    state_paths: pd.DataFrame, logs: Mapping[int, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """When each run enters each state of its path.

    Args:
        state_paths: table of `seed`, `step`, `state`, one row a checkpoint.
        logs: training log of some seeds, with `step` and `epoch`.

    Returns:
        Table with a row for each stay of a run in a state, in order: `seed`; `visit`, the number of
        the stay in the run, from 0; `state`; `step` of its first checkpoint; `epoch` of that, by
        the run's log (NaN without one); `fraction`, the step as a fraction of the longest run's
        last step; `n_checkpoints` of the stay; and `is_first`, whether the run was never in the
        state before.
    """
    ordered = state_paths.sort_values(["seed", "step"], ignore_index=True)
    seeds, states = ordered["seed"].to_numpy(), ordered["state"].to_numpy()
    enters = np.ones(len(ordered), dtype=bool)
    enters[1:] = (seeds[1:] != seeds[:-1]) | (states[1:] != states[:-1])
    stays = ordered[enters].reset_index(drop=True)
    stays["n_checkpoints"] = np.diff(np.append(np.flatnonzero(enters), len(ordered)))
    stays["visit"] = stays.groupby("seed").cumcount()
    stays["is_first"] = ~stays.duplicated(["seed", "state"])
    length = float(ordered["step"].max())
    stays["fraction"] = stays["step"] / length if length > 0 else 0.0
    stays["epoch"] = np.nan
    of_seed = stays.groupby("seed").indices
    entered, epochs = stays["step"].to_numpy(), stays["epoch"].to_numpy(copy=True)
    for seed, log in (logs or {}).items():
        here = of_seed.get(seed, [])
        known = log.sort_values("step")
        epochs[here] = np.interp(
            entered[here], known["step"].to_numpy(float), known["epoch"].to_numpy(float)
        )
    stays["epoch"] = epochs
    return stays[list(RUN_PATH_COLUMNS)]


def explain_routes(routes: Sequence[Route]) -> list[Note]:
    """A note where routes differ by the letter only: by runs that end early, or that go back."""
    if len(routes) == 1:
        return []
    entered = {route: tuple(dict.fromkeys(route.states)) for route in routes}
    longest = max(entered.values(), key=len)
    if any(states != longest[: len(states)] for states in entered.values()):
        return []
    early = {
        seed: len(longest) - len(entered[route])
        for route in routes
        if entered[route] != longest
        for seed in route.seeds
    }
    back = [seed for route in routes if entered[route] != route.states for seed in route.seeds]
    alike = (
        "All runs enter the same states in the same order"
        if back
        else "All runs take the same route"
    )
    reasons = [_stopped(early)] if early else []
    if back:
        earlier = "an earlier state" if len(back) == 1 else "earlier states"
        reasons.append(f"{_these(back)} went back to {earlier}")
    text = f"{alike}; {' and '.join(reasons)}."
    return [Note(WHY_NOT_LINEAR, text)]


def _these(seeds: Sequence[int]) -> str:
    """ "seed 24", "3 runs (seeds 1-3)"."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"{plural(len(seeds), 'run')} (seeds {first_seeds(seeds)})"


def _stopped(early: Mapping[int, int]) -> str:
    """Which runs stopped early, and by how many states, if all by as many."""
    missed = set(early.values())
    if len(missed) > 1:
        return f"{_these(list(early))} stopped before the last state"
    (n_missed,) = missed
    how_much = "one state" if n_missed == 1 else f"{n_missed} states"
    return f"{_these(list(early))} stopped {how_much} early"
