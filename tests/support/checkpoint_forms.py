"""Networks and checkpoints in every form, for tests."""

import json

import numpy as np
import torch
from safetensors.torch import save_file as save_safetensors

FORMS = {
    "safetensors": "x.safetensors",
    "safetensors shards": "model.safetensors.index.json",
    "torch": "x.pt",
    "torch, old format": "x.pth",
    "torch shards": "pytorch_model.bin.index.json",
    "folder: safetensors": "model.safetensors",
    "folder: safetensors shards": "model.safetensors.index.json",
    "folder: torch": "pytorch_model.bin",
    "folder: torch shards": "pytorch_model.bin.index.json",
}


def network(seed, dtype=torch.float32):
    """Tensors of a network with two layers; the third, an integer, does not count."""
    values = torch.Generator().manual_seed(seed)
    return {
        "hidden.weight": torch.randn(6, 4, generator=values).to(dtype),
        "hidden.bias": torch.randn(6, generator=values).to(dtype),
        "output.weight": torch.randn(3, 6, generator=values).to(dtype),
        "steps": torch.tensor([seed]),
    }


def as_arrays(tensors):
    """Weights and biases of `network` as float64 arrays, for the twin."""
    exact = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    return [exact["hidden.weight"], exact["output.weight"]], [exact["hidden.bias"]]


def write(folder, form, tensors):
    """Write tensors in a form of `FORMS`; return what the checkpoint's path is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FORMS[form]
    if form.endswith("shards"):
        write_shards(path, tensors)
    elif path.suffix == ".safetensors":
        save_safetensors(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=not form.endswith("old format"))
    return folder if form.startswith("folder") else path


def write_shards(index, tensors):
    """Write one shard a tensor, in an order that is not the tensors', and the index."""
    stem, suffix = index.name.removesuffix(".index.json").split(".")
    weight_map = {}
    for i, name in enumerate(sorted(tensors, reverse=True)):
        file = f"{stem}-{i + 1:05d}-of-{len(tensors):05d}.{suffix}"
        if suffix == "safetensors":
            save_safetensors({name: tensors[name]}, index.parent / file)
        else:
            torch.save({name: tensors[name]}, index.parent / file)
        weight_map[name] = file
    total = sum(tensor.nbytes for tensor in tensors.values())
    index.write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}))


def twin_of_distance(a, b):
    """Euclidean distance between the weights of two networks, in one float64 sum."""
    pairs = zip(as_arrays(a)[0], as_arrays(b)[0], strict=True)
    return np.sqrt(sum(np.square(x - y).sum() for x, y in pairs))
