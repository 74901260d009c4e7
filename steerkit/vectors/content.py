"""What a vector is made of, on its way from arithmetic, and from and to a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from steerkit.records import checked
from steerkit.sites import Site
from steerkit.vectors.provenance import Provenance

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.records import Record


class Content(NamedTuple):
    """The arguments of `Vector`, in their order."""

    directions: Mapping[Site, Float[Tensor, " width"]]
    label: str
    offsets: Mapping[Site, float]
    provenance: Provenance | None

    def annotations(self) -> dict[str, Any]:
        """All but the directions, as an object of JSON: label, offsets where not 0, and provenance if known."""
        said: dict[str, Any] = {"label": self.label}
        if offsets := {str(site): offset for site, offset in self.offsets.items() if offset}:
            said["offsets"] = offsets
        if self.provenance is not None:
            said["provenance"] = self.provenance.to_record()
        return said

    @classmethod
    def annotated(cls, directions: Mapping[Site, Float[Tensor, " width"]], record: Record) -> Content:
        """Directions with what `annotations` said about them.

        Raises:
            PlanError: The record is damaged.
            SiteError: An offset is at what is no site.
        """
        made = record.record("provenance")
        offsets = record.take("offsets", dict, {})
        content = cls(
            directions,
            record.take("label", str),
            {Site.parse(site): float(checked(offsets[site], float, f"The offset at {site}")) for site in offsets},
            None if made is None else Provenance.read(made),
        )
        record.done()
        return content
