"""What a tensor is to its network: each rule, by names that networks have."""

import math

import pytest

from training_maps.metrics.tensor_names import (
    Network,
    Tensor,
    is_bias,
    is_embedding,
    is_integer,
    is_position_bias,
)
from training_maps.metrics.tensor_rules import (
    LAYOUTS,
    RULES,
    is_normalisation,
    is_transposed,
    is_unembedding,
)


def tensor(name, shape=(4, 4), dtype="F32"):
    return Tensor(name, dtype, shape)


def first_rule(one, *others):
    network = Network([one, *others])
    return next(rule for rule in RULES if rule.applies(one, network))


def test_the_parts_of_a_name():
    name = tensor("h.0.LN_1.weight")
    assert (name.module, name.layer, name.parameter) == ("h.0.LN_1", "ln_1", "weight")
    assert name.words == {"h", "ln", "weight"}
    top = tensor("bias")
    assert (top.module, top.layer, top.parameter) == ("", "", "bias")


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "kind", "reason"),
    [
        ("fc.weight", (4, 3), "F32", "weight", "two or more dimensions"),
        ("fc.bias", (4,), "F32", "bias", "named a bias"),
        ("lstm.bias_ih_l0", (4,), "F32", "bias", "named a bias"),
        ("attn.b_Q", (2, 4), "F32", "bias", "named a bias"),
        ("fc.weight", (0, 3), "F32", "left out", "has no values"),
        ("position_ids", (1, 9), "I64", "left out", "integers"),
        ("flags", (3,), "BOOL", "left out", "integers"),
        ("bn.running_mean", (3,), "F32", "left out", "a buffer, not trained"),
        ("cls_token", (1, 1, 8), "F32", "left out", "embedding of a special token"),
        ("attn.mask", (8, 8), "F32", "left out", "a mask"),
        ("h.0.attn.bias", (1, 1, 8, 8), "F32", "left out", "a mask"),
        ("relative_attention_bias.weight", (8, 2), "F32", "left out", "embedding of positions"),
        ("wte.weight", (9, 4), "F32", "left out", "embedding or unembedding"),
        ("shared.weight", (9, 4), "F32", "left out", "embedding or unembedding"),
        ("lm_head.weight", (9, 4), "F32", "left out", "embedding or unembedding"),
        ("encoder.layer_norm.weight", (4,), "F32", "left out", "normalisation layer"),
        ("fc.weight_g", (4, 1), "F32", "left out", "lengths of weight norm"),
        ("temperature", (), "F32", "left out", "neither a matrix nor named a bias"),
        ("bias", (), "F32", "left out", "neither a matrix nor named a bias"),
    ],
)
def test_the_first_rule_that_applies(name, shape, dtype, kind, reason):
    rule = first_rule(tensor(name, shape, dtype))
    assert (rule.kind, rule.reason) == (kind, reason)


def test_what_is_left_out_goes_before_biases_and_those_before_weights():
    kinds = [rule.kind for rule in RULES[:-1]]
    assert kinds == sorted(kinds, key=["left out", "bias", "weight"].index)
    assert RULES[-1].kind == "left out"
    assert RULES[-1].applies(tensor("anything"), Network([]))


def test_an_output_layer_of_an_embeddings_shape_unembeds():
    embedding, output = tensor("embed.weight", (9, 4)), tensor("output.weight", (9, 4))
    bias = tensor("output.bias", (9,))
    network = Network([embedding, output, bias])
    assert network.is_output(output)
    assert network.is_output(bias)
    assert Network([embedding, tensor("output.weight", (4, 9))]).is_output(
        tensor("output.weight", (4, 9))
    )
    assert not Network([embedding, tensor("output.weight", (9, 5))]).is_output(
        tensor("output.weight", (9, 5))
    )
    # Of positions it has the shape by chance; and the layers of a block are no output.
    assert not Network([tensor("wpe.weight", (9, 4)), output]).is_output(output)
    inner = tensor("h.0.output.weight", (9, 4))
    assert not Network([embedding, inner]).is_output(inner)


def test_a_layer_whose_weight_is_a_vector_only_scales():
    scale, bias = tensor("downsample.1.weight", (8,)), tensor("downsample.1.bias", (8,))
    assert Network([scale, bias]).is_scale("downsample.1")
    assert is_normalisation(bias, Network([scale, bias]))
    assert not is_normalisation(tensor("fc.bias", (8,)), Network([tensor("fc.weight", (8, 2))]))
    assert not Network([]).is_scale("downsample.1")


def test_names_say_what_they_say():
    assert is_embedding(tensor("patch_embeddings.weight"))
    assert is_embedding(tensor("unembed.W_U"))
    assert not is_embedding(tensor("member.weight"))
    assert is_unembedding(tensor("cls.predictions.decoder.weight"), Network([]))
    assert not is_unembedding(tensor("lm_head.dense.weight"), Network([]))
    assert not is_unembedding(tensor("decoder.weight"), Network([]))
    assert is_position_bias(tensor("attn.relative_position_bias_table"))
    assert is_bias(tensor("in_proj_bias"))
    assert not is_bias(tensor("unbiased.weight"))
    assert not is_bias(tensor("biased"))
    assert is_integer(tensor("x", dtype="U8"))
    assert not is_integer(tensor("x", dtype="BF16"))


def test_gpt2s_projections_are_stored_the_other_way_round():
    assert is_transposed(tensor("h.0.attn.c_attn.weight", (4, 12)))
    assert not is_transposed(tensor("h.0.attn.c_attn.weight", (12, 4)))
    assert not is_transposed(tensor("h.0.mlp.fc.weight", (4, 12)))
    assert not is_transposed(tensor("h.0.attn.c_attn.bias", (12,)))


@pytest.mark.parametrize(
    ("name", "shape", "view"),
    [
        ("fc.weight", (5, 3), (1, 5, 3)),
        ("W_Q", (4, 8, 2), (4, 8, 2)),
        ("conv1d.weight", (6, 3, 5), (1, 6, 15)),
        ("layer1.weight", (6, 3, 5, 5), (1, 6, 75)),
    ],
)
def test_views_hold_every_value_once(name, shape, view):
    layout = next(one for one in LAYOUTS if one.applies(tensor(name, shape)))
    assert layout.view(shape) == view
    assert math.prod(view) == math.prod(shape)
