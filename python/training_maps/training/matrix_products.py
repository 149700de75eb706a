"""Matrix products of networks in training on a CPU, by oneDNN and within the cache.

torch has two libraries for products of float32 matrices on x86. MKL, which it takes, runs at half
speed or less on processors that are not Intel's: 105 GFLOP/s on a core of AMD's EPYC on which
oneDNN, which torch takes for convolutions, makes the same products at 250. torch has no public way
to ask for it; what is called here is the operation into which `torch.compile` turns a linear layer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable

import torch
from torch import fx

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Products of fewer multiply-adds stay as they are: a call of oneDNN's takes longer to begin.
_SMALLEST = 2**20

# A step of so many multiply-adds a network takes much longer than to dispatch it.
_LONG_STEP = 2**24

# In TorchScript's own language: its tracer cannot call what takes a list of numbers.
_LINEAR = """
graph(%first : Tensor, %second : Tensor):
  %weight : Tensor = aten::t(%second)
  %no_bias : NoneType = prim::Constant()
  %nothing_after : str = prim::Constant[value="none"]()
  %numbers : Scalar?[] = prim::ListConstruct()
  %no_algorithm : str = prim::Constant[value=""]()
  %product : Tensor = mkldnn::_linear_pointwise(
    %first, %weight, %no_bias, %nothing_after, %numbers, %no_algorithm)
  return (%product)
"""


def networks_at_once(parameters: Iterable[torch.Tensor], inputs: torch.Tensor) -> int | None:
    """How many of the networks side by side to differentiate at once; None for all of them.

    On a CPU large ones go one by one, so that what a layer computes stays in the cache: eight
    transformers at a batch of 2048 hold 34 MB a layer.

    Args:
        parameters: of all networks, (n_seeds, *shape) each.
        inputs: their batches, (n_seeds, batch, ...).
    """
    values = sum(math.prod(parameter.shape[1:]) for parameter in parameters)
    is_long = inputs.device.type == "cpu" and inputs.shape[1] * values >= _LONG_STEP
    return 1 if is_long else None


def with_fast_products(graph: fx.GraphModule) -> fx.GraphModule:
    """The graph with its large products of float32 matrices on a CPU made by oneDNN.

    Where torch was built without it, or has no such operation, the graph stays as it is.
    """
    if onednn_product() is None:
        return graph
    ours = {torch.ops.aten.mm.default: _mm, torch.ops.aten.bmm.default: _bmm}
    for node in graph.graph.nodes:
        if node.target in ours and _is_large(*(factor.meta["val"] for factor in node.args)):
            node.target = ours[node.target]
    graph.recompile()
    return graph


@functools.cache
def onednn_product() -> Product | None:
    """The product of two float32 matrices by oneDNN, (m, k) and (k, n); None without oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return None
    try:
        parsed = torch._C.parse_ir(_LINEAR)
        product: Product = torch._C._create_function_from_graph("onednn_product", parsed)
        product(torch.ones(2, 3), torch.ones(3, 2))
    except (AttributeError, RuntimeError):  # a torch without these means
        return None
    return product


def _mm(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    product = onednn_product()
    assert product is not None  # else no graph would have been changed
    return product(first, second)


def _bmm(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Products of (n, m, k) and (n, k, l), one after another."""
    products = [_mm(a, b) for a, b in zip(first.unbind(), second.unbind(), strict=True)]
    return torch.stack(products) if len(products) > 1 else products[0].unsqueeze(0)


def _is_large(first: torch.Tensor, second: torch.Tensor) -> bool:
    if first.dtype != torch.float32 or second.dtype != torch.float32:
        return False
    return math.prod(first.shape[-2:]) * second.shape[-1] >= _SMALLEST
