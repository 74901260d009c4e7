"""Activation functions of dictionaries: from pre-activations to feature activations.

Local ones look at one feature at a time, so a few features can be read from a few encoder columns. The others rank all
pre-activations of a token and need every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import torch
from typing_extensions import override

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    Features: TypeAlias = slice | list[int] | Tensor


class Activation:  # no abstract base: those do not travel to a remote model by value
    """Activation function of a dictionary.

    Attributes:
        local: Whether it looks at one feature at a time.
    """

    local: ClassVar[bool] = True

    if TYPE_CHECKING:

        def __call__(self, p: Float[Tensor, "*tokens k"], features: Features) -> Float[Tensor, "*tokens n"]:
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

    @property
    def floor(self) -> Float[Tensor, " n_features"] | float:
        """Pre-activations that do not exceed it make no activation."""
        return 0.0

    def active(
        self, p: Float[Tensor, "n_tokens n_features"]
    ) -> tuple[Int[Tensor, " n_active"], Int[Tensor, " n_active"]]:
        """Tokens and features of all activations that may differ from 0, token by token, features ascending."""
        floor = torch.as_tensor(self.floor, dtype=p.dtype, device=p.device)  # with another type, p would be copied
        tokens, features = (p <= floor).logical_not_().nonzero(as_tuple=True)  # NaN, unlike by p > floor, is found
        return tokens, features

    def values(self, p: Float[Tensor, " n_active"], features: Int[Tensor, " n_active"]) -> Float[Tensor, " n_active"]:
        """Activations at the places that `active` found, from the pre-activations there."""
        return self(p, features)

    def to(self, device: torch.device) -> Activation:
        """The same with its tensors on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return replace(self, **{name: v.to(device) for name, v in values.items() if isinstance(v, torch.Tensor)})  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class ReLU(Activation):
    """`max(p, 0)`."""

    @override
    def __call__(self, p: Tensor, features: Features) -> Tensor:
        return p.relu()


@dataclass(frozen=True, eq=False)
class TanhReLU(Activation):
    """`tanh(max(p, 0))` (early SAELens)."""

    @override
    def __call__(self, p: Tensor, features: Features) -> Tensor:
        return p.relu().tanh()

    @override
    def unselected(self, p: Tensor) -> Tensor:
        return p.tanh()


@dataclass(frozen=True, eq=False)
class Linear(Activation):
    """`p` itself: a direction read as it is (DiffMean, PCA, probes)."""

    @override
    def __call__(self, p: Tensor, features: Features) -> Tensor:
        return p

    @property
    @override
    def floor(self) -> float:
        return -torch.inf


@dataclass(frozen=True, eq=False)
class JumpReLU(Activation):
    """`max(p, 0) [p > threshold]`, strictly (Rajamanoharan et al. 2024)."""

    threshold: Float[Tensor, " n_features"]

    @override
    def __call__(self, p: Tensor, features: Features) -> Tensor:
        return torch.where(p > self.threshold[features], p.relu(), 0.0)

    @property
    @override
    def floor(self) -> Tensor:
        return self.threshold.clamp(min=0)


@dataclass(frozen=True, eq=False)
class Gated(Activation):
    """`[p + b_gate > 0] max(exp(r_mag) p + b_mag, 0)` (Rajamanoharan et al. 2024a); `p` comes without a bias."""

    b_gate: Float[Tensor, " n_features"]
    r_mag: Float[Tensor, " n_features"]
    b_mag: Float[Tensor, " n_features"]

    @override
    def __call__(self, p: Tensor, features: Features) -> Tensor:
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

    @property
    @override
    def floor(self) -> Tensor:
        return -self.b_gate


class Ranked(Activation):
    """Activation function that keeps the same number of features at every token."""

    local: ClassVar[bool] = False

    @override
    def __call__(self, p: Tensor, features: Features) -> Tensor:
        kept = self.kept(p)
        values = self.values(p.gather(-1, kept), kept)
        return torch.zeros_like(p).scatter_(-1, kept, values)[..., features]

    if TYPE_CHECKING:

        def kept(self, p: Float[Tensor, "*tokens n_features"]) -> Int[Tensor, "*tokens k"]:
            """The features that are kept."""

    @override
    def active(self, p: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.kept(p).sort(dim=-1).values
        return torch.arange(len(p), device=p.device).repeat_interleave(kept.shape[-1]), kept.flatten()

    @override
    def values(self, p: Float[Tensor, "*kept"], features: Int[Tensor, "*kept"]) -> Float[Tensor, "*kept"]:
        return p.relu()


@dataclass(frozen=True, eq=False)
class TopK(Ranked):
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

    @override
    def kept(self, p: Tensor) -> Tensor:
        ranked = p if self.weight is None else p * self.weight
        return (ranked.abs() if self.by_magnitude else ranked).topk(min(self.k, p.shape[-1]), sorted=False).indices

    @override
    def values(self, p: Tensor, features: Tensor) -> Tensor:
        return p if self.by_magnitude or not self.relu else p.relu()


@dataclass(frozen=True, eq=False)
class GroupMax(Ranked):
    """The largest of each of `k` contiguous blocks of features, if positive; the rest 0 (EleutherAI sparsify)."""

    k: int

    @override
    def kept(self, p: Tensor) -> Tensor:
        blocks = p.unflatten(-1, (self.k, -1))
        return blocks.argmax(-1) + blocks.shape[-1] * torch.arange(self.k, device=p.device)
