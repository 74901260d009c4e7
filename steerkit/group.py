"""Edits whose coefficients are read together at one site, as tensors, and what they do to an activation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import torch

from steerkit.dictionaries.encoder import Encoder
from steerkit.operators import Operator

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


class Change(NamedTuple):
    """What edits add to a site's activation.

    Attributes:
        delta: (rows, tokens, width) the difference: exactly 0 where no edit acts or each is at its identity.
        passing: The part of it that is taken out of the stream again above; None for none.
        coefficients: (rows, tokens, edits) as they were read.
    """

    delta: Float[Tensor, "rows tokens width"]
    passing: Float[Tensor, "rows tokens width"] | None
    coefficients: Float[Tensor, "rows tokens edits"]


@dataclass
class Group:
    """Edits at one site whose coefficients are read together: vectors, or features of one dictionary.

    The operator of an edit is `c' = clip(gain * c + shift, low, high)`, in units of the coefficient.

    Attributes:
        columns: The program's columns that they are.
        directions: What is written, one row an edit.
        gain, shift, low, high: The operator, a number for each row of the batch and edit.
        by_norm: Which shifts and bounds are multiples of the token's own norm.
        by_length: Which shifts and bounds are lengths in units of the activation.
        additive: Which edits write their shift whatever the coefficient is.
        passing: Which edits' writing is taken out of the stream again above.
        mix: For operators on two coefficients, what stands in place of the gain: `c' = mix @ c + shift`.
        functions: For operators of the user's own, the edit and the function of the coefficient and the shift.
        readers: For vectors, what coefficients are read with: `x @ readers.T`.
        gram: For vectors, the coefficient of each direction along each reader, in float64; on the CPU where the
            device has no such numbers.
        encoder: For features, what reads them.
        elsewhere: For features that are read at another site than they are written, the key under which their
            coefficients lie.
    """

    columns: slice
    directions: Float[Tensor, "edits width"]
    gain: Float[Tensor, "rows edits"]
    shift: Float[Tensor, "rows edits"]
    low: Float[Tensor, "rows edits"]
    high: Float[Tensor, "rows edits"]
    by_norm: Bool[Tensor, " edits"]
    by_length: Bool[Tensor, " edits"]
    additive: Bool[Tensor, " edits"]
    passing: Bool[Tensor, " edits"]
    mix: Float[Tensor, "rows edits edits"] | None = None
    functions: tuple[tuple[int, Operator], ...] = ()
    readers: Float[Tensor, "edits width"] | None = None
    gram: Float[Tensor, "edits edits"] | None = None
    encoder: Encoder | None = None
    elsewhere: int | None = None
    solved: bool = field(init=False)
    normed: bool = field(init=False)
    bounded: bool = field(init=False)
    only_adds: bool = field(init=False)
    passes: bool = field(init=False)

    def __post_init__(self) -> None:
        self.only_adds = bool(self.additive.all())
        self.solved = self.gram is not None and int((~self.additive).sum()) > 1
        self.normed = bool(self.by_norm.any())
        self.bounded = bool((self.low.isfinite() | self.high.isfinite()).any())
        self.passes = bool(self.passing.any())

    @property
    def reads(self) -> list[tuple[int, Encoder]]:
        """What is to be read at another site, each with its key."""
        return [] if self.elsewhere is None else [(self.elsewhere, self.encoder)]

    def to(self, device: torch.device) -> None:
        """Move every tensor to a device, in place."""
        if self.directions.device != device:
            for name, value in vars(self).items():
                if isinstance(value, torch.Tensor | Encoder) and not (name == "gram" and device.type == "mps"):
                    setattr(self, name, value.to(device))

    def change(
        self,
        x: Float[Tensor, "rows tokens width"],
        acts: Bool[Tensor, "rows tokens edits"],
        fade: Float[Tensor, "rows tokens edits"] | None = None,
        elsewhere: Mapping[int, tuple[Tensor, Tensor | None]] = MappingProxyType({}),
        moved: Float[Tensor, "rows tokens edits"] | None = None,
    ) -> Change:
        """What the edits add to a site's activation.

        Args:
            x: The incoming activation, in float32.
            acts: The tokens on which each of them acts.
            fade: What each change of a coefficient is multiplied by.
            elsewhere: By key, coefficients that were read at another site, and the scale of their tokens.
            moved: What an edit of the whole dictionary has changed the coefficients by, before these edits.
        """
        scale = None  # of the token, by which a normalising dictionary multiplies what it writes
        if self.readers is not None:
            coefficients = x @ self.readers.T
        elif self.elsewhere is None:
            coefficients, scale = self.encoder.read(x)
        else:
            coefficients, scale = elsewhere[self.elsewhere]
        found = coefficients if moved is None else coefficients + moved
        amounts = torch.where(acts, self._wanted(x, found, scale), 0.0)
        if fade is not None:
            amounts = amounts * fade
        if self.solved:
            amounts = self._solve(amounts, acts)
        if scale is not None:
            amounts = amounts * scale
        passing = (amounts * self.passing) @ self.directions if self.passes else None
        return Change(amounts @ self.directions, passing, coefficients)

    def _wanted(self, x: Tensor, coefficients: Tensor, scale: Tensor | None) -> Tensor:
        """How much each coefficient is to change."""
        shift, low, high = self.shift[:, None], self.low[:, None], self.high[:, None]
        if self.normed or scale is not None:
            unit = torch.ones_like(coefficients)
            if self.normed:
                norm = x.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
                unit = torch.where(self.by_norm, norm, unit)
            if scale is not None:
                unit = torch.where(self.by_length, unit / scale, unit)
            shift, low, high = shift * unit, low * unit, high * unit
        if self.only_adds:
            return shift
        if self.mix is None:
            wanted = self.gain[:, None] * coefficients + shift
        else:
            wanted = (self.mix[:, None] @ coefficients[..., None])[..., 0] + shift
        if self.bounded:
            wanted = wanted.clamp(low, high)
        for edit, function in self.functions:
            strength = shift[..., edit].expand(coefficients.shape[:-1])
            wanted[..., edit] = function(coefficients[..., edit], strength)
        return torch.where(self.additive, shift, wanted - coefficients)

    def _solve(self, amounts: Tensor, acts: Tensor) -> Tensor:
        """How much of each direction to write so that each non-additive coefficient changes by its amount.

        Directions are not orthogonal: writing along one moves the coefficients of the others. Additive edits go on top.
        """
        joint = (acts & ~self.additive).to(self.gram.device)
        both = joint[..., :, None] & joint[..., None, :]
        system = torch.where(both, self.gram, 0.0) + torch.diag_embed((~joint).to(self.gram.dtype))
        return torch.linalg.solve(system, amounts.to(self.gram)[..., None])[..., 0].to(amounts)
