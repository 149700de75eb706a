"""Which tensors count in networks that people have, tensor by tensor."""

import numpy as np
import pytest

from tests.support.small_models import D_MLP, D_MODEL, N_HEADS, described, save, small_model
from training_maps.metrics.compute import checkpoint_metrics, run_metrics
from training_maps.metrics.parameters import MatrixSpec, Overrides, select_parameters
from training_maps.runs.checkpoints import Checkpoint, Run, write_manifest


def select(kind, **overrides):
    overrides = Overrides.from_settings(overrides)
    return select_parameters(described(small_model(kind)), kind, overrides)


def matrix(name, rows, cols, n_blocks=1):
    return MatrixSpec(name, n_blocks, rows, cols)


BERT_LAYERS = [f"bert.encoder.layer.{layer}" for layer in (0, 1)]


def test_bert():
    selection = select("bert")
    d, mlp = D_MODEL, D_MLP
    expected = [
        spec
        for layer in BERT_LAYERS
        for spec in (
            matrix(f"{layer}.attention.self.query.weight", d, d),
            matrix(f"{layer}.attention.self.key.weight", d, d),
            matrix(f"{layer}.attention.self.value.weight", d, d),
            matrix(f"{layer}.attention.output.dense.weight", d, d),
            matrix(f"{layer}.intermediate.dense.weight", mlp, d),
            matrix(f"{layer}.output.dense.weight", d, mlp),
        )
    ] + [
        matrix("bert.pooler.dense.weight", d, d),
        matrix("cls.predictions.transform.dense.weight", d, d),
        matrix("cls.seq_relationship.weight", 2, d),
    ]
    assert selection.matrices == sorted(expected)
    assert selection.biases == sorted(spec.tensor.replace("weight", "bias") for spec in expected)
    embedded = "embedding or unembedding"
    norms = {
        f"{module}.LayerNorm.{part}": "normalisation layer"
        for layer in BERT_LAYERS
        for module in (f"{layer}.attention.output", f"{layer}.output")
        for part in ("weight", "bias")
    }
    assert selection.left_out == {
        **norms,
        "bert.embeddings.word_embeddings.weight": embedded,
        "bert.embeddings.position_embeddings.weight": embedded,
        "bert.embeddings.token_type_embeddings.weight": embedded,
        "bert.embeddings.LayerNorm.weight": "normalisation layer",
        "bert.embeddings.LayerNorm.bias": "normalisation layer",
        "cls.predictions.bias": embedded,
        "cls.predictions.decoder.weight": embedded,  # tied to the word embeddings
        "cls.predictions.decoder.bias": embedded,
        "cls.predictions.transform.LayerNorm.weight": "normalisation layer",
        "cls.predictions.transform.LayerNorm.bias": "normalisation layer",
    }


def test_berts_heads_on_request():
    pattern = "*.attention.self.*.weight"
    by_name = {spec.tensor: spec for spec in select("bert", blocks={pattern: 4}).matrices}
    for layer in BERT_LAYERS:
        for projection in ("query", "key", "value"):
            name = f"{layer}.attention.self.{projection}.weight"
            assert by_name[name] == matrix(name, D_MODEL // 4, D_MODEL, 4)
        name = f"{layer}.attention.output.dense.weight"
        assert by_name[name] == matrix(name, D_MODEL, D_MODEL)


NEOX_LAYERS = [f"gpt_neox.layers.{layer}" for layer in (0, 1)]


def test_gpt_neox():
    selection = select("gpt_neox")
    d, mlp = D_MODEL, D_MLP
    expected = [
        spec
        for layer in NEOX_LAYERS
        for spec in (
            matrix(f"{layer}.attention.query_key_value.weight", 3 * d, d),
            matrix(f"{layer}.attention.dense.weight", d, d),
            matrix(f"{layer}.mlp.dense_h_to_4h.weight", mlp, d),
            matrix(f"{layer}.mlp.dense_4h_to_h.weight", d, mlp),
        )
    ]
    assert selection.matrices == sorted(expected)
    assert selection.biases == sorted(spec.tensor.replace("weight", "bias") for spec in expected)
    norms = [f"{layer}.{part}_layernorm" for layer in NEOX_LAYERS for part in
             ("input", "post_attention")] + ["gpt_neox.final_layer_norm"]  # fmt: skip
    assert selection.left_out == {
        **{
            f"{norm}.{part}": "normalisation layer" for norm in norms for part in ("weight", "bias")
        },
        "gpt_neox.embed_in.weight": "embedding or unembedding",
        **{
            name: "embedding or unembedding"
            for name, _, _ in described(small_model("gpt_neox"))
            if name in ("lm_head.weight", "embed_out.weight")
        },
    }


def test_what_checkpoints_of_pythia_hold_besides():
    """Older transformers wrote the causal mask, called a bias, and the rotary frequencies."""
    attention = "gpt_neox.layers.0.attention"
    tensors = [
        (f"{attention}.query_key_value.weight", "F16", (48, 16)),
        (f"{attention}.query_key_value.bias", "F16", (48,)),
        (f"{attention}.bias", "U8", (1, 1, 2048, 2048)),
        (f"{attention}.masked_bias", "F16", ()),
        (f"{attention}.rotary_emb.inv_freq", "F32", (8,)),
        ("embed_out.weight", "F16", (50304, 16)),
    ]
    selection = select_parameters(tensors)
    assert selection.matrices == [matrix(f"{attention}.query_key_value.weight", 48, 16)]
    assert selection.biases == [f"{attention}.query_key_value.bias"]
    assert selection.left_out == {
        f"{attention}.bias": "integers",
        f"{attention}.masked_bias": "a buffer, not trained",
        f"{attention}.rotary_emb.inv_freq": "a buffer, not trained",
        "embed_out.weight": "embedding or unembedding",
    }


def test_gpt_neoxs_query_key_and_value_of_each_head_on_request():
    """Its rows are [query | key | value] of head 0, then of head 1, ..."""
    pattern = "*.query_key_value.weight"
    by_name = {s.tensor: s for s in select("gpt_neox", blocks={pattern: 3 * 4}).matrices}
    name = "gpt_neox.layers.0.attention.query_key_value.weight"
    assert by_name[name] == matrix(name, D_MODEL // 4, D_MODEL, 12)


def test_gpt2():
    selection = select("gpt2")
    d = D_MODEL
    layer = "transformer.h.0"
    expected = [
        matrix(f"{layer}.attn.c_attn.weight", d, 3 * d),  # stored as (inputs, outputs)
        matrix(f"{layer}.attn.c_proj.weight", d, d),
        matrix(f"{layer}.mlp.c_fc.weight", d, 4 * d),
        matrix(f"{layer}.mlp.c_proj.weight", 4 * d, d),
    ]
    assert selection.matrices == expected
    assert selection.biases == [spec.tensor.replace("weight", "bias") for spec in expected]
    assert set(selection.left_out) == {
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "lm_head.weight",
        *(f"{layer}.ln_{k}.{part}" for k in (1, 2) for part in ("weight", "bias")),
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
    }


def test_llama():
    selection = select("llama")
    d, mlp = D_MODEL, D_MLP
    layers = [f"model.layers.{layer}" for layer in (0, 1)]
    expected = [
        spec
        for layer in layers
        for spec in (
            matrix(f"{layer}.self_attn.q_proj.weight", d, d),
            matrix(f"{layer}.self_attn.k_proj.weight", d // 2, d),
            matrix(f"{layer}.self_attn.v_proj.weight", d // 2, d),
            matrix(f"{layer}.self_attn.o_proj.weight", d, d),
            matrix(f"{layer}.mlp.gate_proj.weight", mlp, d),
            matrix(f"{layer}.mlp.up_proj.weight", mlp, d),
            matrix(f"{layer}.mlp.down_proj.weight", d, mlp),
        )
    ]
    assert selection.matrices == sorted(expected)
    assert selection.biases == []
    assert set(selection.left_out) == {
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
        *(f"{layer}.input_layernorm.weight" for layer in layers),
        *(f"{layer}.post_attention_layernorm.weight" for layer in layers),
    }


def torchvision_resnet18():
    """Name and shape of each tensor of torchvision's ResNet-18 for ImageNet, type by type."""
    convolutions = {"conv1.weight": (64, 3, 7, 7)}
    norms = {"bn1": 64}
    width = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            at = f"layer{stage}.{block}"
            convolutions[f"{at}.conv1.weight"] = (channels, width, 3, 3)
            convolutions[f"{at}.conv2.weight"] = (channels, channels, 3, 3)
            norms |= {f"{at}.bn1": channels, f"{at}.bn2": channels}
            if width != channels:
                convolutions[f"{at}.downsample.0.weight"] = (channels, width, 1, 1)
                norms[f"{at}.downsample.1"] = channels
            width = channels
    return convolutions, norms


def test_torchvisions_resnet18():
    convolutions, norms = torchvision_resnet18()
    assert (len(convolutions), len(norms)) == (20, 20)
    of_norms = {
        f"{norm}.{part}": (n,)
        for norm, n in norms.items()
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    counters = {f"{norm}.num_batches_tracked" for norm in norms}
    shapes = {**convolutions, **of_norms, "fc.weight": (1000, 512), "fc.bias": (1000,)}
    selection = select_parameters(
        [(name, "F32", shape) for name, shape in shapes.items()]
        + [(name, "I64", ()) for name in counters]
    )
    expected = [
        matrix(name, out, inputs * height * width)
        for name, (out, inputs, height, width) in convolutions.items()
    ]
    assert selection.matrices == sorted([*expected, matrix("fc.weight", 1000, 512)])
    assert selection.biases == ["fc.bias"]
    assert set(selection.left_out) == set(of_norms) | counters
    # 11,689,512 parameters are what torchvision gives for resnet18.
    assert selection.n_values("weight") + selection.n_values("bias") + sum(
        2 * n for n in norms.values()
    ) == 11_689_512  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        # RoBERTa, whose head has a layer of its own before the unembedding
        ("lm_head.bias", (50,), "unembedding"),
        ("lm_head.decoder.weight", (50, 8), "unembedding"),
        ("lm_head.decoder.bias", (50,), "unembedding"),
        ("lm_head.layer_norm.weight", (8,), "normalisation"),
        # DistilBERT
        ("vocab_projector.weight", (50, 8), "unembedding"),
        ("vocab_layer_norm.bias", (8,), "normalisation"),
        # T5, Swin
        ("shared.weight", (50, 8), "embedding"),
        ("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", (32, 8),
         "positions"),
        ("layers.0.blocks.0.attn.relative_position_bias_table", (169, 3), "positions"),
        # vision transformers
        ("vit.embeddings.cls_token", (1, 1, 8), "embedding"),
        ("class_token", (1, 1, 8), "special token"),
        ("encoder.pos_embedding", (1, 197, 8), "embedding"),
        # TransformerLens
        ("embed.W_E", (50, 8), "embedding"),
        ("unembed.W_U", (8, 50), "embedding"),
        ("unembed.b_U", (50,), "embedding"),
        ("blocks.0.attn.mask", (16, 16), "mask"),
        ("blocks.0.ln1.w", (8,), "normalisation"),
        # an unembedding known by the shape of the embedding alone
        ("output.weight", (50, 8), "unembedding"),
        ("head.weight", (8, 50), "unembedding"),
        # torch's weight norm
        ("conv.weight_g", (8, 1, 1), "weight norm"),
        ("fc.parametrizations.weight.original0", (8, 1), "weight norm"),
    ],
)  # fmt: skip
def test_what_is_left_out_of_other_networks(name, shape, reason):
    tensors = {"tok_embeddings.weight": (50, 8), "fc.weight": (2, 3), name: shape}
    selection = select_parameters((name, "F32", shape) for name, shape in tensors.items())
    assert reason in selection.left_out[name]
    assert selection.matrices == [matrix("fc.weight", 2, 3)]
    assert selection.biases == []


def test_the_biases_of_an_unembedding_are_left_out_with_it():
    shapes = {"wte.weight": (50, 8), "output.weight": (50, 8), "output.bias": (50,)}
    tensors = [(name, "F32", shape) for name, shape in shapes.items()]
    selection = select_parameters([*tensors, ("fc.weight", "F32", (2, 3))])
    assert set(selection.left_out) == set(shapes)


@pytest.mark.parametrize(
    "name",
    [
        "lm_head.dense.weight",  # RoBERTa
        "vocab_transform.weight",  # DistilBERT
        "model.decoder.layers.0.fc1.weight",  # OPT
        "layers.3.output.weight",  # in a numbered layer, whatever its shape
        "blocks.0.attn.proj.weight",
    ],
)
def test_what_counts_in_other_networks(name):
    # As it happens, of the shape of the embedding.
    selection = select_parameters([("tokens.embed.weight", "F32", (50, 8)), (name, "F32", (50, 8))])
    assert selection.matrices == [matrix(name, 50, 8)]


def test_an_output_layer_of_the_shape_of_the_embedding_of_token_types_counts():
    """That shape tells nothing: the classifier of two sentences has two rows as well."""
    tensors = [("token_type_embeddings.weight", "F32", (2, 8)), ("output.weight", "F32", (2, 8))]
    assert select_parameters(tensors).matrices == [matrix("output.weight", 2, 8)]


def test_that_gpt2_stores_layers_transposed_changes_no_metric():
    """Not even the trace: the main diagonal of a rectangle is that of its transpose."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((16, 48), (64, 16))]
    stored = checkpoint_metrics(weights)
    assert stored == pytest.approx(checkpoint_metrics([w.T for w in weights]), rel=1e-12)


def test_the_metrics_of_heads_are_those_of_their_matrices(tmp_path):
    """From a file with GPT-NeoX's fused projections, against matrices cut out by their meaning."""
    model = small_model("gpt_neox")
    folder = save(model, tmp_path / "model")
    write_manifest(Run(None, (Checkpoint(0, None, folder),)), tmp_path / "checkpoints.json")
    table = run_metrics(
        tmp_path / "checkpoints.json",
        overrides=Overrides(blocks=(("*.query_key_value.weight", 3 * N_HEADS),)),
    )
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    matrices, biases = [], []
    for layer in NEOX_LAYERS:
        fused = state[f"{layer}.attention.query_key_value.weight"]
        of_heads = fused.reshape(N_HEADS, 3, D_MODEL // N_HEADS, D_MODEL)
        matrices += [of_heads[head, part] for head in range(N_HEADS) for part in range(3)]
        for module in ("attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"):
            matrices.append(state[f"{layer}.{module}.weight"])
            biases.append(state[f"{layer}.{module}.bias"])
        biases.append(state[f"{layer}.attention.query_key_value.bias"])
    expected = checkpoint_metrics(matrices, biases)
    measured = table.drop(columns="step").iloc[0].to_dict()
    assert measured == pytest.approx(expected, rel=1e-12, abs=1e-15)
    whole = run_metrics(tmp_path / "checkpoints.json")
    assert whole["lambda_max"][0] != pytest.approx(measured["lambda_max"], rel=0.01)
    assert whole["var_w"][0] == pytest.approx(measured["var_w"], rel=1e-12)
