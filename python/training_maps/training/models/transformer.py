"""The one-layer transformer of modular addition, as it is written down and as it is trained."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import embedding, linear, pad

from training_maps.training.models.mlp import MLP


class Transformer(nn.Module):
    """A decoder of one layer that answers at its last position.

    The network of Nanda et al. 2023 (`layer_norm=False`) and of Hu et al. 2023, Table 5: learned
    positions, attention without biases, an MLP of ReLUs with biases, an unembedding of its own.
    With `layer_norm`, the residual stream is normalised after attention and again after the MLP.

    Weights start normal with standard deviation 1/sqrt(d_model), the unembedding's with
    1/sqrt(vocabulary), and biases at zero, as in Nanda et al. 2023.
    """

    def __init__(
        self,
        vocabulary: int,
        n_positions: int,
        *,
        d_model: int = 128,
        n_heads: int = 4,
        d_head: int = 32,
        d_mlp: int = 512,
        layer_norm: bool = False,
    ) -> None:
        """Make a network with fresh random parameters from torch's global generator."""
        super().__init__()
        self.embed = _normal(vocabulary, d_model, variance=1 / d_model)
        self.embed_position = _normal(n_positions, d_model, variance=1 / d_model)
        self.attention = LastAttention(d_model, n_heads, d_head)
        self.mlp = MLP(d_model, d_mlp, d_model)
        for layer in (self.mlp.hidden, self.mlp.output):
            nn.init.normal_(layer.weight, std=d_model**-0.5)
            nn.init.zeros_(layer.bias)
        self.norm_attention = LayerNorm(d_model) if layer_norm else nn.Identity()
        self.norm_mlp = LayerNorm(d_model) if layer_norm else nn.Identity()
        self.unembed = _normal(vocabulary, d_model, variance=1 / vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of what follows the last token.

        Args:
            tokens: numbers of tokens, (batch, n_positions).

        Returns:
            Logits, (batch, vocabulary).
        """
        last = embedding(tokens[:, -1], self.embed) + self.embed_position[-1]
        read = self.attention(last, tokens, self.embed, self.embed_position)
        return self._answer(last + read)

    def _answer(self, last: torch.Tensor) -> torch.Tensor:
        """The logits, from the residual stream after attention: (batch, d_model)."""
        last = self.norm_attention(last)
        last = self.norm_mlp(last + self.mlp(last))
        return linear(last, self.unembed)


class TabulatedTransformer(Transformer):
    """A `Transformer` for tasks whose last token never changes: the same function, sooner.

    The last position's query is then one vector. What it makes of a token at a position, a score
    and a value for each head, is the same in every example: a table of all tokens at all earlier
    positions has it, and of an example no more is computed than the softmax over its positions. The
    parameters, and their gradients, are those of `Transformer`.
    """

    def __init__(self, vocabulary: int, n_positions: int, *, last_token: int, **sizes: Any) -> None:
        """Make a network with fresh random parameters from torch's global generator.

        Args:
            vocabulary: how many tokens there are.
            n_positions: how many positions.
            last_token: the number of the token that stands at the last position.
            sizes: the others of `Transformer`.
        """
        super().__init__(vocabulary, n_positions, **sizes)
        self.last_token = last_token

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of what follows the last token.

        Args:
            tokens: numbers of tokens, (batch, n_positions); the last column is not looked at.

        Returns:
            Logits, (batch, vocabulary).
        """
        attention, heads = self.attention, self.attention.query.shape[:2]
        last = self.embed[self.last_token] + self.embed_position[-1]
        query = linear(last, attention.query.flatten(0, 1)).unflatten(0, heads)
        asked = torch.einsum("hed,he->hd", attention.key, query) / math.sqrt(heads[1])
        # Tables of all tokens at the earlier positions, less what the last position has of its own:
        # its score is then 0, and what it reads of itself the same in every example. (The output
        # matrix is not taken into the values: its product takes less than rows as long as that.)
        vocabulary, n_earlier = len(self.embed), len(self.embed_position) - 1
        earlier = (self.embed_position[:-1, None] + self.embed).flatten(0, 1) - last
        scores = linear(earlier, asked)  # (n_earlier * vocabulary, n_heads)
        values = linear(earlier, attention.value.flatten(0, 1))
        rows = tokens[:, :-1] + vocabulary * torch.arange(n_earlier, device=tokens.device)
        weights = pad(embedding(rows, scores), (0, 0, 0, 1)).softmax(1)[:, :-1]
        read = (weights.unsqueeze(-1) * embedding(rows, values).unflatten(-1, heads)).sum(1)
        own = linear(last, attention.value.flatten(0, 1))
        always = last + linear(own, attention.output)
        return self._answer(linear(read.flatten(1), attention.output, always))


class LastAttention(nn.Module):
    """Causal attention from the last position, for a network of a single layer.

    Only the last position is answered. With one layer, nothing else reads what attention writes at
    the earlier positions, so their queries are not computed; and the last position may look at all,
    so that the causal mask hides nothing from it.

    Each head's query, key and value is a matrix of its own: (n_heads, d_head, d_model).
    """

    def __init__(self, d_model: int, n_heads: int, d_head: int) -> None:
        """Make fresh random parameters from torch's global generator."""
        super().__init__()
        self.query = _normal(n_heads, d_head, d_model, variance=1 / d_model)
        self.key = _normal(n_heads, d_head, d_model, variance=1 / d_model)
        self.value = _normal(n_heads, d_head, d_model, variance=1 / d_model)
        self.output = _normal(d_model, n_heads * d_head, variance=1 / d_model)

    def forward(
        self,
        last: torch.Tensor,
        tokens: torch.Tensor,
        embed: torch.Tensor,
        embed_position: torch.Tensor,
    ) -> torch.Tensor:
        """What the heads read, projected back.

        Args:
            last: the residual stream at the last position, (batch, d_model).
            tokens: all tokens, (batch, n_positions).
            embed: embedding of every token of the vocabulary, (vocabulary, d_model).
            embed_position: embedding of every position, (n_positions, d_model).

        Returns:
            What is added to the residual stream at the last position, (batch, d_model).
        """
        heads = self.query.shape[:2]

        def projected(matrices: torch.Tensor) -> torch.Tensor:
            # Project, then look up: a batch has far more tokens than the vocabulary.
            matrix = matrices.flatten(0, 1)
            everywhere = embedding(tokens, linear(embed, matrix)) + linear(embed_position, matrix)
            return everywhere.unflatten(-1, heads)  # (batch, n_positions, n_heads, d_head)

        query = linear(last, self.query.flatten(0, 1)).unflatten(-1, heads).unsqueeze(1)
        # Sums of products and no matrix products: with three positions these would be tiny.
        scores = (query * projected(self.key)).sum(-1, keepdim=True) / math.sqrt(heads[1])
        read = (scores.softmax(1) * projected(self.value)).sum(1)
        return linear(read.flatten(1), self.output)


class LayerNorm(nn.LayerNorm):
    """torch's layer norm in plain arithmetic: the gradient of torch's own cannot be traced."""

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        """`stream` (..., d_model) with mean 0 and variance 1, then scaled and shifted."""
        centred = stream - stream.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


def _normal(*shape: int, variance: float) -> nn.Parameter:
    """A parameter of independent normal values of mean zero."""
    return nn.Parameter(torch.randn(*shape) * math.sqrt(variance))
