"""A language model of one layer: a causal transformer that answers at every position."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import linear

from training_maps.training.models.mlp import MLP
from training_maps.training.models.transformer import LayerNorm


class CausalTransformer(nn.Module):
    """One layer of attention and one MLP, each behind a layer norm (Radford et al. 2019).

    Positions are learned, attention has no biases, and each head's query, key and value is a matrix
    of its own: (n_heads, d_model / n_heads, d_model). Matrices start normal with standard deviation
    1/sqrt(d_model), the MLP as torch's default.
    """

    def __init__(
        self, vocabulary: int, n_positions: int, *, d_model: int, n_heads: int, d_mlp: int
    ) -> None:
        """Make a network with fresh random parameters from torch's global generator."""
        super().__init__()

        def matrix(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape) / math.sqrt(d_model))

        self.embed = matrix(vocabulary, d_model)
        self.embed_position = matrix(n_positions, d_model)
        self.norm_attention = LayerNorm(d_model)
        heads = (n_heads, d_model // n_heads, d_model)
        self.query, self.key, self.value = matrix(*heads), matrix(*heads), matrix(*heads)
        self.output = matrix(d_model, d_model)
        self.norm_mlp = LayerNorm(d_model)
        self.mlp = MLP(d_model, d_mlp, d_model)
        self.norm_final = LayerNorm(d_model)
        self.unembed = matrix(vocabulary, d_model)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of what follows each token.

        Args:
            tokens: numbers of tokens, (batch, n_positions).

        Returns:
            Logits, (batch, n_positions, vocabulary).
        """
        stream = self.embed[tokens] + self.embed_position
        stream = stream + self._attention(self.norm_attention(stream))
        stream = stream + self.mlp(self.norm_mlp(stream))
        return linear(self.norm_final(stream), self.unembed)

    def _attention(self, stream: torch.Tensor) -> torch.Tensor:
        """What each position reads of itself and those before it: (batch, n_positions, d_model)."""
        heads = self.query.shape[:2]

        def projected(matrices: torch.Tensor) -> torch.Tensor:
            rows = linear(stream, matrices.flatten(0, 1)).unflatten(-1, heads)
            return rows.transpose(-3, -2)  # (batch, n_heads, n_positions, d_head)

        query, key, value = map(projected, (self.query, self.key, self.value))
        scores = query @ key.transpose(-2, -1) / math.sqrt(heads[1])
        n = scores.shape[-1]
        later = torch.ones(n, n, dtype=torch.bool, device=scores.device).triu(1)
        read = scores.masked_fill(later, -math.inf).softmax(-1) @ value
        return linear(read.transpose(-3, -2).flatten(-2), self.output)
