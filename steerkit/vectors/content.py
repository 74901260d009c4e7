"""What a vector is made of, on its way from arithmetic or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.sites import Site
    from steerkit.vectors.provenance import Provenance


class Content(NamedTuple):
    """The arguments of `Vector`, in their order."""

    directions: dict[Site, Float[Tensor, " width"]]
    label: str
    offsets: dict[Site, float]
    provenance: Provenance | None
