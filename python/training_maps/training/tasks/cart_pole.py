"""Cart and pole: a small agent of reinforcement learning, trained by REINFORCE.

An example is an episode: where it starts, and the random numbers that it takes. Accuracy is the
mean return as a share of the highest one: how long the pole stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from training_maps.training.tasks import Data, Task, setting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CartPoleTask(Task):
    """A perceptron learns to balance a pole on a cart (Williams 1992: REINFORCE)."""

    profits_from_gpu: ClassVar[bool] = False

    n_steps: int = setting(100, "steps of an episode at most, the highest return", minimum=2)
    n_train: int = setting(64, "episodes to train on in an epoch, drawn anew in each", minimum=1)
    n_eval: int = setting(32, "evaluation episodes, the same at each checkpoint", minimum=1)
    hidden_size: int = setting(16, "hidden units of the perceptron", minimum=1)
    discount: float = setting(0.97, "weight of a reward a step later", minimum=0, maximum=1)

    def data(self, generator: np.random.Generator) -> Data:
        """Starts and random numbers (n, 4 + n_steps) in float32; there are no targets: zeros."""

        def episodes(n: int) -> tuple[np.ndarray, np.ndarray]:
            starts = generator.uniform(-0.05, 0.05, size=(n, 4))
            draws = generator.random((n, self.n_steps))
            return np.concatenate([starts, draws], 1, dtype=np.float32), np.zeros(n, np.int64)

        return Data(*episodes(self.n_train), *episodes(self.n_eval))

    def augmentation(self, generator: np.random.Generator, n: int) -> np.ndarray | None:
        """Fresh episodes: (n, 4 + n_steps) of float32."""
        starts = generator.uniform(-0.05, 0.05, size=(n, 4))
        draws = generator.random((n, self.n_steps))
        return np.concatenate([starts, draws], 1, dtype=np.float32)

    def augment(self, inputs: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        """The fresh episodes."""
        return draws

    def network(self) -> torch.nn.Module:
        """A policy 4 - hidden_size - 1, with cart and pole."""
        from training_maps.training.models.cart_pole import CartPole

        return CartPole(self.hidden_size)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What REINFORCE descends: each action's log-probability times the rewards that follow.

        Rewards are discounted, and less their mean over the batch's episodes at the same step. The
        mean over all steps taken; its value says nothing, its gradient is the policy's.
        """
        import torch

        log_probabilities, alive = outputs.unbind(-1)
        steps = torch.arange(self.n_steps, device=alive.device)
        later = steps[None] - steps[:, None]  # (step, reward)
        weights = torch.where(later >= 0, self.discount ** later.clamp(min=0), 0.0)
        follows = alive @ weights.T.to(alive.dtype)
        usual = (follows * alive).sum(0) / alive.sum(0).clamp(min=1)
        return -(log_probabilities * (follows - usual) * alive).sum() / alive.sum()

    def correct(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of each episode, the share of the steps at which the pole still stands: (batch,)."""
        return outputs[..., 1].mean(-1)
