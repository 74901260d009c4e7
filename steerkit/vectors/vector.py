"""Steering vectors: one direction a site, with a label and arithmetic."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from steerkit import pages
from steerkit.edits import Edit, Steerable
from steerkit.errors import SiteError, VectorError
from steerkit.sites import Site
from steerkit.strengths import as_strength
from steerkit.vectors import arithmetic, files
from steerkit.vectors.content import Content
from steerkit.where import EVERYWHERE, Where

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.conditions import Condition
    from steerkit.vectors.provenance import Provenance

# Two names of one kind, as a mapping's keys have to be of one type.
AnySite = TypeVar("AnySite", bound="str | Site")
OffsetSite = TypeVar("OffsetSite", bound="str | Site")


class Vector(Steerable):
    """A direction at each of one or more sites. Immutable.

    The coefficient of a vector `v` in an activation `x` is `x·v/‖v‖²`: how many times `v` is in `x`. Edits change it,
    and conditions and the coefficients of a run are it.

    An offset `t` is for reading alone: what `Model.read` shows is `(x·v − t)/‖v‖²`, so that 0 can lie midway between
    what a direction tells apart, and the mean activation does not swamp the difference. Edits take no notice of it:
    ablating removes all of `v` that is in `x`.

    Arithmetic is site by site, and linear in directions and offsets; where a vector has no direction it is zero.

    Args:
        directions: One direction a site, e.g. `{"3.resid_post": tensor}`. Kept in float32 on the CPU.
        label: Name shown to people.
        offsets: A number a site, in units of `x·v`; 0 where none is given.
        provenance: How it was made.

    Raises:
        VectorError: No site, a direction that is no row of numbers, NaN or infinity.
        SiteError: A site that cannot be read, or an offset at one without a direction.

    Example:
        >>> joy = Vector({"0.resid_post": torch.tensor([3.0, 4.0])}, label="joy", offsets={"0.resid_post": 50.0})
        >>> joy.norm("0.resid_post"), joy.midpoint("0.resid_post")
        (5.0, 2.0)
        >>> (joy / 2).label
        '0.5*joy'
    """

    __array_ufunc__ = None  # numpy's numbers leave arithmetic to the vector, which is no sequence of theirs

    def __init__(
        self,
        directions: Mapping[AnySite, Float[Tensor, " width"]],
        label: str = "vector",
        offsets: Mapping[OffsetSite, float] | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        if not isinstance(directions, Mapping) or not directions:
            raise VectorError(
                "A vector needs a direction for at least one site, e.g. Vector({'3.resid_post': tensor})."
            )
        parsed = {Site.parse(site): _direction(site, values) for site, values in directions.items()}
        self._directions = dict(sorted(parsed.items(), key=lambda item: item[0].depth))
        self.label = str(label)
        self.provenance = provenance
        self._offsets = {Site.parse(site): _offset(site, number) for site, number in (offsets or {}).items()}
        for site in self._offsets:
            self.direction_at(site)

    @property
    def content(self) -> Content:
        """What it is made of."""
        return Content(self._directions, self.label, self._offsets, self.provenance)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites in the order of depth."""
        return tuple(self._directions)

    def direction_at(self, site: str | Site) -> Float[Tensor, " width"]:
        """The direction at a site.

        Raises:
            SiteError: The vector has none there.
        """
        try:
            return self._directions[Site.parse(site)].clone()
        except KeyError:
            sites = ", ".join(map(str, self.sites))
            raise SiteError(f"The vector {self.label!r} has no direction at '{site}'; it has: {sites}.") from None

    __getitem__ = direction_at

    def offset(self, site: str | Site) -> float:
        """What is taken from `x·v` in a reading at a site.

        Raises:
            SiteError: The vector has no direction there.
        """
        self.direction_at(site)
        return self._offsets.get(Site.parse(site), 0.0)

    def midpoint(self, site: str | Site) -> float:
        """The coefficient that a reading at a site shows as 0: `t/‖v‖²`.

        Raises:
            SiteError: The vector has no direction there.
            VectorError: It has an offset there, and length 0.
        """
        offset, squared = self.offset(site), self.direction_at(site).double().square().sum().item()
        if offset and not squared:
            raise VectorError(f"The vector {self.label!r} has length 0 at '{site}', so nothing can be read along it.")
        return offset / squared if offset else 0.0

    def at(self, site: str | Site) -> Vector:
        """The vector at one of its sites alone.

        Raises:
            SiteError: It has no direction there.
        """
        return Vector({site: self[site]}, self.label, {site: self.offset(site)}, self.provenance)

    def named(self, label: str) -> Vector:
        """The vector under another name; sums then keep it as one term."""
        return Vector(*self.content._replace(label=label))

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

    def project(self, onto: Vector) -> Vector:
        """What of it lies along another vector, at the sites that both have.

        Raises:
            VectorError: They share no site, are of different models, differ in width, or the other has no length.
        """
        return Vector(*arithmetic.projection(self, onto))

    def orthogonalise(self, *others: Vector) -> Vector:
        """What is left of it without what others span, at each of its sites; as it is where the others have none.

        Raises:
            VectorError: No other shares a site with it; they are of different models, differ in width or have no
                length; or nothing would be left.

        Example:
            >>> joy = Vector({"0.resid_post": torch.tensor([3.0, 4.0])}, "joy")
            >>> joy.orthogonalise(Vector({"0.resid_post": torch.tensor([0.0, 1.0])}, "calm"))["0.resid_post"]
            tensor([3., 0.])
        """
        return Vector(*arithmetic.orthogonalisation(self, others))

    def cosine(self, other: Vector) -> dict[Site, float]:
        """The cosine of the angle to another vector, at each site that both have.

        Raises:
            VectorError: They share no site, are of different models, differ in width, or one has no length.
        """
        return arithmetic.cosines(self, other)

    @classmethod
    def mean(cls, vectors: Sequence[Vector]) -> Vector:
        """The mean of vectors; one that has no direction at a site counts as zero there.

        Raises:
            VectorError: There are none; they are of different models, or differ in width.
        """
        return cls(*arithmetic.mean(vectors))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to a safetensors file, whole or not at all; see `steerkit.vectors.formats.native`.

        Raises:
            VectorError: The file cannot be written, or has another ending than `.safetensors`.
        """
        files.save(path, self.content)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, site: str | Site | None = None) -> Vector:
        """Read a file: steerkit's own, GGUF, `.svec` of activation-steering, torch's `.pt` or numpy's `.npy`.

        Formats are told by what is in the file, not by its name. Each is described in `steerkit.vectors.formats`.

        Args:
            path: The file.
            site: Where the tensor of a `.pt` or `.npy` file belongs that does not say it.

        Raises:
            VectorError: There is no such file, its format is not known, it is damaged or could run code, the site is
                missing or not its, or `gguf` is not installed.
            SiteError: A site that cannot be read.
        """
        return cls(*files.load(path, None if site is None else Site.parse(site)))

    def to_gguf(self, path: str | os.PathLike[str], *, model_type: str = "unknown") -> None:
        """Write a control vector that llama.cpp and repeng load, whole or not at all.

        Args:
            path: The file.
            model_type: `config.model_type` of the model, such as `llama`; repeng warns when those of two vectors that
                it combines differ.

        Raises:
            VectorError: It has a direction at layer 0, which llama.cpp cannot load, or at another site than a layer's
                output; the file cannot be written; or `gguf` is not installed.
        """
        files.save_gguf(path, self.content, model_type)

    @classmethod
    def from_gguf(cls, path: str | os.PathLike[str]) -> Vector:
        """Read a control vector, of steerkit's, llama.cpp's, repeng's or EasySteer's; `direction.N` is `N.resid_post`.

        Raises:
            VectorError: There is no such file, it is no GGUF file or damaged, or `gguf` is not installed.
        """
        return cls(*files.load_gguf(path))

    def __len__(self) -> int:
        return len(self._directions)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.sites)

    def __contains__(self, site: str | Site) -> bool:
        return Site.parse(site) in self._directions

    def norm(self, site: str | Site) -> float:
        """Euclidean length at a site, in units of the activation."""
        return self.direction_at(site).norm().item()

    def __add__(self, other: Vector) -> Vector:
        return self._plus(1.0, other)

    def __sub__(self, other: Vector) -> Vector:
        return self._plus(-1.0, other)

    def __mul__(self, factor: float) -> Vector:
        return Vector(*arithmetic.weighted_sum([(as_strength(factor, "factor"), self)]))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Vector:
        if as_strength(divisor, "divisor") == 0:
            raise VectorError(f"The vector {self.label!r} cannot be divided by 0.")
        return self * (1 / divisor)

    def __neg__(self) -> Vector:
        return self * -1.0

    def __eq__(self, other: object) -> bool:
        """Whether directions and offsets are the same, whatever their names."""
        return (
            isinstance(other, Vector)
            and self.sites == other.sites
            and all(torch.equal(self[site], other[site]) for site in self.sites)
            and all(self.offset(site) == other.offset(site) for site in self.sites)
        )

    def __hash__(self) -> int:
        return hash((self.sites, *(d.sum().item() for d in self._directions.values())))

    def __repr__(self) -> str:
        return f"Vector({self.label!r}, {', '.join(map(str, self.sites))})"

    def to_frame(self) -> pd.DataFrame:
        """One row a site: its width, norm and offset."""
        import pandas as pd

        rows = [
            {"site": str(site), "width": len(d), "norm": d.norm().item(), "offset": self.offset(site)}
            for site, d in self._directions.items()
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        rows = [[str(site), f"{self.norm(site):.4g}", f"{self.offset(site):.4g}"] for site in self]
        made = "" if self.provenance is None else pages.note(self.provenance.describe())
        return pages.fragment(pages.heading(self.label), made, pages.table(["site", "norm", "offset"], rows))

    def _plus(self, factor: float, other: Vector) -> Vector:
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(*arithmetic.weighted_sum([(1.0, self), (factor, other)]))


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


def _offset(site: str | Site, value: object) -> float:
    try:
        offset = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        offset = math.nan
    if not math.isfinite(offset):
        raise VectorError(f"The offset at '{site}' is {value!r}; it must be a finite number, in units of x·v.")
    return offset
