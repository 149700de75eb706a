"""What counts in networks of the usual libraries, without a setting, is what their types say."""

from __future__ import annotations

import math

import pytest
from tools.network_catalogue import FIRST, LAST, PAGE, Count, decisions, with_table

from tests.support.network_catalogue import TIMM, TRANSFORMERS, Known, of_timm, of_transformers


def check(tensors: list[Known]) -> None:
    """At least 98 % of what is known are right, and what is not is said to be assumed."""
    assert sum(t.kind is not None for t in tensors) > 10
    decided = decisions(tensors)
    known = [t for t in tensors if t.kind is not None and t.name in decided]
    wrong = [t for t in known if decided[t.name].kind != t.kind]
    silent = [(t.name, decided[t.name].kind, t.kind) for t in wrong if not decided[t.name].assumed]
    assert silent == []
    size = sum(math.prod(t.shape) for t in known)
    assert sum(math.prod(t.shape) for t in wrong) <= 0.02 * size


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_networks_of_transformers(name: str) -> None:
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, name):
        pytest.skip(f"this version of transformers has no {name}")
    check(of_transformers(name))


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name: str) -> None:
    pytest.importorskip("timm")
    check(of_timm(name))


def listed(*rows: tuple[str, tuple[int, ...], str]) -> list[Known]:
    return [Known(name, "F32", shape, kind) for name, shape, kind in rows]


W, B, OUT = "weight", "bias", "left out"

# Names and shapes of libraries that are not installed here, two layers or one of each.
NAMED = {
    "fairseq": listed(
        ("encoder.sentence_encoder.embed_tokens.weight", (1000, 16), OUT),
        ("encoder.sentence_encoder.embed_positions.weight", (64, 16), OUT),
        ("encoder.sentence_encoder.layers.0.self_attn.q_proj.weight", (16, 16), W),
        ("encoder.sentence_encoder.layers.0.self_attn.q_proj.bias", (16,), B),
        ("encoder.sentence_encoder.layers.0.fc1.weight", (64, 16), W),
        ("encoder.sentence_encoder.layers.0.fc1.bias", (64,), B),
        ("encoder.sentence_encoder.layers.0.final_layer_norm.weight", (16,), OUT),
        ("encoder.sentence_encoder.layers.0.final_layer_norm.bias", (16,), OUT),
        ("encoder.lm_head.weight", (1000, 16), OUT),
        ("encoder.lm_head.bias", (1000,), OUT),
        ("encoder.lm_head.dense.weight", (16, 16), W),
        ("encoder.lm_head.dense.bias", (16,), B),
        ("decoder.output_projection.weight", (1000, 16), OUT),
        ("decoder.layers.0.encoder_attn.out_proj.weight", (16, 16), W),
        ("decoder.layers.0.encoder_attn_layer_norm.weight", (16,), OUT),
    ),
    "Megatron-LM": listed(
        ("language_model.embedding.word_embeddings.weight", (1024, 16), OUT),
        ("language_model.embedding.position_embeddings.weight", (64, 16), OUT),
        ("language_model.encoder.layers.0.input_norm.weight", (16,), OUT),
        ("language_model.encoder.layers.0.self_attention.query_key_value.weight", (48, 16), W),
        ("language_model.encoder.layers.0.self_attention.query_key_value.bias", (48,), B),
        ("language_model.encoder.layers.0.self_attention.dense.weight", (16, 16), W),
        ("language_model.encoder.layers.0.mlp.dense_h_to_4h.weight", (64, 16), W),
        ("language_model.encoder.final_norm.weight", (16,), OUT),
        ("language_model.output_layer.weight", (1024, 16), OUT),
    ),
    "Megatron core": listed(
        ("embedding.word_embeddings.weight", (1024, 16), OUT),
        ("decoder.layers.0.self_attention.linear_qkv.layer_norm_weight", (16,), OUT),
        ("decoder.layers.0.self_attention.linear_qkv.layer_norm_bias", (16,), OUT),
        ("decoder.layers.0.self_attention.linear_qkv.weight", (48, 16), W),
        ("decoder.layers.0.self_attention.linear_proj.weight", (16, 16), W),
        ("decoder.layers.0.mlp.linear_fc1.weight", (64, 16), W),
        ("decoder.layers.0.mlp.linear_fc1.bias", (64,), B),
        ("decoder.final_layernorm.weight", (16,), OUT),
        ("output_layer.weight", (1024, 16), OUT),
    ),
    "OLMo": listed(
        ("transformer.wte.weight", (1024, 16), OUT),
        ("transformer.blocks.0.att_proj.weight", (48, 16), W),
        ("transformer.blocks.0.attn_out.weight", (16, 16), W),
        ("transformer.blocks.0.ff_proj.weight", (64, 16), W),
        ("transformer.blocks.0.ff_out.weight", (16, 32), W),
        ("transformer.blocks.0.attn_norm.weight", (16,), OUT),
        ("transformer.ff_out.weight", (1024, 16), OUT),
    ),
    "GPT-NeoX as DeepSpeed's pipeline saves it": listed(
        ("sequential.0.word_embeddings.weight", (1024, 16), OUT),
        ("sequential.2.input_layernorm.weight", (16,), OUT),
        ("sequential.2.input_layernorm.bias", (16,), OUT),
        ("sequential.2.attention.query_key_value.weight", (48, 16), W),
        ("sequential.2.attention.query_key_value.bias", (48,), B),
        ("sequential.2.mlp.dense_4h_to_h.weight", (16, 64), W),
        ("sequential.4.norm.weight", (16,), OUT),
        ("sequential.5.final_linear.weight", (1024, 16), OUT),
    ),
    "RWKV": listed(
        ("emb.weight", (1024, 16), OUT),
        ("blocks.0.ln0.weight", (16,), OUT),
        ("blocks.0.att.time_mix_k", (1, 1, 16), OUT),
        ("blocks.0.att.time_decay", (16,), OUT),
        ("blocks.0.att.key.weight", (16, 16), W),
        ("blocks.0.ffn.value.weight", (16, 64), W),
        ("head.weight", (1024, 16), OUT),
    ),
    "the annotated transformer": listed(
        ("src_embed.0.lut.weight", (900, 16), OUT),
        ("tgt_embed.0.lut.weight", (1100, 16), OUT),
        ("tgt_embed.1.pe", (1, 50, 16), OUT),
        ("encoder.layers.0.self_attn.linears.0.weight", (16, 16), W),
        ("encoder.layers.0.self_attn.linears.0.bias", (16,), B),
        ("generator.proj.weight", (1100, 16), OUT),
        ("generator.proj.bias", (1100,), OUT),
    ),
    "torch's word language model": listed(
        ("encoder.weight", (5000, 32), OUT),
        ("rnn.weight_ih_l0", (128, 32), W),
        ("rnn.weight_hh_l0", (128, 32), W),
        ("rnn.bias_ih_l0", (128,), B),
        ("decoder.weight", (5000, 33), OUT),
        ("decoder.bias", (5000,), OUT),
    ),
    "Llama as Meta wrote it": listed(
        ("tok_embeddings.weight", (1000, 16), OUT),
        ("layers.0.attention.wq.weight", (16, 16), W),
        ("layers.0.feed_forward.w1.weight", (64, 16), W),
        ("layers.0.ffn_norm.weight", (16,), OUT),
        ("norm.weight", (16,), OUT),
        ("output.weight", (1000, 16), OUT),
    ),
    "diffusers' adaptive norms": listed(
        ("pos_embed.proj.weight", (16, 4, 2, 2), W),
        ("pos_embed.proj.bias", (16,), B),
        ("transformer_blocks.0.norm1.linear.weight", (96, 16), W),
        ("transformer_blocks.0.norm1.linear.bias", (96,), B),
        ("transformer_blocks.0.attn1.to_q.weight", (16, 16), W),
        ("time_embed.0.weight", (64, 16), W),
        ("time_embed.0.bias", (64,), B),
        ("label_embedder.embedding_table.weight", (11, 16), OUT),
    ),
    "CLIP's scale": listed(
        ("logit_scale", (), OUT),
        ("text_projection", (16, 16), W),
        ("positional_embedding", (77, 16), OUT),
        ("transformer.resblocks.0.attn.in_proj_weight", (48, 16), W),
        ("transformer.resblocks.0.attn.in_proj_bias", (48,), B),
        ("token_embedding.weight", (1000, 16), OUT),
    ),
}


@pytest.mark.parametrize("library", NAMED)
def test_names_of_other_libraries(library: str) -> None:
    decided = decisions(NAMED[library])
    wrong = {t.name: decided[t.name].kind for t in NAMED[library] if decided[t.name].kind != t.kind}
    assert wrong == {}


def test_where_nothing_tells_it_is_said_to_be_assumed() -> None:
    tensors = listed(
        ("q", (64, 4, 16), W), ("latents", (8, 16), W), ("word_table.weight", (5000, 32), OUT),
        ("fc.weight", (3, 4), W),
    )  # fmt: skip
    decided = decisions(tensors)
    assert {name for name, d in decided.items() if d.assumed} == {
        "q", "latents", "word_table.weight",
    }  # fmt: skip
    matrix = decided["q"].matrix  # XLNet's projections to all heads
    assert matrix is not None
    assert (matrix.n_blocks, matrix.rows, matrix.cols) == (1, 64, 64)


def test_target_networks_are_copies_that_nobody_trains() -> None:
    """As Stable-Baselines3 names them; a target without its network is a network."""
    layers = ("q_net.q_net.0", "critic.qf0.0")
    copies = ("q_net_target.q_net.0", "critic_target.qf0.0", "target_q.0")
    tensors = [(f"{name}.weight", (4, 3), W) for name in layers]
    tensors += [(f"{name}.weight", (4, 3), OUT) for name in copies]
    decided = decisions(
        listed(*tensors, ("q.0.weight", (4, 3), W), ("target_net.0.weight", (4, 3), W))
    )
    assert {name: d.kind for name, d in decided.items()} == {
        **{name: kind for name, _, kind in tensors}, "q.0.weight": W, "target_net.0.weight": W,
    }  # fmt: skip
    assert all(decided[f"{name}.weight"].assumed for name in copies)


def test_what_a_buffer_called_weights_is_nobody_can_tell() -> None:
    """timm's csatv2 keeps a fixed transform so."""
    decided = decisions(
        listed(("stem_dct.transform.weights", (8, 8), OUT), ("fc.weight", (3, 4), W))
    )
    assert {name for name, d in decided.items() if d.assumed} == {"stem_dct.transform.weights"}


def test_the_table_of_the_docs_is_of_these_networks() -> None:
    part = PAGE.read_text("utf-8").split(FIRST)[1].split(LAST)[0]
    libraries = ("| transformers", "| timm")
    rows = [line.split(" | ") for line in part.split("\n") if line.startswith(libraries)]
    assert [(row[0], int(row[1])) for row in rows] == [
        ("| transformers", len(TRANSFORMERS)), ("| timm", len(TIMM)),
    ]  # fmt: skip
    assert [row[6] for row in rows] == ["0", "0"]


def test_a_row_counts_what_is_right_and_what_is_said_to_be_assumed() -> None:
    count = Count()
    count.add(listed(("q", (64, 4, 16), W), ("fc.weight", (3, 4), W), ("fc.bias", (3,), OUT)))
    assert (count.certain, count.assumed, count.wrong_assumed, count.wrong_certain) == (1, 1, 0, 1)
    assert (count.size, count.size_right) == (64 * 64 + 15, 64 * 64 + 12)
    assert count.row("x") == f"| x | 1 | 3 | 1 | 1 | 0 | 1 | {4108 / 4111:.2%} |"
    page = f"a\n{FIRST}\n\nold\n\n{LAST}\nb"
    assert with_table(page, "new") == f"a\n{FIRST}\n\nnew\n\n{LAST}\nb"
