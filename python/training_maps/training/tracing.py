"""Functions of tensors as plain tensor operations, so that a step costs little besides these."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from training_maps.training.matrix_products import with_fast_products

# Correct, but for speed: an operation has no batched form and is run once for each network.
_ONE_BY_ONE = "There is a performance drop because we have not yet implemented the batching rule"

logger = logging.getLogger("training_maps")


def traced(
    function: Callable[..., Any],
    arguments: tuple[torch.Tensor, ...],
    compiled: bool = False,
) -> Callable[..., Sequence[torch.Tensor]]:
    """`function` as plain tensor operations, for arguments of the shapes of `arguments`.

    Small networks' steps are short, and most of their time goes into dispatching: tracing takes the
    cost of the transforms (vmap, grad) out of every step, and on a CPU TorchScript that of Python
    too; together about half. Values stay the same to the bit, but for large matrix products on a
    CPU, which are made by another library (`matrix_products`) and may be rounded otherwise. (torch
    calls TorchScript's tracing deprecated in favour of `torch.compile`, which needs a C++ compiler
    and half a minute to start; `compiled` asks for it.)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _ONE_BY_ONE)
        graph = make_fx(function)(*arguments)
    if compiled:
        return torch.compile(graph)
    if arguments[0].device.type != "cpu":
        return graph
    graph = with_fast_products(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return torch.jit.trace(graph, arguments, check_trace=False)
        except RuntimeError as error:
            # Some gradients, a convolution's for one, have no TorchScript: Python runs the graph.
            logger.debug("not traced by TorchScript: %s", error)
            return graph
