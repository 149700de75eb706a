"""Small language models with the names of the real ones, written by transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

N_TOKENS, D_MODEL, D_MLP, N_HEADS, N_POSITIONS = 50, 16, 64, 4, 20
_SIZES = {
    "vocab_size": N_TOKENS,
    "hidden_size": D_MODEL,
    "intermediate_size": D_MLP,
    "num_attention_heads": N_HEADS,
    "num_hidden_layers": 2,
    "max_position_embeddings": N_POSITIONS,
}


def small_model(kind: str, seed: int = 0) -> Any:
    """A model of transformers with random weights: "bert", "gpt_neox", "gpt2" or "llama"."""
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    import torch

    torch.manual_seed(seed)
    if kind == "bert":
        return transformers.BertForPreTraining(transformers.BertConfig(**_SIZES))
    if kind == "gpt_neox":
        return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**_SIZES))
    if kind == "gpt2":
        sizes = {"n_embd": D_MODEL, "n_head": N_HEADS, "n_layer": 1, "n_positions": N_POSITIONS}
        tokens = {"vocab_size": N_TOKENS, "bos_token_id": 0, "eos_token_id": 0}
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **tokens))
    assert kind == "llama"
    grouped = {"num_key_value_heads": N_HEADS // 2}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SIZES, **grouped))


def save(model: Any, folder: Path, layout: str = "safetensors") -> Path:
    """Write the model as the hub lays one out.

    Layouts: "safetensors" and "sharded safetensors", as transformers writes them; "bin" and
    "sharded bin", as it did up to version 4: torch's files with every tensor of the state dict,
    tied ones under both names.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    if layout in ("safetensors", "sharded safetensors"):
        shards = {"max_shard_size": "10KB"} if layout.startswith("sharded") else {}
        model.save_pretrained(folder, **shards)
        return folder
    (folder / "config.json").write_text(model.config.to_json_string())
    state = dict(model.state_dict())
    if layout == "bin":
        torch.save(state, folder / "pytorch_model.bin")
        return folder
    assert layout == "sharded bin"
    names = sorted(state)
    # Every other tensor, so that neighbours lie in different shards.
    shards = {f"pytorch_model-0000{k + 1}-of-00002.bin": names[k::2] for k in (0, 1)}
    for file, of_shard in shards.items():
        torch.save({name: state[name].clone() for name in of_shard}, folder / file)
    index = {
        "metadata": {"total_size": sum(t.numel() * 4 for t in state.values())},
        "weight_map": {name: file for file, of_shard in shards.items() for name in of_shard},
    }
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def described(model: Any) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, type and shape of each tensor of the model's state, tied ones under all their names."""
    return [(name, "F32", tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
