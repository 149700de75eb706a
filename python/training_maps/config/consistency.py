"""Settings that are each valid and cannot be together: told before work starts.

A stage would find most of them too, hours of training later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from training_maps.analysis.sensitivity.variants import observed_metrics, variants_of
from training_maps.config.schema import nearest
from training_maps.hub.plan import hub_run
from training_maps.runs.training_logs import LOG_NAMES, usual_threshold
from training_maps.settings.sections import TIMES
from training_maps.training.recipe import Recipe
from training_maps.training.tasks import make_task
from training_maps.utils.errors import InputError

# What training logs at each checkpoint, besides step and epoch.
TRAINING_LOG_COLUMNS = (*LOG_NAMES, "gradient_norm")
# More checkpoints of a run than this are a slip of the pen, as are more states.
MOST_CHECKPOINTS = 1_000_000
MOST_STATES = 1_000
# What the folder of results has besides the folders of experiments.
_TAKEN = ("datasets", "logs", "benchmarks", "comparison.csv", "comparison.html")


def check_together(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an experiment whose settings contradict each other.

    Args:
        name: of the experiment.
        settings: all of them, each valid by itself; numbers of states as a list.

    Raises:
        InputError: naming the experiment, the keys, and what to do.
    """
    for check in _CHECKS:
        problem = check(name, settings)
        if problem is not None:
            raise InputError(f"experiment {name}: {problem}")


def _name(name: str, settings: Mapping[str, Any]) -> str | None:
    if name not in _TAKEN:
        return None
    return f"an experiment cannot be called {name}, as something else in the results is; rename it"


def _number_of_checkpoints(name: str, settings: Mapping[str, Any]) -> str | None:
    observed = settings["observations"]
    least, most = observed["min_checkpoints"], observed["max_checkpoints"]
    if settings["source"] == "state_paths":
        return None
    if most < least:
        return (
            f"observations.max_checkpoints ({most}) is less than observations.min_checkpoints "
            f"({least})"
        )
    training, where = settings["training"], "training.length and training.checkpoint_every"
    if settings["source"] == "training":
        # As many as recipe.checkpoint_steps gives, without making the list.
        found = -(-training["length"] // training["checkpoint_every"]) + 1
        if training["stop_after"] and training["stop_above"] is None:
            return (
                "training.stop_after counts from where training.stop_above is passed, and that is "
                "null; give both, or none"
            )
    elif settings["source"] == "hub":
        seeds = settings["seeds"]
        found, where = len(hub_run(settings["hub"], seeds, seeds[0]).steps), "hub.steps"
    else:
        return None
    if found > MOST_CHECKPOINTS:
        return f"{where} make {found} checkpoints of each run; at most {MOST_CHECKPOINTS} can be"
    if found < least:
        return (
            f"{where} make {found} checkpoints of each run, and observations.min_checkpoints is "
            f"{least}"
        )
    return None


def _number_of_states(name: str, settings: Mapping[str, Any]) -> str | None:
    numbers = settings["hmm"]["n_states"]
    if min(numbers) >= 1 and max(numbers) <= MOST_STATES:
        return None
    wrong = min(numbers) if min(numbers) < 1 else max(numbers)
    return f"hmm.n_states: expected numbers of at least 1 and at most {MOST_STATES}, got {wrong}"


def _training(name: str, settings: Mapping[str, Any]) -> str | None:
    """What a network of the task cannot be trained with."""
    training = settings["training"]
    if settings["source"] != "training":
        return None
    try:
        Recipe(**{key: training[key] for key in vars(Recipe())})
    except InputError as error:
        return f"training: {error}"
    if training["precision"] != "bfloat16":
        return None
    if not make_task(training["task"], training["task_settings"]).side_by_side:
        return None
    return (
        "training.precision: bfloat16 is for networks that are trained one by one, and those of "
        f"{training['task']} are trained side by side; choose float32 or tf32"
    )


def _metrics(name: str, settings: Mapping[str, Any]) -> str | None:
    """Metrics that the model is to see and that nobody computes."""
    observed = settings["observations"]
    if settings["source"] == "state_paths" or not observed["metrics"]:
        return None
    known = observed_metrics({**settings, "observations": {**observed, "metrics": []}})
    if known is None:
        return None
    for metric in observed["metrics"]:
        if metric not in known:
            return (
                f"observations.metrics: there is no {metric}{nearest(metric, known)}; the metrics "
                f"are {', '.join(known)}"
            )
    return None


def _log_columns(name: str, settings: Mapping[str, Any]) -> str | None:
    """Columns of the training log that training does not write."""
    asked = {
        f"observations.log_columns: {column}": column
        for column in settings["observations"]["log_columns"]
    }
    semantics = settings["semantics"]
    if semantics["outcome"] != "table" and semantics["column"] is not None:
        asked |= {f"semantics.column: {semantics['column']}": semantics["column"]}
    if settings["source"] == "training":
        for key, column in asked.items():
            if column not in TRAINING_LOG_COLUMNS:
                return (
                    f"{key} is no column of the training log"
                    f"{nearest(column, TRAINING_LOG_COLUMNS)}; it has "
                    f"{', '.join(TRAINING_LOG_COLUMNS)}"
                )
    return None


def _outcome(name: str, settings: Mapping[str, Any]) -> str | None:
    semantics = settings["semantics"]
    if semantics["table"] is not None and semantics["outcome"] != "table":
        return (
            f"semantics.table is for semantics.outcome: table, and that is {semantics['outcome']}; "
            "change one of the two"
        )
    column, threshold = semantics["column"], semantics["threshold"]
    is_time = semantics["outcome"] in TIMES and column is not None
    if is_time and threshold is None and usual_threshold(column) is None:
        return (
            f"semantics.outcome: {semantics['outcome']} of {column} takes semantics.threshold; "
            "without one, its final or best value can be the outcome"
        )
    return None


def _layers(name: str, settings: Mapping[str, Any]) -> str | None:
    """Groups of layers that the model is to see, and that are not kept or a stage cannot see."""
    if settings["source"] == "state_paths" or not settings["observations"]["layers"]:
        return None
    if settings["source"] == "metrics":
        return (
            "observations.layers are groups of layers of checkpoints, and the metrics come from "
            "tables; leave it empty"
        )
    if not settings["metrics"]["layers"]:
        return (
            "observations.layers needs the metrics of each matrix, and metrics.layers is false; "
            "change one of the two"
        )
    if variants_of(settings) or (settings.get("early_warning") or {}).get("fractions"):
        return (
            "observations.layers cannot be together with sensitivity or early_warning, which see "
            "the whole network's metrics; leave one of them out"
        )
    return None


_CHECKS: tuple[Callable[[str, Mapping[str, Any]], str | None], ...] = (
    _name,
    _number_of_states,
    _number_of_checkpoints,
    _training,
    _metrics,
    _log_columns,
    _outcome,
    _layers,
)
