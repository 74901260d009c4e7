"""The one edit whose direction is made of the activation: of the error term of a whole dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.reconstruction import Reconstruction

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


@dataclass
class Whole:
    """An edit of the error term `x - reconstruction(x)`, whose coefficient is 1 as it comes in. At most one a site.

    Attributes:
        columns: The program's column that it is.
        reconstruction: What makes the error term.
        factor: (rows,) the operator as what is added to the coefficient.
        elsewhere: For transcoders, the key under which the reconstruction lies, made where it is read.
    """

    columns: slice
    reconstruction: Reconstruction
    factor: Float[Tensor, " rows"]
    elsewhere: int | None = None

    @property
    def directions(self) -> Float[Tensor, "1 width"]:
        """What tells it from another: the bias of its reconstruction."""
        return self.reconstruction.b_dec[None]

    def to(self, device: torch.device) -> None:
        """Move every tensor to a device, in place."""
        self.reconstruction, self.factor = self.reconstruction.to(device), self.factor.to(device)

    def change(
        self,
        x: Float[Tensor, "rows tokens width"],
        acts: Bool[Tensor, "rows tokens 1"],
        elsewhere: Mapping[int, tuple[Tensor, Tensor | None]],
    ) -> tuple[Float[Tensor, "rows tokens width"], Float[Tensor, "rows tokens 1"]]:
        """What the edit adds to a site's activation, and the coefficient; see `program.change`."""
        made = self.reconstruction(x) if self.elsewhere is None else elsewhere[self.elsewhere][0]
        amounts = torch.where(acts, self.factor[:, None, None], 0.0)
        # not 0 * error, which is NaN where a normalising dictionary meets an activation without length
        return torch.where(amounts != 0, amounts * (x - made), 0.0), torch.ones_like(amounts)
