"""The paper's settings and the numbers it reports of them (Hu et al. 2023, Tables 1, 2, 4 to 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training_maps.runs.training_logs import ACCURACY, usual_threshold


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper's Table 1 (40 seeds each), and what stands in its Table 2 of the setting.

    Attributes:
        title: what the paper calls the setting.
        r_squared: of the regression of convergence time on the shares of states.
        p_value: as printed there.
        dissimilarity: equation 3; the distance between states is not named.
        forking: whether the training map is not linear.
        coefficients: of Table 2, by the paper's own numbers of states; empty for linear maps.
        detours: the states that section 3.4 calls detours.
    """

    title: str
    r_squared: float
    p_value: str
    dissimilarity: float
    forking: bool
    coefficients: tuple[float, ...] = ()
    detours: frozenset[int] = field(default_factory=frozenset)


#: Hu et al. 2023, Table 1, in its order, and Table 2.
PAPER = {
    "modular_addition": PaperRow(
        "Modular addition",
        0.977,
        "<0.001",
        0.496,
        True,
        (-0.15, 0.98, 1.19, -0.20, 0.18, 0.95),
        frozenset({2, 5}),
    ),
    "modular_addition_stabilized": PaperRow(
        "Modular addition, stabilized", 0.514, "<0.001", 0.038, False
    ),
    "cifar100": PaperRow("CIFAR-100", 0.094, "0.469", 0.028, False),
    "cifar100_destabilized": PaperRow(
        "CIFAR-100, destabilized",
        0.905,
        "<0.001",
        0.806,
        True,
        (0.66, 1.20, 0.28, 1.91, 1.12),
        frozenset({1}),
    ),
    "sparse_parities": PaperRow(
        "Sparse parities",
        0.961,
        "<0.001",
        0.183,
        True,
        (0.77, 0.41, 0.98, -0.23, 0.58, 1.13),
        frozenset({0}),
    ),
    "mnist": PaperRow("MNIST", 0.049, "0.611", 0.063, False),
}

_ADDITION = {
    "task": "modular_addition",
    "task_settings": {
        "modulus": 113,
        "train_share": 0.3,
        "d_model": 128,
        "n_heads": 4,
        "d_head": 32,
        "d_mlp": 512,
        "layer_norm": False,
    },
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "weight_decay": 1.0,
    "batch_size": 2048,
    "unit": "epoch",
    "length": 10000,
    "checkpoint_every": 10,
    "threshold": 0.9,
}
_CIFAR = {
    "task": "cifar",
    "task_settings": {
        "dataset": "cifar100",
        "batch_norm": True,
        "residual": True,
        "augmented": True,
    },
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "weight_decay": 1.0,
    "batch_size": 256,
    "unit": "step",
    "length": 12000,
    "checkpoint_every": 20,
    "threshold": 0.6,
}


def _changed(base: Mapping[str, Any], changes: Mapping[str, Any], **task: Any) -> dict[str, Any]:
    return {**base, **changes, "task_settings": {**base["task_settings"], **task}}


#: What each setting trains, and from which accuracy a run counts as converged (Appendix C, 3.4).
SETTINGS: dict[str, dict[str, Any]] = {
    "modular_addition": _ADDITION,
    "modular_addition_stabilized": _changed(_ADDITION, {"batch_size": 256}, layer_norm=True),
    "cifar100": _CIFAR,
    "cifar100_destabilized": _changed(_CIFAR, {"threshold": 0.4}, batch_norm=False, residual=False),
    "sparse_parities": {
        "task": "sparse_parities",
        "task_settings": {
            "n_bits": 40,
            "n_relevant_bits": 3,
            "n_train": 1000,
            "n_eval": 100,
            "hidden_size": 128,
            "initialisation": "torch",
        },
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 0.01,
        "batch_size": 32,
        "unit": "epoch",
        "length": 1000,
        "checkpoint_every": 10,
        "threshold": 0.9,
    },
    "mnist": {
        "task": "mnist",
        "task_settings": {
            "dataset": "mnist",
            "model": "mlp",
            "hidden_size": 800,
            "initialisation": "torch",
            "batch_norm": False,
        },
        "optimizer": "adamw",
        "learning_rate": 0.001,
        "weight_decay": 1.0,
        "batch_size": 256,
        "unit": "step",
        "length": 5000,
        "checkpoint_every": 20,
        "threshold": 0.97,
    },
}
# Training that is cut short is another training.
_NOT_THE_PAPERS = ("stop_above",)


def paper_setting(settings: Mapping[str, Any]) -> str | None:
    """Which of the paper's settings an experiment has, whatever it is called; None for no one.

    What is compared is what is trained and when it counts as converged, not how many seeds there
    are, how the states are found, or on which device and how many at a time networks are trained.

    Args:
        settings: the experiment's whole settings, defaults filled in.
    """
    if settings["source"] != "training" or any(
        settings["training"][key] is not None for key in _NOT_THE_PAPERS
    ):
        return None
    semantics = settings["semantics"]
    threshold = semantics["threshold"]
    if threshold is None:
        threshold = usual_threshold(semantics["column"] or ACCURACY)
    own = {**settings["training"], "threshold": threshold}
    for name, wanted in SETTINGS.items():
        if all(own[key] == value for key, value in wanted.items()):
            return name
    return None
