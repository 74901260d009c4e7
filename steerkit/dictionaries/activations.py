"""Activation functions of dictionaries: from pre-activations to feature activations.

Local ones look at one feature at a time, so a few features can be read from a few encoder columns. The others rank all
pre-activations of a token and need every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from typing_extensions import override

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


class Activation:  # no abstract base: those do not travel to a remote model by value
    """Activation function of a dictionary.

    Attributes:
        local: Whether it looks at one feature at a time.
    """

    local: ClassVar[bool] = True

    if TYPE_CHECKING:

        def __call__(self, p: Float[Tensor, "*tokens k"], features: slice | list[int]) -> Float[Tensor, "*tokens n"]:
            """Activations of the features asked for.

            Args:
                p: Pre-activations: of those features, or of all where the function is not local.
                features: Which features those are.
            """

    def unselected(self, p: Float[Tensor, "*tokens n_features"]) -> Float[Tensor, "*tokens n_features"]:
        """Activations of all features as they would be if every one of them were active."""
        return p

    def weighted(
        self, p: Float[Tensor, "*tokens n_features"], scores: Float[Tensor, " n_features"]
    ) -> Float[Tensor, "*tokens n_features"]:
        """Activations of all features whose pre-activations are multiplied by a score each."""
        return self(p * scores, slice(None))

    def to(self, device: torch.device) -> Activation:
        """The same with its tensors on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, torch.Tensor)})  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class ReLU(Activation):
    """`max(p, 0)`."""

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        return p.relu()


@dataclass(frozen=True, eq=False)
class TanhReLU(Activation):
    """`tanh(max(p, 0))` (early SAELens)."""

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        return p.relu().tanh()

    @override
    def unselected(self, p: Tensor) -> Tensor:
        return p.tanh()


@dataclass(frozen=True, eq=False)
class Linear(Activation):
    """`p` itself: a direction read as it is (DiffMean, PCA, probes)."""

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        return p


@dataclass(frozen=True, eq=False)
class JumpReLU(Activation):
    """`max(p, 0) [p > threshold]`, strictly (Rajamanoharan et al. 2024)."""

    threshold: Float[Tensor, " n_features"]

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        return torch.where(p > self.threshold[features], p.relu(), 0.0)


@dataclass(frozen=True, eq=False)
class Gated(Activation):
    """`[p + b_gate > 0] max(exp(r_mag) p + b_mag, 0)` (Rajamanoharan et al. 2024a); `p` comes without a bias."""

    b_gate: Float[Tensor, " n_features"]
    r_mag: Float[Tensor, " n_features"]
    b_mag: Float[Tensor, " n_features"]

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        magnitude = (p * self.r_mag[features].exp() + self.b_mag[features]).relu()
        return torch.where(p + self.b_gate[features] > 0, magnitude, 0.0)

    @override
    def unselected(self, p: Tensor) -> Tensor:
        return p * self.r_mag.exp() + self.b_mag

    @override
    def weighted(self, p: Tensor, scores: Tensor) -> Tensor:
        # the biases belong to the pre-activations of gate and magnitude
        biased = replace(self, b_gate=self.b_gate * scores, b_mag=self.b_mag * scores)
        return biased(p * scores, slice(None))


@dataclass(frozen=True, eq=False)
class TopK(Activation):
    """The `k` largest of a token's pre-activations; the rest 0 (Gao et al. 2024).

    Attributes:
        k: How many.
        relu: Whether negative ones among them become 0.
        by_magnitude: Rank by absolute value, and keep signs.
        weight: Rank by `p * weight` instead of `p`.
    """

    k: int
    relu: bool = True
    by_magnitude: bool = False
    weight: Float[Tensor, " n_features"] | None = None
    local: ClassVar[bool] = False

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        ranked = p if self.weight is None else p * self.weight
        kept = (ranked.abs() if self.by_magnitude else ranked).topk(min(self.k, p.shape[-1]), sorted=False).indices
        values = p.gather(-1, kept)
        values = values if self.by_magnitude or not self.relu else values.relu()
        return torch.zeros_like(p).scatter_(-1, kept, values)[..., features]


@dataclass(frozen=True, eq=False)
class GroupMax(Activation):
    """The largest of each of `k` contiguous blocks of features, if positive; the rest 0 (EleutherAI sparsify)."""

    k: int
    local: ClassVar[bool] = False

    @override
    def __call__(self, p: Tensor, features: slice | list[int]) -> Tensor:
        blocks = p.relu().unflatten(-1, (self.k, -1))
        values, kept = blocks.max(-1, keepdim=True)
        return torch.zeros_like(blocks).scatter_(-1, kept, values).flatten(-2)[..., features]
