"""How a network is trained: optimiser, lengths, batch size, precision, when to stop."""

from __future__ import annotations

from dataclasses import dataclass

from training_maps.settings.fields import setting
from training_maps.utils.errors import InputError


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; `unit` ("epoch" or "step") is that of both lengths."""

    optimizer: str = setting("sgd", "torch's optimiser of this name", enum=["sgd", "adamw"])
    learning_rate: float = setting(0.1, "learning rate", exclusiveMinimum=0)
    momentum: float = setting(0.0, "momentum of sgd", minimum=0, exclusiveMaximum=1)
    weight_decay: float = setting(0.0, "weight decay", minimum=0)
    batch_size: int = setting(32, "examples in a batch", minimum=1)
    unit: str = setting(
        "epoch",
        "what length and checkpoint_every count, and what time is shown in",
        enum=["epoch", "step"],
    )
    length: int = setting(1000, "length of training in units", minimum=1)
    checkpoint_every: int = setting(10, "units from one checkpoint to the next", minimum=1)
    train_examples_evaluated: int | None = setting(
        None, "training loss is that of the first so many training examples; null: all", minimum=1
    )
    stop_above: float | None = setting(
        None, "end a run early once its evaluation accuracy has been above this; null: never"
    )
    stop_after: int = setting(
        0, "how many more checkpoints such a run takes before it ends", minimum=0
    )
    precision: str = setting(
        "float32",
        "tf32 and bfloat16 are faster on GPUs that have them; bfloat16 (autocast) only for "
        "networks trained one by one",
        enum=["float32", "tf32", "bfloat16"],
    )
    compile: bool = setting(
        False, "compile the network (torch.compile): pays off in long training on a GPU"
    )

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if self.momentum and self.optimizer != "sgd":
            raise InputError(
                f"momentum ({self.momentum}) is sgd's, and the optimizer is {self.optimizer}; "
                "leave momentum out, or take sgd"
            )


def checkpoint_steps(recipe: Recipe, steps_per_epoch: int) -> list[int]:
    """The steps at which checkpoints are taken: 0, every `checkpoint_every`, and the last."""
    steps_per_unit = steps_per_epoch if recipe.unit == "epoch" else 1
    units = sorted({*range(0, recipe.length, recipe.checkpoint_every), recipe.length})
    return [unit * steps_per_unit for unit in units]
