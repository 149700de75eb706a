"""What names say of tensors: the layer's own name, not that of a block around it."""

from __future__ import annotations

import pytest

from training_maps.metrics.tensor_names import (
    Network,
    Tensor,
    is_linear_name,
    is_named_weight,
    is_position_bias,
    is_vector,
    names_embedding,
    names_norm,
    words_of,
)


def tensor(name: str, shape: tuple[int, ...] = (4, 4)) -> Tensor:
    return Tensor(name, "F32", shape)


@pytest.mark.parametrize(
    ("name", "embeds"),
    [
        ("word_embeddings", True), ("embed_tokens", True), ("wte", True), ("shared", True),
        ("lut", True), ("mask_tokens", True), ("query_embed", True), ("embedder", True),
        ("patch_embedding_projection", False), ("embedding_proj_layer", False),
        ("embedding_hidden_mapping_in", False), ("query", False), ("query_key_value", False),
        ("fc", False), ("member", False), ("0", False),
    ],
)  # fmt: skip
def test_layers_that_embed(name: str, embeds: bool) -> None:
    assert names_embedding(name) is embeds


@pytest.mark.parametrize(
    ("name", "normalises"),
    [
        ("layer_norm", True), ("layernorm", True), ("norm1", True), ("ln_f", True), ("bn2", True),
        ("grn", True), ("norm_proj", False), ("linear", False), ("enormous", False),
    ],
)  # fmt: skip
def test_layers_that_normalise(name: str, normalises: bool) -> None:
    assert names_norm(name) is normalises


def test_layers_that_multiply() -> None:
    assert all(is_linear_name(name) for name in ("q_proj", "fc1", "dense", "q", "conv2", "value"))
    assert not any(is_linear_name(name) for name in ("word", "w", "table", "0", ""))


def test_parameters_of_their_own() -> None:
    assert all(is_named_weight(tensor(f"a.{n}")) for n in ("in_proj_weight", "W_Q", "w1", "kernel"))
    assert not is_named_weight(tensor("a.latents"))
    assert is_vector(tensor("att.time_mix_k", (1, 1, 8)))
    assert is_vector(tensor("gamma", (8, 1, 1)))
    assert not is_vector(tensor("conv.weight", (1, 8, 1)))
    assert not is_vector(tensor("w", (8, 1)))
    assert is_position_bias(tensor("attn.rel_pos_h"))
    assert is_position_bias(tensor("attention_biases"))
    assert not is_position_bias(tensor("relative_order_head.dense.bias"))
    assert words_of("h.0.LN_1.weight") == {"h", "ln", "weight"}


def test_a_layer_with_a_bias_or_a_kernel_is_no_embedding() -> None:
    table = tensor("embed.weight", (9, 4))
    assert Network([table]).embeds(table)
    assert not Network([table, tensor("embed.bias", (9,))]).embeds(table)
    kernel = tensor("patch_embed.weight", (9, 3, 2, 2))
    assert not Network([kernel]).embeds(kernel)
    linear = tensor("embeddings.projection.weight")
    assert not Network([linear]).embeds(linear)
    inside = tensor("embeddings.word.weight")
    assert Network([inside]).embeds(inside)
    assert Network([inside]).is_in_embeddings(inside)


def test_the_only_layer_with_the_vocabularys_rows_unembeds() -> None:
    table, head = tensor("wte.weight", (300, 4)), tensor("blocks.final_map.weight", (300, 6))
    bias = tensor("blocks.final_map.bias", (300,))
    network = Network([table, head, bias])
    assert network.has_vocabulary_rows(head)
    assert network.has_vocabulary_rows(bias)
    other = tensor("mlp.up.weight", (300, 6))
    assert not Network([table, head, other]).has_vocabulary_rows(head)
    assert not Network([tensor("wpe.weight", (300, 4)), head]).has_vocabulary_rows(head)


def test_a_scale_has_the_shape_of_its_bias() -> None:
    both = [tensor("norm.weight", (3, 5, 5)), tensor("norm.bias", (3, 5, 5))]
    assert Network(both).is_scale("norm")
    assert not Network([both[0]]).is_scale("norm")
