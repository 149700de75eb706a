"""Settings that are each valid and cannot be together."""

import pytest

from training_maps.config.consistency import (
    MOST_CHECKPOINTS,
    MOST_STATES,
    TRAINING_LOG_COLUMNS,
    check_together,
)
from training_maps.config.schema import fill_defaults, load_schema, merge
from training_maps.utils.errors import InputError

SCHEMA = load_schema()


def settings(**changes):
    """An experiment's settings, all defaults but for the changes; numbers are lists."""
    base = {"training": {"task": "sparse_parities"}, "seeds": [0, 1], "hmm": {"n_states": [1, 2]}}
    return fill_defaults(merge(base, changes), SCHEMA["$defs"]["experiment"])


def test_defaults_go_together():
    check_together("mine", settings())
    check_together("mine", settings(source="state_paths"))
    check_together("mine", settings(source="checkpoints"))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("logs", {}, "experiment logs: .*cannot be called logs"),
        ("comparison.csv", {}, "cannot be called"),
        ("mine", {"hmm": {"n_states": [0, 3]}}, r"hmm\.n_states: .*at least 1.*got 0"),
        ("mine", {"hmm": {"n_states": [MOST_STATES + 1]}}, r"hmm\.n_states: .*at most"),
        (
            "mine",
            {"observations": {"min_checkpoints": 50, "max_checkpoints": 20}},
            r"observations\.max_checkpoints \(20\) is less than .*\(50\)",
        ),
        (
            "mine",
            {"training": {"length": 10, "checkpoint_every": 5}},
            "make 3 checkpoints of each run, and observations.min_checkpoints is",
        ),
        (
            "mine",
            {"training": {"length": MOST_CHECKPOINTS, "checkpoint_every": 1}},
            f"make {MOST_CHECKPOINTS + 1} checkpoints",
        ),
        ("mine", {"training": {"stop_after": 2}}, "stop_above"),
        ("mine", {"training": {"momentum": 0.9, "optimizer": "adamw"}}, "is sgd's"),
        ("mine", {"training": {"precision": "bfloat16"}}, r"training\.precision: bfloat16"),
        (
            "mine",
            {"observations": {"metrics": ["lambda_mxa"]}},
            r"observations\.metrics: there is no lambda_mxa \(did you mean lambda_max\?\)",
        ),
        (
            "mine",
            {"observations": {"log_columns": ["eval_los"]}},
            r"observations\.log_columns: eval_los .*did you mean eval_loss",
        ),
        (
            "mine",
            {"observations": {"layers": ["mlp"]}, "metrics": {"layers": False}},
            r"observations\.layers needs the metrics of each matrix, and metrics\.layers is false",
        ),
        (
            "mine",
            {"observations": {"layers": ["mlp"]}, "early_warning": {"fractions": [0.1]}},
            r"observations\.layers cannot be together with sensitivity or early_warning",
        ),
        ("mine", {"semantics": {"column": "val_acc"}}, r"semantics\.column: val_acc"),
        ("mine", {"semantics": {"table": "x.csv"}}, r"semantics\.table is for semantics\.outcome"),
    ],
)
def test_contradictions_are_told_with_their_keys(name, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        check_together(name, settings(**changes))
    assert str(caught.value).startswith(f"experiment {name}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_asked_of_training_is_asked_of_no_other_source():
    for changes in (
        {"training": {"length": 10, "checkpoint_every": 5}},
        {"training": {"precision": "bfloat16"}},
        {"observations": {"log_columns": ["own"]}},
    ):
        check_together("mine", settings(source="checkpoints", **changes))
    many = {"training": {"length": 40, "checkpoint_every": 1}}
    for column in TRAINING_LOG_COLUMNS:
        check_together("mine", settings(observations={"log_columns": [column]}, **many))


def test_networks_one_by_one_may_be_trained_in_half_precision():
    alone = {"task": "cifar", "task_settings": {}, "precision": "bfloat16"}
    check_together("mine", settings(training=alone))
