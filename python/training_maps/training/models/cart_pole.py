"""A policy and the cart with a pole that it balances (Barto, Sutton and Anderson 1983)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from training_maps.training.models.mlp import MLP

# The constants of CartPole-v1 (Brockman et al. 2016), in metres, kilograms and seconds.
_GRAVITY, _CART, _POLE, _HALF_LENGTH, _FORCE, _TICK = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
_FARTHEST, _STEEPEST = 2.4, math.radians(12)


class CartPole(nn.Module):
    """A perceptron that pushes a cart left or right, and the episodes that come of it.

    All randomness is given, so that an episode is a function of its inputs and the parameters:
    (batch, 4 + n_steps) to (batch, n_steps, 2).
    """

    def __init__(self, hidden_size: int) -> None:
        """Make a policy with fresh random parameters from torch's global generator."""
        super().__init__()
        self.policy = MLP(4, hidden_size, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Episodes.

        Args:
            inputs: of each the cart's first place and speed, the pole's angle and its speed, and
                for each step a number from 0 to 1: the cart is pushed right where it is below the
                probability of that.

        Returns:
            At each step the log-probability of what was done, and 1 until the pole has fallen or
            the cart has left, 0 after that. Only the first has a gradient.
        """
        state, draws = inputs[:, :4], inputs[:, 4:]
        alive = torch.ones_like(state[:, 0])
        states, rights, alives = [], [], []
        for draw in draws.unbind(1):
            right = (draw < self.policy(state).detach()[:, 0].sigmoid()).to(state.dtype)
            states.append(state)
            rights.append(right)
            alives.append(alive)
            state = torch.where(alive[:, None] > 0, pushed(state, 2 * right - 1), state)
            alive = alive * stands(state).to(alive.dtype)
        logits = self.policy(torch.stack(states, 1))[..., 0]
        signs = 2 * torch.stack(rights, 1) - 1
        return torch.stack([logsigmoid(signs * logits), torch.stack(alives, 1)], -1)


def pushed(state: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Cart and pole one tick later, by Euler's method.

    Args:
        state: place, speed, angle and its speed, (batch, 4).
        direction: 1 for a push to the right, -1 to the left, (batch,).
    """
    _, speed, angle, turning = state.unbind(1)
    sine, cosine = angle.sin(), angle.cos()
    mass, moment = _CART + _POLE, _POLE * _HALF_LENGTH
    push = (_FORCE * direction + moment * turning * turning * sine) / mass
    inertia = _HALF_LENGTH * (4 / 3 - _POLE * cosine * cosine / mass)
    turn = (_GRAVITY * sine - cosine * push) / inertia
    speeds_up = push - moment * turn * cosine / mass
    change = torch.stack([speed, speeds_up, turning, turn], 1)
    return state + _TICK * change


def stands(state: torch.Tensor) -> torch.Tensor:
    """Whether the cart is within bounds and the pole nearly upright: (batch,) of bool."""
    return (state[:, 0].abs() <= _FARTHEST) & (state[:, 2].abs() <= _STEEPEST)
