"""The sections of the config that say how runs are analysed: each key is declared once, here.

A new key is a new line here, and its use; docs/add_a_setting.md shows both. Stages' functions and
commands take their defaults from these classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args

from training_maps.settings.fields import Limits, setting

Text = Annotated[str, Limits(minLength=1)]
Texts = Annotated[Sequence[Text], Limits(uniqueItems=True)]
Name = Annotated[str, Limits(pattern="^[A-Za-z0-9_-]+$")]
# Whole numbers as text ("0-39", "0-9,12"), one number, or a list of both.
Numbers = Annotated[
    str | int | Sequence[int | str], Limits(minItems=1, items={"type": ["integer", "string"]})
]
NonFinite = Literal["stop", "drop", "cut"]
KindOfModel = Literal["gaussian", "autoregressive", "vector_autoregressive"]
Covariance = Literal["full", "diag", "tied", "spherical"]
Criterion = Literal["bic", "aic", "log_likelihood", "found_again"]
Method = Literal["paper", "recommended"]
Scale = Literal["run", "pooled"]
Aggregate = Literal["mean", "best"]
CensoredPolicy = Literal["last_step", "drop", "tobit"]
DetourRule = Literal["sign", "interval"]
OutcomeKind = Literal["convergence_time", "first_crossing", "final", "best", "table"]
# Outcomes that are times.
TIMES = ("convergence_time", "first_crossing")
Unreadable = Literal["stop", "skip"]
Features = Literal["inverse_covariance", "posterior_gradient"]


@dataclass(frozen=True)
class MetricsSettings:
    """The metrics of each checkpoint."""

    non_finite: NonFinite = setting(
        "stop",
        "on a checkpoint with a NaN or infinite weight; stop with an error, drop the run, or cut "
        "the run before that checkpoint",
    )
    columns: Texts = setting(
        (),
        "the metrics to compute, by column; paper stands for the paper's 14, and empty means "
        "these. Metrics of one's own, which an installed package offers, are named by their entry "
        "points",
    )
    unreadable: Unreadable = setting(
        "stop",
        "on a checkpoint that is missing, truncated, corrupt or changed; stop with an error, or "
        "skip it",
    )
    layers: bool = setting(
        True,
        "keep the metrics of each weight matrix too, 120 bytes for each matrix and checkpoint, so "
        "that the report says which layers change",
    )


@dataclass(frozen=True)
class ObservationsSettings:
    """The z-scored sequences that the hidden Markov model sees."""

    metrics: Texts = setting((), "the metrics to use, by column; empty means all")
    log_columns: Texts = setting(
        (), "columns of the training log that join the metrics, by step; such as gradient_norm"
    )
    layers: Texts = setting(
        (),
        "groups of layers whose metrics the model sees in place of the whole network's, each "
        "metric of each group a column; attention, mlp, convolution, recurrent, embedding, early, "
        "middle or late (thirds of the blocks), or a pattern on tensor names",
    )
    max_checkpoints: int = setting(
        1000, "how many checkpoints of a run are used, from its first on", minimum=2
    )
    min_checkpoints: int = setting(10, "a run with fewer checkpoints is an error", minimum=2)
    scale: Scale = setting(
        "run",
        "a metric's mean and standard deviation are those of its run, as in the paper (run), or "
        "common to all runs, so that a state is the same place in each of them (pooled)",
    )
    validation_share: float = setting(
        0.2, "share of the runs held out to choose the number of states", minimum=0, maximum=0.9
    )
    split_seed: int = setting(0, "seed of that split", minimum=0)


@dataclass(frozen=True)
class SelectionSettings:
    """Which hidden Markov models are tried, and how one of them is chosen."""

    n_states: Numbers = setting(
        "1-8", 'numbers of states to try; "1-8", one number or a list of numbers', minimum=1
    )
    model: Annotated[
        str | Sequence[str],
        Limits(
            pattern=f"^({'|'.join(get_args(KindOfModel))})$",
            minItems=1,
            uniqueItems=True,
            items={"enum": list(get_args(KindOfModel))},
        ),
    ] = setting(
        "gaussian",
        "the kind of model, or a list of kinds to choose between by the same criterion; a state's "
        "observations scatter about its mean (gaussian), or about a point that depends on the "
        "observation before, each metric on its own last value (autoregressive) or on those of all "
        "metrics (vector_autoregressive)",
    )
    criterion: Criterion = setting(
        "bic",
        "what chooses the number of states; bic, aic or log_likelihood of the validation runs, or "
        "found_again, which takes the verdict's kind of model, and of the models that halves of "
        "the runs agree on the one whose states tell most",
    )
    aggregate: Aggregate = setting(
        "mean", "how a number of states is judged; by the mean over restarts, or by the best one"
    )


@dataclass(frozen=True)
class FitSettings:
    """How hidden Markov models are fitted."""

    restarts: int = setting(5, "fits for each number of states", minimum=1)
    covariance: Covariance = setting("full", "the shape of a state's covariance")
    covariance_floor: float = setting(
        0.001,
        "smallest eigenvalue of a covariance, in squared standard deviations of a z-scored metric; "
        "keeps states from fitting nearly collinear metrics so tightly that runs held out look "
        "impossible",
        exclusiveMinimum=0,
        maximum=1,
    )
    minimum_stay: int = setting(
        1,
        "checkpoints that a run stays in a state at least; takes away returns that are shorter, "
        "whether noise or an event of training makes them",
        minimum=1,
        maximum=100,
    )
    stay_prior: float = setting(
        0,
        "imagined checkpoints of each state after which runs stay; of states that hardly differ, "
        "runs then keep to one",
        minimum=0,
    )
    max_iterations: int = setting(500, "EM iterations at most", minimum=1)
    tolerance: float = setting(
        0.01,
        "a fit has converged when an iteration gains less log-likelihood than this, over all "
        "training runs together",
        exclusiveMinimum=0,
    )
    random_state: int = setting(0, "seed of all restarts", minimum=0)
    resplits: int = setting(
        0,
        "other splits into training and validation runs on which all fits are made again, so that "
        "all splits judge together and the choice does not hang on one; each takes as long as all "
        "fits",
        minimum=0,
    )


@dataclass(frozen=True)
class HmmSettings(FitSettings, SelectionSettings):
    """The hidden Markov model, and how its number of states is chosen."""


#: What a method says where the config does not, by section.
METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {
        "hmm": {"model": "gaussian", "criterion": "bic"},
        "observations": {"scale": "run"},
    },
    "recommended": {
        "hmm": {"model": list(get_args(KindOfModel)), "criterion": "found_again"},
        "observations": {"scale": "pooled"},
    },
}


@dataclass(frozen=True)
class ReproducibilitySettings:
    """Whether other seeds show the same map; docs/concepts.md."""

    halves: int = setting(
        5,
        "random pairs of halves of the runs, on each of which everything is fitted and chosen "
        "anew; with fewer than 10 runs, some are left out one at a time instead. 0 leaves this out",
        minimum=0,
    )
    restarts: int = setting(2, "fits of each model to a half", minimum=1)
    random_state: int = setting(0, "seed of the halves, and of those fits", minimum=0)


@dataclass(frozen=True)
class TrainingMapSettings:
    """The map's labels."""

    n_features: int = setting(3, "metrics that label a state", minimum=1)
    features: Features = setting(
        "inverse_covariance",
        "what ranks the metrics that label states and transitions; the diagonal of a state's "
        "inverse covariance, or how fast the posterior probability of a state grows with a metric "
        "where runs enter it",
    )


@dataclass(frozen=True)
class ForksSettings:
    """Where runs part ways, and whether the way taken tells when they converge."""

    significance: float = setting(
        0.05,
        "a branch predicts convergence if the permutation test's p, adjusted for the number of "
        "forks, is below this",
        exclusiveMinimum=0,
        exclusiveMaximum=1,
    )
    permutations: int = setting(
        9999, "random permutations of a test where all would be too many", minimum=1
    )
    random_state: int = setting(0, "seed of those permutations", minimum=0)


@dataclass(frozen=True)
class PhaseTransitionsSettings:
    """When runs memorise and generalise; docs/phase_transitions.md has the definition."""

    level: float = setting(
        0.5,
        "how far from chance to the plateau an accuracy must be for its phase to have happened",
        exclusiveMinimum=0.1,
        maximum=1,
    )
    window: int = setting(
        5,
        "checkpoints of the running median that smooths accuracies and losses; odd",
        minimum=1,
        **{"not": {"multipleOf": 2}},
    )
    dips: float = setting(
        0.1,
        "share of the later checkpoints that may be back at chance",
        minimum=0,
        exclusiveMaximum=1,
    )
    chance: float | None = setting(
        None,
        "accuracy at chance; null for the mean of the runs' first checkpoints",
        minimum=0,
        exclusiveMaximum=1,
    )
    tolerance: int = setting(
        3,
        "how many checkpoints may lie between a phase and the transition of states that it "
        "coincides with",
        minimum=0,
    )


@dataclass(frozen=True)
class SemanticsSettings:
    """How states relate to convergence time, or to another outcome of the runs."""

    outcome: OutcomeKind | None = setting(
        None,
        "what is regressed on the shares of states; the time when a logged column passes the "
        "threshold (convergence_time, or first_crossing where it is no convergence), its last or "
        "best value, or a column of a table of one's own; null is convergence_time where there is "
        "a threshold, and final where there is none",
    )
    column: Text | None = setting(
        None,
        "the column of the training log that tells convergence, or the outcome; null is "
        "eval_accuracy, and where a log has none its only column, or eval_loss",
    )
    threshold: float | None = setting(
        None,
        "a run has converged at its first checkpoint beyond this; of accuracies, at least 0 and "
        "less than 1; null is 0.9 for accuracies, and for other columns none, so that nothing "
        "converges",
    )
    direction: Literal["above", "below"] | None = setting(
        None,
        "the side of the threshold, or the values, that training aims at; null is below for losses "
        "and errors, above for other columns",
    )
    table: Mapping[str, str] | None = setting(
        None,
        "with outcome table, the table of one's own (path: a CSV or Parquet file with a column "
        "seed) and the outcome in it (column)",
        required=["path", "column"],
        additionalProperties=False,
        properties={
            "path": {
                "type": "string",
                "minLength": 1,
                "description": "a CSV or Parquet file with columns seed and that of the outcome",
            },
            "column": {"type": "string", "minLength": 1, "description": "the outcome"},
        },
    )
    censored: CensoredPolicy = setting(
        "last_step",
        "runs that do not converge count as their last step, are dropped, or are known to converge "
        "later (a Tobit model)",
    )
    significance: float = setting(
        0.001,
        "coefficients are read, and detours named, only if the test's p is below this",
        exclusiveMinimum=0,
        maximum=1,
    )
    detour_rule: DetourRule = setting(
        "sign",
        "a detour's coefficient is positive (sign), or its whole 95 % interval is (interval)",
    )
    resamples: int = setting(1000, "resamples of the runs for intervals", minimum=1)
    random_state: int = setting(
        0, "seed of resamples, permutations and the random forest", minimum=0
    )

    together: ClassVar[dict[str, Any]] = {
        "allOf": [
            {
                "if": {
                    "properties": {
                        "column": {"enum": [None, "eval_accuracy", "train_accuracy"]},
                        "threshold": {"type": "number"},
                    }
                },
                "then": {
                    "properties": {
                        "threshold": {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
                    }
                },
            },
            {
                "if": {"properties": {"outcome": {"const": "table"}}, "required": ["outcome"]},
                "then": {"properties": {"table": {"type": "object"}}, "required": ["table"]},
            },
        ]
    }


@dataclass(frozen=True)
class SensitivitySettings:
    """How far states move with other metrics or fits; docs/sensitivity.md.

    Each variant takes as long as all fits of the hmm section.
    """

    leave_one_out: bool = setting(False, "leave out each of the metrics in turn")
    authors_subsets: bool = setting(
        False, "keep the subsets of metrics that the paper's authors compared"
    )
    subsets: Mapping[Name, Annotated[Sequence[Text], Limits(minItems=1, uniqueItems=True)]] = (
        setting({}, "by name, subsets of metrics to keep, such as norms: [l1, l2]")
    )
    open_choices: bool = setting(
        False,
        "change what the paper leaves open, one choice at a time; covariance and its floor, number "
        "of restarts, how they are judged, and which runs are held out",
    )
    hmm: Mapping[Name, HmmSettings] = setting(
        {}, "by name, settings of the hmm section to change, such as six: {n_states: 6}"
    )


@dataclass(frozen=True)
class EarlyWarningSettings:
    """How well the first part of a run predicts the rest of it; docs/sensitivity.md."""

    fractions: Annotated[
        Sequence[Annotated[float, Limits(exclusiveMinimum=0, maximum=1)]], Limits(uniqueItems=True)
    ] = setting(
        (),
        "which first parts, as shares of the longest run, such as 0.05, 0.1, 0.2, 0.4; none by "
        "default",
    )
    folds: int = setting(
        10,
        "parts that the runs are dealt to; each is predicted from the others. As many as there are "
        "runs leaves out one at a time",
        minimum=2,
    )
    permutations: int = setting(
        999, "ways to deal outcomes to runs that a p-value is of", minimum=1
    )
    random_state: int = setting(0, "seed of folds, fits and permutations", minimum=0)


@dataclass(frozen=True)
class FiguresSettings:
    """Which files of figures are written; the report has figures of its own."""

    formats: Annotated[
        Sequence[Literal["svg", "pdf", "png"]], Limits(minItems=1, uniqueItems=True)
    ] = setting(("svg", "pdf", "png"), "formats of each figure")
    widths: Annotated[Sequence[Literal["page", "column"]], Limits(minItems=1, uniqueItems=True)] = (
        setting(
            ("page", "column"),
            "widths of each figure; that of a paper's page (175 mm), and that of one of its two "
            "columns (85 mm)",
        )
    )
