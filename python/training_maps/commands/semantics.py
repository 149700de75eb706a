"""Relate the time that runs spend in states to when they converge; find what delays them.

A run converges at its first checkpoint whose evaluation accuracy is greater than the threshold.
Other columns of the log, and other outcomes than convergence time, can be asked for: a return or a
perplexity has a last and a best value, and converges only where a threshold is given. Without
training logs, the outcome can be a column of a table of your own.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from training_maps.config.arguments import add_inputs, add_options, read_options
from training_maps.result_tables import OUTCOME_COLUMNS
from training_maps.runs.training_logs import (
    ACCURACY,
    Direction,
    check_log,
    usual_column,
    usual_direction,
    usual_threshold,
)
from training_maps.settings.sections import TIMES, SemanticsSettings
from training_maps.utils.errors import InputError
from training_maps.utils.files import made_by, read_table, write_json, write_table

if TYPE_CHECKING:
    import pandas as pd

    from training_maps.analysis.semantics.foretelling import Foretelling
    from training_maps.analysis.semantics.outcomes import Outcome
    from training_maps.analysis.semantics.regression import Regression

logger = logging.getLogger("training_maps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_inputs(parser, "state-paths")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="FOLDER",
        help="where seed-SEED/training_log.parquet is for each seed of the paths; leave it out if "
        "there are no training logs",
    )
    add_options(parser, "semantics")
    for name, form, what in (
        ("convergence", "CSV", "when each run converges"),
        ("outcomes", "CSV", "what is regressed, and what is predicted of a run left out"),
        ("coefficients", "CSV", "the coefficient of each state"),
        ("delays", "CSV", "how much later the visitors of each state converge"),
        ("regression", "JSON", "the regression as a whole"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, required=True, metavar=form, help=f"output: {what}"
        )


def run(arguments: argparse.Namespace) -> None:
    """Write convergence times, outcomes, coefficients and the regression's summary."""
    from training_maps.analysis.semantics.regression import Regression, regress
    from training_maps.analysis.semantics.sentences import unequal_length_notes
    from training_maps.training_map.paths import read_state_paths, state_shares

    told = SemanticsSettings(**read_options(arguments, "semantics"))
    if (told.outcome == "table") != (told.table is not None):
        raise InputError("--outcome table and --table FILE COLUMN must be given together")
    paths = read_state_paths(arguments.state_paths)
    shares = state_shares(paths)
    logs = {} if arguments.runs is None else read_logs(arguments.runs, shares.index, told)
    told, logs, unnamed = resolve(told, logs)
    convergence = _convergence(told, logs)
    outcome = _outcome(told, shares.index, logs, convergence)
    if outcome is None:
        regression = Regression(
            n_runs=0,
            n_converged=None,
            significance=told.significance,
            censored=told.censored,
            detour_rule=told.detour_rule,
            reason=unnamed or "There is no training log, so it is not known when runs converge.",
        )
    else:
        regression = regress(
            shares,
            outcome,
            censored=told.censored,
            significance=told.significance,
            detour_rule=told.detour_rule,
            n_resamples=told.resamples,
            random_state=told.random_state,
        )
        if outcome.is_time:
            more = unequal_length_notes(log["step"].max() for log in logs.values())
            regression = replace(regression, notes=(*regression.notes, *more))
    write_table(convergence, arguments.convergence)
    write_table(_outcome_table(outcome, regression), arguments.outcomes)
    write_table(regression.coefficients, arguments.coefficients)
    late, foretold = _of_paths(told, paths, outcome, convergence, regression.r_squared)
    write_table(late, arguments.delays)
    _write_regression(arguments.regression, told, outcome, regression, foretold)
    _tell(regression)


def resolve(
    told: SemanticsSettings, logs: dict[int, pd.DataFrame]
) -> tuple[SemanticsSettings, dict[int, pd.DataFrame], str | None]:
    """What is null in the settings, by what the logs have.

    Returns:
        The settings; the logs that the outcome is of, none where they do not have its column; and
        where nobody says which column that is, a sentence that asks.

    Raises:
        InputError: if a time is asked for of a column without a threshold.
    """
    there = [set(log.columns) for log in logs.values()]
    first = next(iter(logs.values()), ())
    common = [str(name) for name in first if all(name in names for names in there)]
    column = told.column or usual_column(common)
    if column is None and logs:
        names = ", ".join(name for name in common if name not in ("step", "epoch"))
        unnamed = f"Nobody says what the outcome is: semantics.column, one of {names}."
        return replace(told, outcome=told.outcome or "final"), {}, unnamed
    column = column or ACCURACY
    threshold = usual_threshold(column) if told.threshold is None else told.threshold
    outcome = told.outcome or ("final" if threshold is None else "convergence_time")
    if outcome in TIMES and threshold is None:
        raise InputError(
            f"--outcome {outcome} of {column} takes a --threshold (semantics.threshold); without "
            "one, its final or best value can be the outcome"
        )
    kept = logs if column in common else {}  # with a table of one's own
    return replace(told, column=column, threshold=threshold, outcome=outcome), kept, None


def _convergence(told: SemanticsSettings, logs: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """When each run converges; no rows where nothing tells that."""
    from training_maps.analysis.semantics.outcomes import convergence_times

    if told.column is None or told.threshold is None:
        return convergence_times({}, 0.0)
    return convergence_times(logs, told.threshold, told.column, _direction(told))


def _direction(told: SemanticsSettings) -> Direction:
    return told.direction or usual_direction(told.column or ACCURACY)


def _outcome(
    told: SemanticsSettings,
    seeds: pd.Index,
    logs: dict[int, pd.DataFrame],
    convergence: pd.DataFrame,
) -> Outcome | None:
    """The outcome that was asked for; None if it takes training logs and there are none."""
    from training_maps.analysis.semantics.outcomes import table_outcome, time_outcome, value_outcome

    if told.table is not None:
        path, column = told.table["path"], told.table["column"]
        return table_outcome(path, column, [int(seed) for seed in seeds], told.direction)
    if not logs or told.column is None:
        return None
    if told.outcome in ("final", "best"):
        return value_outcome(logs, told.column, _direction(told), told.outcome)
    assert told.threshold is not None
    kind = told.outcome  # a time, as the others are dealt with
    return time_outcome(convergence, told.column, told.threshold, _direction(told), kind)  # type: ignore[arg-type]


def _of_paths(
    told: SemanticsSettings,
    paths: pd.DataFrame,
    outcome: Outcome | None,
    convergence: pd.DataFrame,
    r_squared: float | None,
) -> tuple[pd.DataFrame, Foretelling]:
    """What takes the runs' paths, not only their shares: delays, and what is foretold."""
    import pandas as pd

    from training_maps.analysis.semantics.delays import delays
    from training_maps.analysis.semantics.foretelling import Foretelling, foretelling
    from training_maps.result_tables import DELAY_COLUMNS

    if outcome is None:
        return pd.DataFrame(columns=list(DELAY_COLUMNS)), Foretelling()
    foretold = foretelling(
        paths,
        outcome,
        convergence,
        r_squared,
        significance=told.significance,
        random_state=told.random_state,
    )
    return delays(paths, outcome, convergence.set_index("seed")["step"]), foretold


def read_logs(runs: Path, seeds: Iterable[int], told: SemanticsSettings) -> dict[int, pd.DataFrame]:
    """Training log of each seed, from `seed-{seed}/training_log.parquet` in the folder `runs`.

    With `outcome` "table" they need not have the column that tells convergence.

    Raises:
        InputError: if a log is missing, empty or lacks a column; the message names seed and file.
    """
    column = () if told.column is None or told.outcome == "table" else (told.column,)
    logs = {}
    for seed in seeds:
        path = runs / f"seed-{seed}" / "training_log.parquet"
        try:
            log = read_table(path, ("step", "epoch", *column))
        except InputError as error:
            raise InputError(f"training log of seed {seed}: {error}") from error
        check_log(log, f"training log of seed {seed}: {path}")
        logs[int(seed)] = log
    return logs


def _outcome_table(outcome: Outcome | None, regression: Regression) -> pd.DataFrame:
    """`seed, outcome, censored, predicted`: what was regressed, and left-out predictions."""
    import pandas as pd

    if outcome is None:
        return pd.DataFrame(columns=list(OUTCOME_COLUMNS))
    return outcome.per_run.merge(regression.predictions, on="seed", how="left")[
        list(OUTCOME_COLUMNS)
    ]


def _write_regression(
    path: Path,
    told: SemanticsSettings,
    outcome: Outcome | None,
    regression: Regression,
    foretold: Foretelling,
) -> None:
    about = {
        "outcome": None if outcome is None else outcome.to_dict(),
        "threshold": told.threshold,
        "column": told.column,
        "direction": _direction(told),
        "foretelling": foretold.to_dict(),
        "made_by": made_by(**asdict(told)),
    }
    write_json(regression.to_dict() | about, path)


def _tell(regression: Regression) -> None:
    if regression.n_converged is not None:
        logger.info("%d of %d runs converge", regression.n_converged, regression.n_runs)
    if regression.reason:
        logger.info("no regression: %s", regression.reason)
    else:
        detours = ", ".join(map(str, regression.detour_states)) or "none"
        logger.info(
            "%s: R² %.3f, p %.2g%s",
            regression.method,
            regression.r_squared,
            regression.p_value,
            # A state that makes runs late is a detour; other outcomes have none.
            "" if regression.n_converged is None else f"; the paper's detours: {detours}",
        )
        for sentence in regression.coefficients[["state", "explanation"]].itertuples(index=False):
            logger.info("state %d: %s", *sentence)
        if regression.alternatives:
            logger.info("%s", regression.alternatives["sentence"])
    for note in regression.notes:
        logger.info("note: %s", note)
