"""Large products by oneDNN: the same numbers, and only where they are large and float32."""

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from training_maps.training import matrix_products
from training_maps.training.matrix_products import (
    networks_at_once,
    onednn_product,
    with_fast_products,
)
from training_maps.training.tracing import traced

needs_onednn = pytest.mark.skipif(onednn_product() is None, reason="torch without oneDNN")


def random(*shape, dtype=torch.float32):
    return torch.from_numpy(np.random.default_rng(len(shape)).normal(size=shape)).to(dtype)


def calls(function, *arguments):
    """How many products oneDNN makes when `function`, traced, runs: and what comes out."""
    run = traced(lambda *some: (function(*some),), arguments)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        (result,) = run(*arguments)
    return sum(event.name == "mkldnn::_linear_pointwise" for event in profile.events()), result


@needs_onednn
@pytest.mark.parametrize("transposed", ["neither", "first", "second", "both"])
def test_the_product_is_that_in_float64(transposed):
    first = random(128, 70).T if transposed in ("first", "both") else random(70, 128)
    second = random(150, 128).T if transposed in ("second", "both") else random(128, 150)
    n_calls, product = calls(torch.mm, first, second)
    assert n_calls == 1
    assert product.dtype == torch.float32
    # 128 products of numbers of size 1, each rounded at 6e-8.
    np.testing.assert_allclose(product, first.double() @ second.double(), rtol=0, atol=1e-4)


@needs_onednn
@pytest.mark.parametrize("n", [1, 3])
def test_a_batch_of_products_is_one_after_another(n):
    first, second = random(n, 70, 128), random(n, 150, 128).transpose(1, 2)
    n_calls, products = calls(torch.bmm, first, second)
    assert n_calls == n
    assert products.shape == (n, 70, 150)
    expected = first.double() @ second.double()
    np.testing.assert_allclose(products, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("shape", "dtype"), [((8, 8), torch.float32), ((128, 128), torch.float64)])
def test_small_products_and_float64_keep_every_bit(shape, dtype):
    first, second = random(*shape, dtype=dtype), random(*shape, dtype=dtype) + 1
    for function, some in (
        (torch.mm, (first, second)),
        (torch.bmm, (first.expand(3, -1, -1), second.expand(3, -1, -1))),
    ):
        n_calls, product = calls(function, *some)
        assert n_calls == 0
        assert torch.equal(product, function(*some))


def test_without_onednn_the_graph_stays_as_it_is(monkeypatch):
    first, second = random(128, 128), random(128, 128) + 1
    monkeypatch.setattr(matrix_products, "onednn_product", lambda: None)
    graph = with_fast_products(make_fx(torch.mm)(first, second))
    assert torch.ops.aten.mm.default in {node.target for node in graph.graph.nodes}
    assert torch.equal(graph(first, second), first @ second)


@pytest.mark.parametrize("missing", ["parse_ir", "_create_function_from_graph"])
def test_a_torch_without_the_means_is_one_without_onednn(monkeypatch, missing):
    monkeypatch.delattr(torch._C, missing)
    onednn_product.cache_clear()
    try:
        assert onednn_product() is None
    finally:
        onednn_product.cache_clear()


def test_large_networks_go_one_by_one_on_a_cpu_alone():
    wide, narrow = torch.empty(8, 512, 128), torch.empty(8, 40, 128)
    batch = torch.empty(8, 2048, 3)
    assert networks_at_once([wide], batch) == 1
    assert networks_at_once([narrow], batch) is None
    assert networks_at_once([narrow] * 8, batch) == 1  # all of a network's parameters count
    assert networks_at_once([wide], batch[:, :32]) is None
    assert networks_at_once([wide], batch.to("meta")) is None
