"""What so many runs can show, in a line, before hours are spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_maps.placing.usual import LEAST_RUNS as TO_PLACE
from training_maps.reproducibility.halves import LEAST_RUNS as TO_HALVE
from training_maps.utils.wording import percent, plural

# From so many runs on, halves of them are worth something, and most delays are found: as measured
# in docs/outcomes.md, of ten runs only large ones are, of forty nearly all.
_MANY, _PAPERS = 20, 40


def what_runs_show(n_runs: int) -> str:
    """What runs of one setting can show, and what they cannot, in a sentence.

    The share that may be unseen is the upper 95 % bound for a way that none of the runs takes
    (`unseen_share`).
    """
    from training_maps.report.headline import unseen_share

    if n_runs < 2:
        return f"{plural(n_runs, 'run')} can show its own states; nothing of what other seeds do."
    if n_runs < TO_PLACE:
        can = "the states that these pass, and little of whether other seeds would"
        cannot = f"no new run can be placed on a map of fewer than {TO_PLACE}"
    elif n_runs < TO_HALVE:
        can = "states that stay when each run is left out once"
        cannot = f"whether training drifts or has phases takes {TO_HALVE}"
    elif n_runs < _MANY:
        can = "states that halves of them find again, frequent forks and large delays"
        cannot = f"finding no fork or delay says little below {_MANY}"
    elif n_runs < _PAPERS:
        can = "states, forks that a quarter of the runs takes, and most delays"
        cannot = f"rare ways take {_PAPERS} or more"
    else:
        can = "states, forks, delays and unusual runs"
        cannot = "rarer ways take more"
    share = f"a way that {percent(unseen_share(n_runs))} of runs take may be unseen (95 % bound)"
    return f"{n_runs} runs can show {can}; {share}, and {cannot}."


def told_of_runs(name: str, settings: Mapping[str, Any]) -> str | None:
    """The line for an experiment; None where runs that are trained here are many."""
    n_runs = len(settings["seeds"])
    if settings["source"] == "training" and n_runs >= _MANY:
        return None
    return f"{name}: {what_runs_show(n_runs)}"
