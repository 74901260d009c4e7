"""Steering vectors: one direction a site, with a label and arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from steerkit.edits import Edit, Steerable
from steerkit.errors import SiteError, VectorError
from steerkit.sites import Site
from steerkit.strengths import as_strength
from steerkit.where import EVERYWHERE, Where

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.conditions import Condition


class Vector(Steerable):
    """A direction at each of one or more sites. Immutable.

    The coefficient of a vector `v` in an activation `x` is `x·v/‖v‖²`: how many times `v` is in `x`.

    Args:
        directions: One direction a site, e.g. `{"3.resid_post": tensor}`. Kept in float32 on the CPU.
        label: Name shown to people.

    Raises:
        VectorError: No site, a direction that is no row of numbers, NaN or infinity.
        SiteError: A site that cannot be read.

    Example:
        >>> joy = Vector({"0.resid_post": torch.tensor([3.0, 4.0])}, label="joy")
        >>> joy.norm("0.resid_post")
        5.0
        >>> (joy / 2).label
        '0.5*joy'
    """

    def __init__(self, directions: Mapping[str | Site, Float[Tensor, " width"]], label: str = "vector") -> None:
        if not directions:
            raise VectorError(
                "A vector needs a direction for at least one site, e.g. Vector({'3.resid_post': tensor})."
            )
        parsed = {Site.parse(site): _direction(site, values) for site, values in directions.items()}
        self._directions = dict(sorted(parsed.items(), key=lambda item: item[0].depth))
        self.label = str(label)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites in the order of depth."""
        return tuple(self._directions)

    def direction(self, site: str | Site) -> Float[Tensor, " width"]:
        """The direction at a site.

        Raises:
            SiteError: The vector has none there.
        """
        try:
            return self._directions[Site.parse(site)].clone()
        except KeyError:
            sites = ", ".join(map(str, self.sites))
            raise SiteError(f"The vector {self.label!r} has no direction at '{site}'; it has: {sites}.") from None

    __getitem__ = direction

    def at(self, site: str | Site) -> Vector:
        """The vector at one of its sites alone.

        Raises:
            SiteError: It has no direction there.
        """
        return Vector({site: self.direction(site)}, self.label)

    def rotate(
        self,
        towards: Vector,
        degrees: float,
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: turn what lies in the plane of two directions, from this one towards another.

        The activation's part in the plane is rotated and keeps its length; the rest stays as it is. (Vu & Nguyen 2025,
        "Angular Steering"; theirs sets the angle, this adds to it.)

        Args:
            towards: A vector with other directions at the same sites.
            degrees: The angle.
            where: The tokens on which it acts.
            when: The condition under which it acts.
            direct: See `Edit`.
        """
        return Edit(self, "rotate", degrees, where=where, when=when, direct=direct, other=towards)

    def __len__(self) -> int:
        return len(self._directions)

    def __iter__(self):
        return iter(self.sites)

    def norm(self, site: str | Site) -> float:
        """Euclidean length at a site, in units of the activation."""
        return self.direction(site).norm().item()

    def __add__(self, other: Vector) -> Vector:
        return self._combine(other, torch.add, "+")

    def __sub__(self, other: Vector) -> Vector:
        return self._combine(other, torch.sub, "-")

    def __mul__(self, factor: float) -> Vector:
        factor = as_strength(factor)
        return Vector({site: d * factor for site, d in self._directions.items()}, f"{factor:g}*{self._atom}")

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Vector:
        if as_strength(divisor) == 0:
            raise VectorError(f"The vector {self.label!r} cannot be divided by 0.")
        return self * (1 / divisor)

    def __neg__(self) -> Vector:
        return Vector({site: -d for site, d in self._directions.items()}, f"-{self._atom}")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vector)
            and self.sites == other.sites
            and all(torch.equal(self[site], other[site]) for site in self.sites)
        )

    def __hash__(self) -> int:
        return hash((self.sites, *(d.sum().item() for d in self._directions.values())))

    def __repr__(self) -> str:
        return f"Vector({self.label!r}, {', '.join(map(str, self.sites))})"

    def to_frame(self) -> pd.DataFrame:
        """One row a site: its width and norm."""
        import pandas as pd

        rows = [{"site": str(site), "width": len(d), "norm": d.norm().item()} for site, d in self._directions.items()]
        return pd.DataFrame(rows)

    @property
    def _atom(self) -> str:
        return f"({self.label})" if " " in self.label else self.label

    def _combine(self, other: Vector, operation: Callable[[Tensor, Tensor], Tensor], sign: str) -> Vector:
        if not isinstance(other, Vector):
            return NotImplemented
        directions: dict[str | Site, Tensor] = {}
        for site in {*self.sites, *other.sites}:
            left, right = self._directions.get(site), other._directions.get(site)
            width = len(left if left is not None else other[site])
            left, right = (torch.zeros(width) if side is None else side for side in (left, right))
            if len(left) != len(right):
                raise VectorError(
                    f"{self.label!r} and {other.label!r} differ in width at '{site}': {len(left)} and {len(right)}. "
                    f"They were made for different models."
                )
            directions[site] = operation(left, right)
        return Vector(directions, f"{self.label} {sign} {other._atom}")


def _direction(site: str | Site, values: object) -> Float[Tensor, " width"]:
    try:
        direction = torch.as_tensor(values).detach().to("cpu", torch.float32, copy=True)
    except (TypeError, ValueError, RuntimeError):
        raise VectorError(f"The direction at '{site}' is {values!r}; it must be one row of numbers.") from None
    if direction.ndim != 1 or len(direction) == 0:
        raise VectorError(
            f"The direction at '{site}' has the shape {tuple(direction.shape)}; it must be one row of numbers."
        )
    if not direction.isfinite().all():
        bad = int((~direction.isfinite()).sum())
        raise VectorError(
            f"The direction at '{site}' has {bad} values that are NaN or infinite; all must be finite numbers."
        )
    return direction
