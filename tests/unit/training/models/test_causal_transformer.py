"""The language model: an independent forward pass, and that no position looks ahead."""

import math

import numpy as np
import pytest
import torch

from training_maps.metrics.parameters import select_parameters
from training_maps.training.models.causal_transformer import CausalTransformer


def normed(x, p, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]


def twin(p, tokens):
    """One example at a time, one position at a time, in NumPy."""
    outputs = []
    for example in tokens:
        stream = p["embed"][example] + p["embed_position"]
        x = normed(stream, p, "norm_attention")
        read = np.zeros_like(stream)
        for t in range(len(example)):
            of_heads = []
            for q, k, v in zip(p["query"], p["key"], p["value"], strict=True):
                scores = (x[: t + 1] @ k.T) @ (q @ x[t]) / math.sqrt(len(q))
                weights = np.exp(scores - scores.max())
                of_heads.append(weights / weights.sum() @ (x[: t + 1] @ v.T))
            read[t] = p["output"] @ np.concatenate(of_heads)
        stream = stream + read
        x = normed(stream, p, "norm_mlp")
        hidden = np.maximum(x @ p["mlp.hidden.weight"].T + p["mlp.hidden.bias"], 0)
        stream = stream + hidden @ p["mlp.output.weight"].T + p["mlp.output.bias"]
        outputs.append(normed(stream, p, "norm_final") @ p["unembed"].T)
    return np.array(outputs)


@pytest.fixture
def network(double):
    torch.manual_seed(0)
    return CausalTransformer(7, 5, d_model=6, n_heads=3, d_mlp=9)


def test_the_forward_pass(network):
    tokens = np.random.default_rng(0).integers(7, size=(4, 5))
    parameters = {name: value.detach().numpy() for name, value in network.named_parameters()}
    outputs = network(torch.from_numpy(tokens)).detach().numpy()
    assert outputs.shape == (4, 5, 7)
    np.testing.assert_allclose(outputs, twin(parameters, tokens), rtol=1e-9, atol=1e-12)


def test_no_position_looks_ahead(network):
    tokens = torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 0, 6]])
    first, second = network(tokens)
    torch.testing.assert_close(first[:3], second[:3])
    assert not torch.allclose(first[3], second[3])


def test_each_head_has_matrices_of_its_own_and_embeddings_are_left_out(network):
    described = [(name, "F32", value.shape) for name, value in network.state_dict().items()]
    found = select_parameters(described)
    counted = {m.tensor: m.n_blocks for m in found.matrices}
    heads = {"query": 3, "key": 3, "value": 3}
    assert counted == {**heads, "output": 1, "mlp.hidden.weight": 1, "mlp.output.weight": 1}
    assert sorted(found.biases) == ["mlp.hidden.bias", "mlp.output.bias"]
