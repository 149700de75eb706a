"""What a device is asked and tells: which one there is, its precision, and its errors."""

from __future__ import annotations

import torch

from training_maps.utils.errors import InputError

# Of errors that are no `torch.OutOfMemoryError`: what a CPU's allocator and CUDA's libraries say.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",  # cuDNN 9
    "CUBLAS_STATUS_NOT_INITIALIZED",  # cuBLAS, where it finds no room for its workspace
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device, or the machine, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def is_of_device(error: BaseException) -> bool:
    """Whether an error is the device's, or its libraries', and tells nothing of a network."""
    return isinstance(error, torch.AcceleratorError) or str(error).startswith(("CUDA", "cuDNN"))


def choose_device(device: str) -> str:
    """Resolve "auto" to "cuda" where there is a GPU, else "cpu".

    Raises:
        InputError: if "cuda" is asked for and not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device}: torch finds no CUDA GPU here; use --device cpu or auto")
    return device


def use_precision(precision: str) -> None:
    """Let a GPU multiply float32 matrices in TensorFloat-32, or forbid it, convolutions too."""
    allowed = precision != "float32"
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def described(device: str) -> dict[str, str]:
    """What a run's manifest says of a GPU besides: its name, CUDA and cuDNN; nothing of a CPU."""
    if not device.startswith("cuda"):
        return {}
    return {
        "gpu": torch.cuda.get_device_name(device),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }
