"""What a device is asked and tells."""

import pytest
import torch

from training_maps.training.devices import choose_device, described, is_out_of_memory
from training_maps.utils.errors import InputError

FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB"


def test_what_says_that_memory_is_full():
    for error in (
        torch.OutOfMemoryError(FULL),
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate`"),
    ):
        assert is_out_of_memory(error)
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(cpu.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_missing_gpu_is_said():
    assert choose_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(InputError, match="finds no CUDA GPU"):
            choose_device("cuda")


def test_a_manifest_says_which_gpu_it_was(monkeypatch):
    assert described("cpu") == {}  # manifests of a CPU are as they were
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Stand-In of {device}")
    found = described("cuda")
    assert found["gpu"] == "Stand-In of cuda"
    assert set(found) == {"gpu", "cuda", "cudnn"}
