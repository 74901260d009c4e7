"""Sparse activations of a dictionary's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Codes:
    """The features that are active at each token, and how much.

    Attributes:
        shape: Shape of the tokens, then the number of features.
        starts: (n_tokens + 1,) where each token's entries begin; the last is their number.
        features: Indices of active features, token by token, ascending within a token.
        values: Their activations.
        scale: (n_tokens, 1) what a token was divided by before encoding, for dictionaries that normalise.
        shift: (n_tokens, 1) what was subtracted before that.
        skipped: (n_tokens, d_out) what passes by the features, for skip transcoders.
    """

    shape: tuple[int, ...]
    starts: Int[Tensor, " n_tokens_plus_1"]
    features: Int[Tensor, " n_active"]
    values: Float[Tensor, " n_active"]
    scale: Float[Tensor, "n_tokens 1"] | None = None
    shift: Float[Tensor, "n_tokens 1"] | None = None
    skipped: Float[Tensor, "n_tokens d_out"] | None = None

    @property
    def counts(self) -> Int[Tensor, "*tokens"]:
        """Number of active features at each token."""
        return self.starts.diff().reshape(self.shape[:-1])

    @property
    def tokens(self) -> Int[Tensor, " n_active"]:
        """The token of each entry, counted through."""
        return torch.repeat_interleave(
            torch.arange(len(self.starts) - 1, device=self.starts.device), self.starts.diff()
        )

    def to_dense(self) -> Float[Tensor, "*tokens n_features"]:
        """All activations, zeros included. Large: a number for each token and feature."""
        dense = torch.zeros(len(self.starts) - 1, self.shape[-1], device=self.values.device)
        dense[self.tokens, self.features.long()] = self.values
        return dense.reshape(self.shape)

    def at(self, feature: int) -> Float[Tensor, "*tokens"]:
        """One feature's activation at every token."""
        found = self.features == feature
        dense = torch.zeros(len(self.starts) - 1, device=self.values.device)
        dense[self.tokens[found]] = self.values[found]
        return dense.reshape(self.shape[:-1])

    def largest(self) -> tuple[Float[Tensor, " n_features"], Int[Tensor, " n_features"]]:
        """Each feature's largest activation over all tokens, 0 where it is not active, and the token of it."""
        features, n = self.features.long(), self.shape[-1]
        largest = torch.full((n,), -torch.inf, device=self.values.device)
        largest.scatter_reduce_(0, features, self.values, "amax")
        n_tokens = max(len(self.starts) - 1, 1)  # of none, the largest is 0 too
        everywhere = torch.bincount(features, minlength=n) == n_tokens
        largest = torch.where(everywhere, largest, largest.clamp_min(0))
        at = self.values == largest[features]
        tokens = torch.zeros(n, dtype=torch.long, device=features.device)
        tokens[features[at]] = self.tokens[at]
        return largest, tokens
