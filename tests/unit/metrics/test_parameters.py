"""Which tensors count, from names, types and shapes."""

from argparse import ArgumentParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_maps.config.schema import check, load_schema, typed
from training_maps.metrics.parameters import (
    MatrixSpec,
    Overrides,
    add_arguments,
    decide,
    select_parameters,
)
from training_maps.utils.errors import InputError


def select(*tensors, **overrides):
    """Selection of (name, shape) or (name, shape, dtype), with patterns that overrule."""
    return select_parameters(
        ((t[0], t[2] if len(t) > 2 else "F32", t[1]) for t in tensors),
        "here",
        Overrides.from_settings(overrides),
    )


def test_the_perceptron():
    selection = select(
        ("hidden.weight", (128, 40)),
        ("hidden.bias", (128,)),
        ("output.weight", (1, 128)),
        ("output.bias", (1,)),
    )
    assert selection.matrices == [
        MatrixSpec("hidden.weight", 1, 128, 40),
        MatrixSpec("output.weight", 1, 1, 128),
    ]
    assert selection.biases == ["hidden.bias", "output.bias"]
    assert selection.left_out == {}


def test_a_transformer_with_one_matrix_a_head_and_layer_norm():
    selection = select(
        ("embed.weight", (114, 128)),
        ("pos_embed.weight", (3, 128)),
        ("blocks.0.attention.query", (4, 32, 128)),
        ("blocks.0.attention.output.weight", (128, 128)),
        ("blocks.0.ln_1.weight", (128,)),
        ("blocks.0.ln_1.bias", (128,)),
        ("blocks.0.mlp.in.weight", (512, 128)),
        ("blocks.0.mlp.in.bias", (512,)),
        ("unembed.weight", (113, 128)),
    )
    assert selection.matrices == [
        MatrixSpec("blocks.0.attention.output.weight", 1, 128, 128),
        MatrixSpec("blocks.0.attention.query", 4, 32, 128),
        MatrixSpec("blocks.0.mlp.in.weight", 1, 512, 128),
    ]
    assert selection.biases == ["blocks.0.mlp.in.bias"]
    assert set(selection.left_out) == {
        "embed.weight",
        "pos_embed.weight",
        "unembed.weight",
        "blocks.0.ln_1.weight",
        "blocks.0.ln_1.bias",
    }


def test_a_residual_network():
    selection = select(
        ("conv1.weight", (64, 3, 3, 3)),
        ("bn1.weight", (64,)),
        ("bn1.bias", (64,)),
        ("bn1.running_mean", (64,)),
        ("bn1.num_batches_tracked", (), "I64"),
        ("layer2.0.downsample.0.weight", (128, 64, 1, 1)),
        # Only its shape tells that this is a batch norm.
        ("layer2.0.downsample.1.weight", (128,)),
        ("layer2.0.downsample.1.bias", (128,)),
        ("fc.weight", (100, 512)),
        ("fc.bias", (100,)),
    )
    assert selection.matrices == [
        MatrixSpec("conv1.weight", 1, 64, 27),
        MatrixSpec("fc.weight", 1, 100, 512),
        MatrixSpec("layer2.0.downsample.0.weight", 1, 128, 64),
    ]
    assert selection.biases == ["fc.bias"]


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "reason"),
    [
        ("h.0.attn.bias", (1, 1, 16, 16), "F32", "mask"),
        ("h.0.attn.bias", (1, 1, 16, 16), "U8", "integers"),
        ("layers.0.attention.bias", (1, 1, 16, 16), "BOOL", "integers"),
        ("h.0.attn.masked_bias", (), "F32", "buffer"),
        ("attn_mask", (16, 16), "F32", "mask"),
        ("position_ids", (1, 512), "I64", "integers"),
        ("bert.embeddings.word_embeddings.weight", (30, 8), "F32", "embedding"),
        ("model.embed_tokens.weight", (30, 8), "F32", "embedding"),
        ("wte.weight", (30, 8), "F32", "embedding"),
        ("wpe.weight", (30, 8), "F32", "embedding"),
        ("lm_head.weight", (30, 8), "F32", "embedding"),
        ("bert.encoder.layer.0.output.LayerNorm.weight", (8,), "F32", "normalisation"),
        ("bert.encoder.layer.0.output.LayerNorm.bias", (8,), "F32", "normalisation"),
        ("model.layers.0.input_layernorm.weight", (8,), "BF16", "normalisation"),
        ("model.norm.weight", (8,), "BF16", "normalisation"),
        ("bn.running_var", (8,), "F32", "buffer"),
        ("scale", (8,), "F32", "neither"),
        ("temperature", (), "F32", "neither"),
        ("empty.weight", (0, 8), "F32", "no values"),
    ],
)
def test_what_is_left_out(name, shape, dtype, reason):
    selection = select((name, shape, dtype), ("fc.weight", (2, 3)))
    assert reason in selection.left_out[name]
    assert [spec.tensor for spec in selection.matrices] == ["fc.weight"]
    assert selection.biases == []


@pytest.mark.parametrize("name", ["fc.bias", "attn.in_proj_bias", "b_in", "fc1.b", "mlp.b1"])
def test_names_of_biases(name):
    assert select((name, (8,)), ("fc.weight", (2, 3))).biases == [name]


def test_a_bias_of_each_head_is_a_bias():
    assert select(("query.bias", (4, 32)), ("query.weight", (4, 32, 128))).biases == ["query.bias"]


def test_ordinary_words_do_not_hide_a_weight():
    names = ["linear.weight", "informed.weight", "bnorth.weight", "backbone.weight", "b.weight"]
    assert [s.tensor for s in select(*((n, (2, 3)) for n in names)).matrices] == sorted(names)


def test_a_one_dimensional_convolution_is_no_set_of_heads():
    assert select(("conv.weight", (8, 4, 5))).matrices == [MatrixSpec("conv.weight", 1, 8, 20)]


def test_an_empty_selection_says_what_was_there():
    with pytest.raises(InputError, match=r"run/step-0.*no weight matrix.*wte.weight \(embedding"):
        select_parameters([("wte.weight", "F32", (3, 4))], where="run/step-0")
    with pytest.raises(InputError, match="none"):
        select_parameters([])


@given(st.permutations([("a.weight", (2, 3)), ("a.bias", (2,)), ("n.weight", (3,))]))
def test_the_order_given_does_not_matter(tensors):
    selection = select(*tensors)
    assert [d.tensor.name for d in selection.decisions] == ["a.bias", "a.weight", "n.weight"]
    assert selection.left_out == {"n.weight": "normalisation layer"}


@given(st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_the_matrices_of_a_tensor_hold_all_its_values(shape):
    (spec,) = select(("fc.weight", tuple(shape))).matrices
    product = 1
    for side in shape:
        product *= side
    assert spec.n_blocks * spec.rows * spec.cols == product


@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l1_reverse", "rnn.bias_ih", "b", "b_1"])
def test_biases_of_recurrent_layers_are_biases(name):
    tensors = [("weight_ih_l0", "F32", (12, 3)), (name, "F32", (12,))]
    assert select_parameters(tensors).biases == [name]


def test_the_biases_that_attention_adds_to_a_sequence_are_biases():
    tensors = [("in_proj_weight", "F32", (12, 4)), ("bias_k", "F32", (1, 1, 4))]
    assert select_parameters(tensors).biases == ["bias_k"]


FOUR = (
    ("embed.weight", (30, 8)),
    ("layers.0.fc.weight", (12, 8)),
    ("layers.0.fc.bias", (12,)),
    ("scale", (8,)),
)


def test_patterns_overrule_the_rules():
    selection = select(*FOUR, weights=["embed.*"], biases=["scale"], left_out=["layers.*.bias"])
    assert selection.matrices == [
        MatrixSpec("embed.weight", 1, 30, 8),
        MatrixSpec("layers.0.fc.weight", 1, 12, 8),
    ]
    assert selection.biases == ["scale"]
    assert selection.left_out == {"layers.0.fc.bias": "parameters.left_out 'layers.*.bias'"}
    reasons = {d.tensor.name: d.reason for d in selection.decisions}
    assert reasons["embed.weight"] == "parameters.weights 'embed.*': one matrix"
    assert reasons["scale"] == "parameters.biases 'scale'"


def test_left_out_goes_before_biases_and_those_before_weights():
    every = ["*.*"]
    selection = select(*FOUR, weights=every, biases=["*fc*"], left_out=["*.bias"])
    assert [m.tensor for m in selection.matrices] == ["embed.weight"]
    assert selection.biases == ["layers.0.fc.weight"]
    assert set(selection.left_out) == {"layers.0.fc.bias", "scale"}


@pytest.mark.parametrize("key", ["weights", "biases", "left_out"])
def test_a_pattern_that_matches_nothing_names_the_nearest_tensors(key):
    with pytest.raises(
        InputError, match=rf"here: parameters.{key}.*layer.0.fc.*layers.0.fc.weight"
    ):
        select(*FOUR, **{key: ["layer.0.fc.*"]})
    with pytest.raises(InputError, match=r"blocks: the pattern '\*.query'.*matches none of its 4"):
        select(*FOUR, blocks={"*.query": 2})


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        ({"weights": ["scale"]}, "which is no weight: its type is F32 and its shape \\(8,\\)"),
        ({"weights": ["mask"]}, "which is no weight: its type is BOOL"),
        ({"biases": ["ids"]}, "which is no bias: its type is I64"),
        ({"biases": ["temperature"]}, "which is no bias: .* at least 1 dimension\\."),
        ({"weights": ["nothing.weight"]}, "which is no weight"),
        ({"blocks": {"*.bias": 2}}, "matches no weight"),
        ({"blocks": {"*.fc.weight": 5}}, "its 12 rows do not fall into 5"),
        ({"blocks": {"*.fc.weight": 2, "layers.*": 2}}, "another pattern"),
    ],
)
def test_a_pattern_that_asks_for_what_cannot_be_says_so(overrides, fault):
    others = [
        ("mask", (4, 4), "BOOL"),
        ("ids", (1, 4), "I64"),
        ("temperature", ()),
        ("nothing.weight", (0, 4)),
    ]
    with pytest.raises(InputError, match=fault):
        select(*FOUR, *others, **overrides)


def test_rows_fall_into_blocks():
    selection = select(*FOUR, ("w", (3, 4, 5)), blocks={"layers.*.fc.weight": 3, "w": 2})
    assert selection.matrices == [
        MatrixSpec("layers.0.fc.weight", 3, 4, 8),
        MatrixSpec("w", 6, 2, 5),
    ]


def test_gpt2s_fused_projection_cannot_be_split_by_rows():
    with pytest.raises(InputError, match="columns and not rows"):
        select(("h.0.attn.c_attn.weight", (16, 48)), blocks={"*c_attn*": 4})
    # The same name for a layer of torch's own, whose rows are the outputs.
    (matrix,) = select(("h.0.attn.c_attn.weight", (48, 16)), blocks={"*c_attn*": 3}).matrices
    assert matrix == MatrixSpec("h.0.attn.c_attn.weight", 3, 16, 16)


def test_leaving_everything_out_is_an_error_that_tells_the_patterns():
    with pytest.raises(InputError, match=r"fc.weight \(parameters.left_out '\*'\)"):
        select(*FOUR, left_out=["*"])


def test_decisions_can_be_had_even_if_nothing_counts():
    (decision,) = decide([("wte.weight", "F32", (3, 4))]).decisions
    assert (decision.kind, decision.matrix) == ("left out", None)


def test_options_say_what_settings_say():
    settings = {
        "weights": ["embed.*", "b*"],
        "biases": ["scale"],
        "left_out": ["head.[ab]"],
        "blocks": {"*.query.weight": 12, "a=b": 2},
    }
    overrides = Overrides.from_settings(settings)
    parser = ArgumentParser()
    add_arguments(parser)
    assert Overrides.from_arguments(parser.parse_args(overrides.to_arguments())) == overrides
    assert (
        Overrides.from_arguments(parser.parse_args([]))
        == Overrides()
        == Overrides.from_settings({})
    )
    assert Overrides().to_arguments() == []


@pytest.mark.parametrize("text", ["fc", "fc=", "fc=0", "fc=-1", "fc=two"])
def test_blocks_on_the_command_line_need_a_number(text):
    parser = ArgumentParser()
    add_arguments(parser)
    with pytest.raises(InputError, match=r"--blocks.*PATTERN=NUMBER"):
        Overrides.from_arguments(parser.parse_args(["--blocks", text]))


def test_numbers_of_blocks_from_snakemakes_command_line_may_be_text():
    schema = load_schema()
    config = {"experiments": ["x"], "parameters": {"blocks": {"*.query": "12"}}}
    read = typed(config, schema)
    check(read, schema, "config")
    assert Overrides.from_settings(read["parameters"]).blocks == (("*.query", 12),)
    for wrong in ("0", "twelve"):
        config["parameters"]["blocks"]["*.query"] = wrong
        with pytest.raises(InputError, match=r"parameters.blocks.*: expected integer at least 1"):
            check(typed(config, schema), schema, "config")


@pytest.mark.parametrize(
    "tensors",
    [
        [("a.weight", "I8", (64, 64)), ("a.weight_scale", "F32", (64, 1))],
        [("a.qweight", "I32", (8, 64)), ("a.scales", "F16", (4, 64)), ("b.weight", "F32", (3, 4))],
        [("a.weight", "U8", (2048, 1)), ("a.weight.absmax", "F32", (64,))],
        [("a.weight", "I8", (64, 64)), ("a.SCB", "F32", (64,)), ("b.weight", "F16", (3, 4))],
    ],
)
def test_quantised_weights_are_refused_and_their_scale_is_none(tensors):
    with pytest.raises(InputError, match=r"the weights are quantised: 'a.q?weight' is of type"):
        select_parameters(tensors)
    assert all(d.tensor.name[0] == "b" for d in decide(tensors).decisions if d.kind == "weight")
    left_out = Overrides(left_out=("a.*",))
    whole = [*tensors, ("c.weight", "F32", (3, 4))]
    assert select_parameters(whole, overrides=left_out).matrices[-1].tensor == "c.weight"


def test_a_convolution_of_one_dimension_needs_no_name():
    """Of torch's layers only a convolution has a weight of three dimensions."""
    selection = select(("0.weight", (32, 1, 80)), ("0.bias", (32,)), ("W_Q", (4, 8, 32)))
    assert selection.matrices == [MatrixSpec("0.weight", 1, 32, 80), MatrixSpec("W_Q", 4, 8, 32)]


def test_the_fused_gates_of_an_lstm_fall_into_blocks():
    """torch keeps input, forget, cell and output gate of a layer in one tensor, row by row."""
    weights = [("lstm.weight_ih_l0", (32, 5)), ("lstm.weight_hh_l0", (32, 8))]
    tensors = [*weights, ("lstm.bias_ih_l0", (32,))]
    selection = select(*tensors, blocks={"*.weight_?h_l0": 4})
    assert selection.matrices == [
        MatrixSpec("lstm.weight_hh_l0", 4, 8, 8), MatrixSpec("lstm.weight_ih_l0", 4, 8, 5),
    ]  # fmt: skip
