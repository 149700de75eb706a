"""What several test modules of networks use."""

import pytest
import torch


@pytest.fixture
def double():
    """Networks in float64, so that a difference is a mistake and not rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
