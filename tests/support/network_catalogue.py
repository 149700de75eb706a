"""Networks of the usual libraries, tensor by tensor, with what each tensor is by its module's type.

The networks are made on the device `meta`, small or not: they have names and shapes, and no values.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

Kind = str

# Small, where a class takes such settings; what a network is made of does not hang on its depth.
_FEW = {
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "encoder_layers": 2,
    "decoder_layers": 2, "num_decoder_layers": 2,
}  # fmt: skip

TRANSFORMERS = (
    "AlbertForPreTraining", "ASTForAudioClassification", "BartForConditionalGeneration",
    "BeitForImageClassification", "BertForPreTraining", "BigBirdForPreTraining",
    "BlenderbotForConditionalGeneration", "BloomForCausalLM", "CLIPModel", "CTRLLMHeadModel",
    "ConvBertForMaskedLM", "ConvNextForImageClassification", "ConvNextV2ForImageClassification",
    "DebertaV2ForMaskedLM", "DetrForObjectDetection", "DistilBertForMaskedLM",
    "Data2VecTextForCausalLM", "ElectraForPreTraining", "FNetForPreTraining", "FalconForCausalLM",
    "FunnelForPreTraining", "GPT2LMHeadModel", "GPTNeoForCausalLM", "GPTNeoXForCausalLM",
    "GemmaForCausalLM", "IBertForMaskedLM", "LlamaForCausalLM", "MBartForConditionalGeneration",
    "MT5ForConditionalGeneration", "Mamba2ForCausalLM", "MaskFormerForInstanceSegmentation",
    "MixtralForCausalLM", "MobileBertForPreTraining", "OPTForCausalLM", "OlmoForCausalLM",
    "PegasusForConditionalGeneration", "PhiForCausalLM", "Qwen2ForCausalLM",
    "RobertaForMaskedLM", "RobertaPreLayerNormForMaskedLM", "RwkvForCausalLM",
    "SegformerForSemanticSegmentation", "SwinForImageClassification", "T5ForConditionalGeneration",
    "ViTForImageClassification", "Wav2Vec2ForPreTraining", "WhisperForConditionalGeneration",
    "XLNetLMHeadModel", "XmodForMaskedLM",
)  # fmt: skip

TIMM = (
    "botnet26t_256", "cait_xxs24_224", "coat_lite_tiny", "convmixer_768_32", "densenet121",
    "efficientnet_b0", "levit_128s", "mixer_s32_224", "mobilenetv3_small_050", "nf_regnet_b0",
    "regnetx_002", "resnet18", "resnetv2_50", "swin_tiny_patch4_window7_224", "test_vit",
    "twins_pcpvt_small", "vgg11_bn", "xcit_nano_12_p16_224",
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """A tensor's type and shape, and what it counts as by its module's type; None if none tells."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    kind: Kind | None


def of_transformers(name: str) -> list[Known]:
    """The tensors of a network of transformers, from the defaults of its configuration."""
    offline = mock.patch("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with offline, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers

        made = getattr(transformers, name)
        config = made.config_class()
        for key, value in _FEW.items():
            if hasattr(config, key) and not getattr(config, "layer_types", None):
                try:
                    setattr(config, key, value)
                except (AttributeError, NotImplementedError, ValueError):
                    continue
        return _known(lambda: made(config))


def of_timm(name: str) -> list[Known]:
    """The tensors of a network of timm."""
    import timm

    return _known(lambda: timm.create_model(name, pretrained=False))


def _known(make: Callable[[], Any]) -> list[Known]:
    import torch

    with torch.device("meta"):
        model = make()
    outputs = _outputs(model)
    kinds = dict(_kinds(model, outputs))
    types = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL", torch.int32: "I32"}
    return [
        Known(name, types.get(tensor.dtype, "F32"), tuple(tensor.shape), kinds.get(name))
        for name, tensor in model.state_dict().items()
    ]


def _outputs(model: Any) -> set[int]:
    """The parameters that turn hidden states to logits of tokens, by transformers' own word."""
    ask = getattr(model, "get_output_embeddings", None)
    try:
        layer = ask() if ask else None
    except (AttributeError, NotImplementedError):
        layer = None
    return {id(p) for p in layer.parameters()} if layer is not None else set()


def _kinds(model: Any, outputs: set[int]) -> Iterator[tuple[str, Kind | None]]:
    from torch import nn

    tables = {
        id(p)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for p in module.parameters(recurse=False)
    }
    layers, stacks = (nn.Linear, nn.modules.conv._ConvNd), (nn.RNNBase, nn.MultiheadAttention)
    for name, module in model.named_modules(remove_duplicate=False):
        kind_of_type = type(module).__name__
        for own, _ in module.named_buffers(recurse=False):
            yield f"{name}.{own}", "left out"
        for own, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            kind: Kind | None = None
            if id(parameter) in outputs | tables or "Norm" in kind_of_type:
                kind = "left out"
            elif isinstance(module, stacks) or (
                own in ("weight", "bias")
                and (isinstance(module, layers) or kind_of_type == "Conv1D")
            ):
                kind = "bias" if "bias" in own else "weight"
            yield f"{name}.{own}", kind
