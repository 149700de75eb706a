"""Characters: a small language model of the text of Python's own documentation.

The text is that of `help()`'s topics, which every Python brings with it (`pydoc_data.topics`), so
that nothing is downloaded. It differs a little from one version of Python to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Data, Task, setting
from training_maps.utils.errors import InputError

if TYPE_CHECKING:
    import torch

_ALPHABET = " abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Characters(Task):
    """Which character comes next, with cross entropy, told by a causal transformer of one layer."""

    shared_data: ClassVar[bool] = True

    context: int = setting(32, "characters of an example", minimum=2)
    n_train: int = setting(4096, "training examples", minimum=1)
    n_eval: int = setting(256, "evaluation examples", minimum=1)
    d_model: int = setting(32, "width of the residual stream", minimum=1)
    n_heads: int = setting(2, "attention heads; they share d_model", minimum=1)
    d_mlp: int = setting(64, "hidden units of the MLP", minimum=1)

    def __post_init__(self) -> None:
        """Refuse heads that cannot share the width."""
        if self.d_model % self.n_heads:
            raise InputError(
                f"task characters: d_model ({self.d_model}) is no multiple of n_heads "
                f"({self.n_heads})"
            )

    def data(self, generator: np.random.Generator) -> Data:
        """Pieces of the text (n, context), and of each character the next: both int64.

        Pieces do not overlap. Those to train on are from the text's beginning, those to evaluate on
        from its end.

        Raises:
            InputError: if the text is too short for so many.
        """
        text = documentation()
        length = len(text) - 1
        needed = (self.n_train + self.n_eval) * self.context
        if needed > length:
            raise InputError(
                f"task characters: the text has {length} characters, and {self.n_train} + "
                f"{self.n_eval} examples of {self.context} take {needed}"
            )
        begin, end = self.n_train * self.context, length - self.n_eval * self.context

        def pieces(first: int, last: int) -> np.ndarray:
            return text[first:last].reshape(-1, self.context)

        return Data(
            pieces(0, begin),
            pieces(1, begin + 1),
            pieces(end, length),
            pieces(end + 1, length + 1),
        )

    def network(self) -> torch.nn.Module:
        """A causal transformer of one layer."""
        from training_maps.training.models.causal_transformer import CausalTransformer

        return CausalTransformer(
            len(_ALPHABET),
            self.context,
            d_model=self.d_model,
            n_heads=self.n_heads,
            d_mlp=self.d_mlp,
        )

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy, averaged over the batch and all positions, in nats a character."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.flatten(0, 1), targets.flatten())

    def correct(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of each example, the share of its characters that are told right: (batch,)."""
        return (outputs.argmax(-1) == targets).float().mean(-1)


def documentation() -> np.ndarray:
    """The text of all topics, as numbers of letters: 1 to 26, and 0 for whatever else there is.

    Returns:
        (n_characters,) of int64; no two 0 stand together.
    """
    from pydoc_data.topics import topics

    whole = " ".join(topics[name] for name in sorted(topics)).lower()
    letters = re.sub("[^a-z]+", " ", whole)
    return np.frombuffer(letters.encode(), np.uint8).astype(np.int64) % 32
