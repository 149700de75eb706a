"""The loss landscape at a checkpoint: how sharp the ground is, how steep, and how noisy the way.

Of a network's loss on a sample of its training examples, as a function of all its trained
parameters, with the Hessian H and the gradient g:

- the largest eigenvalue of H, by Lanczos' method with full reorthogonalisation (Golub and Van Loan
  2013, section 10.1);
- the trace of H, by Hutchinson's estimate (1990) from `PROBES` vectors of random signs, the same
  ones at each checkpoint, so that a change is the network's;
- the norm of g;
- the noise scale tr(S) / |g|^2 (McCandlish et al. 2018, equation 2.9), where S is the covariance of
  a single example's gradient, from `GROUPS` groups of examples.

Nothing of the size of H is ever held: products of H and a vector are made by differentiating twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call, grad, vmap

from training_maps.metrics.definitions import LANDSCAPE
from training_maps.training.examples import Examples
from training_maps.training.tasks import Task
from training_maps.training.tracing import traced

EXAMPLES = 1024
"""Training examples of the sample at most: the first ones, as they are, not augmented."""
GROUPS = 16
PROBES = 8
ITERATIONS = 16
"""Of Lanczos' method; the largest eigenvalue of a network's Hessian stands well apart."""
# What is left of a vector that lies in the space of those before is rounding.
_IN_THE_SPACE = 1e-5

Pieces = Sequence[tuple[torch.Tensor, torch.Tensor]]
Product = Callable[[torch.Tensor], torch.Tensor]


class Landscape:
    """Measures the ground that networks of one task stand on, all at once."""

    def __init__(self, task: Task, network: torch.nn.Module) -> None:
        """For networks built as `network` is, whose own values do not matter."""
        self._task, self._network = task, network
        self._trained = [name for name, p in network.named_parameters() if p.requires_grad]
        self._functions: dict[Any, Callable[..., Any]] = {}

    @torch.no_grad()
    def measure(
        self, tensors: Mapping[str, torch.Tensor], groups: Pieces
    ) -> list[dict[str, float]]:
        """The four values of each network.

        Args:
            tensors: parameters and buffers by name, stacked: (n_seeds, *shape).
            groups: inputs (n, size, ...), as the network sees them, and targets (n, size, ...) of
                groups of one size; n is n_seeds, or 1 if all have the same.

        Returns:
            For each network value by column of `LANDSCAPE`; NaN for the noise scale where the
            gradient is 0, as for a hinge loss of 0.
        """
        self._network.eval()
        gradients = [self._gradient(tensors, *group).double() for group in groups]
        mean = torch.stack(gradients).mean(0)
        squared = mean.square().sum(1)
        spread = sum(gradient.square().sum(1) for gradient in gradients) / len(groups) - squared
        size = groups[0][1].shape[1]
        noise = size * spread.clamp(min=0) * len(groups) / max(len(groups) - 1, 1)
        whole = [torch.cat(parts, 1) for parts in zip(*groups, strict=True)]

        def product(vectors: torch.Tensor) -> torch.Tensor:
            return self._product(tensors, vectors, *whole)

        largest, trace = largest_and_trace(product, mean)
        values = (largest, trace, squared.sqrt(), noise / squared)
        rows = torch.stack(values, 1).cpu().numpy()
        return [dict(zip(LANDSCAPE, map(float, row), strict=True)) for row in rows]

    def _gradient(
        self, tensors: Mapping[str, torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        """Each network's gradient on some examples, as one vector: (n_seeds, n_parameters)."""

        def gradient(flat: Any, others: Any, inputs: Any, targets: Any) -> torch.Tensor:
            return grad(self._loss)(flat, others, inputs, targets)

        return self._called("gradient", gradient, tensors, (), inputs, targets)

    def _product(
        self,
        tensors: Mapping[str, torch.Tensor],
        vectors: torch.Tensor,
        inputs: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """Each network's Hessian times a vector of its own: (n_seeds, n_parameters)."""

        def product(flat: Any, others: Any, vector: Any, inputs: Any, targets: Any) -> torch.Tensor:
            def along(flat: torch.Tensor) -> torch.Tensor:
                return (grad(self._loss)(flat, others, inputs, targets) * vector).sum()

            return grad(along)(flat)

        own = vectors.to(next(iter(tensors.values())).dtype)
        return self._called("product", product, tensors, (own,), inputs, targets).double()

    def _loss(
        self,
        flat: torch.Tensor,
        others: dict[str, torch.Tensor],
        inputs: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """One network's loss, as a function of its trained parameters as one vector."""
        shapes = {name: self._network.get_parameter(name).shape for name in self._trained}
        parts = flat.split([shape.numel() for shape in shapes.values()])
        pairs = zip(shapes.items(), parts, strict=True)
        named = {name: part.view(shape) for (name, shape), part in pairs}
        return self._task.loss(functional_call(self._network, named | others, (inputs,)), targets)

    def _called(
        self,
        kind: str,
        function: Callable[..., torch.Tensor],
        tensors: Mapping[str, torch.Tensor],
        own: tuple[torch.Tensor, ...],
        inputs: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """`function` of all networks; it is traced once for examples of one shape."""
        flat = torch.cat([tensors[name].flatten(1) for name in self._trained], 1)
        names = [name for name in tensors if name not in self._trained]
        shared = None if len(inputs) < len(flat) else 0

        def of_all(flat: torch.Tensor, *arguments: torch.Tensor) -> torch.Tensor:
            others = dict(zip(names, arguments, strict=False))
            *own, inputs, targets = arguments[len(names) :]
            if shared is None:
                inputs, targets = inputs[0], targets[0]
            axes = (0, 0, *(0 for _ in own), shared, shared)
            return vmap(function, in_dims=axes)(flat, others, *own, inputs, targets)

        arguments = (flat, *(tensors[name] for name in names), *own, inputs, targets)
        key = (kind, inputs.shape)
        if key not in self._functions:
            self._functions[key] = traced(of_all, arguments)
        return self._functions[key](*arguments)


def sample_of(examples: Examples, limit: int | None = None) -> Pieces:
    """The groups of examples that a landscape is measured on: the first training examples.

    Args:
        examples: the data of the runs.
        limit: how many examples at most, if fewer than `EXAMPLES`.
    """
    n = min(EXAMPLES, limit or EXAMPLES, examples.n_train)
    n_groups = min(GROUPS, n)
    size = n // n_groups
    return list(examples.part("train", size, size * n_groups))


def largest_and_trace(product: Product, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest eigenvalue of each of some symmetric matrices, and an estimate of their traces.

    Args:
        product: the matrices times a vector each, (n_matrices, n) to (n_matrices, n).
        like: (n_matrices, n): the size of such vectors, and where they lie.

    Returns:
        Both (n_matrices,) in float64.
    """
    n = like.shape[1]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(PROBES, n))
    probes = torch.from_numpy(signs).to(like.device)[:, None].expand(-1, len(like), -1)
    # The first step of Lanczos' method is a probe's product as well.
    diagonals, next_to = _tridiagonal(product, probes[0] / n**0.5, min(ITERATIONS, n))
    traces = [n * torch.from_numpy(diagonals[:, 0]).to(like.device)]
    traces += [(probe * product(probe)).sum(1) for probe in probes[1:]]
    largest = [_largest(own, beside) for own, beside in zip(diagonals, next_to, strict=True)]
    found = torch.tensor(largest, dtype=torch.float64, device=like.device)
    return found, torch.stack(traces).mean(0)


def _tridiagonal(
    product: Product, start: torch.Tensor, n_steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lanczos' method from unit vectors: the diagonals, and what stands beside them.

    Returns:
        Both (n_matrices, n_steps); a 0 beside the diagonal ends a matrix: its space is complete.
    """
    basis, diagonal, beside = [start], [], []
    for _ in range(n_steps):
        new = product(basis[-1])
        diagonal.append((basis[-1] * new).sum(1))
        length = new.norm(dim=1)
        for _ in range(2):  # twice is enough (Parlett 1998, section 6.9)
            for vector in basis:
                new = new - (vector * new).sum(1, keepdim=True) * vector
        left = new.norm(dim=1)
        left = torch.where(left > _IN_THE_SPACE * length, left, torch.zeros_like(left))
        beside.append(left)
        basis.append(new / torch.where(left > 0, left, torch.full_like(left, torch.inf))[:, None])
    return torch.stack(diagonal, 1).cpu().numpy(), torch.stack(beside, 1).cpu().numpy()


def _largest(diagonal: NDArray[np.float64], beside: NDArray[np.float64]) -> float:
    """The largest eigenvalue of a tridiagonal matrix, up to where it falls apart."""
    from scipy.linalg import eigvalsh_tridiagonal

    complete = np.flatnonzero(beside == 0)
    n = int(complete[0]) + 1 if len(complete) else len(diagonal)
    if not np.isfinite(diagonal[:n]).all():
        return float("nan")
    return float(eigvalsh_tridiagonal(diagonal[:n], beside[: n - 1])[-1])
