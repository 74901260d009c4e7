"""Sums, projections and angles of vectors, site by site.

A vector that has no direction at a site is zero there. Offsets go with their directions: what is read along
`a*v + b*w` is `x·(a*v + b*w) − (a*t + b*u)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.errors import VectorError
from steerkit.vectors.content import Content
from steerkit.vectors.provenance import Part, Provenance

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.sites import Site
    from steerkit.vectors.vector import Vector

SUM = "sum"
SHOWN = 4  # vectors that a label names; of more, it tells how many
NOTHING = 1e-6  # of a direction's length: what rounding to float32 leaves of one that lies in the span of others


def weighted_sum(terms: Sequence[tuple[float, Vector]]) -> Content:
    """Vectors, each so many times, added up. Sums among them are taken apart into their own terms.

    Raises:
        VectorError: They are of different models, or differ in width.
    """
    vectors = [vector for _, vector in terms]
    directions, offsets = _summed(terms)
    model = refuse_mixed(vectors)
    parts = tuple(part for factor, vector in terms for part in _parts(factor, vector))
    if len(parts) == 1 and parts[0].factor == 1:
        return Content(directions, parts[0].label, offsets, parts[0].provenance)
    return Content(directions, sum_label(parts), offsets, Provenance(SUM, *model, parts=parts))


def mean(vectors: Sequence[Vector]) -> Content:
    """The mean of vectors.

    Raises:
        VectorError: There are none; they are of different models, or differ in width.
    """
    if not vectors:
        raise VectorError("A mean needs at least one vector, such as Vector.mean([joy, calm]).")
    share = 1 / len(vectors)
    directions, offsets = _summed([(share, vector) for vector in vectors])
    parts = tuple(Part(share, vector.label, vector.provenance) for vector in vectors)
    provenance = Provenance("mean", *refuse_mixed(vectors), parts=parts)
    return Content(directions, f"mean of {_listed(vectors)}", offsets, provenance)


def projection(vector: Vector, onto: Vector) -> Content:
    """What of a vector lies along another, at the sites that both have.

    Raises:
        VectorError: They share no site, are of different models, differ in width, or the other has no length.
    """
    model = refuse_mixed([vector, onto])
    directions, offsets = {}, {}
    for site in shared_sites(vector, onto):
        share = _shares(vector, [onto], site).item()
        directions[site], offsets[site] = share * onto[site], share * onto.offset(site)
    parts = (Part(1.0, vector.label, vector.provenance), Part(1.0, onto.label, onto.provenance))
    provenance = Provenance("projection", *model, parts=parts)
    return Content(directions, f"{vector.label} along {onto.label}", offsets, provenance)


def orthogonalisation(vector: Vector, others: Sequence[Vector]) -> Content:
    """What of a vector is left when all that others span is taken out of it, at each of its sites.

    Raises:
        VectorError: There are no others or none shares a site with it; they are of different models, differ in width,
            have no length, or nothing is left.
    """
    model = refuse_mixed([vector, *others])
    if not any(site in other for other in others for site in vector):
        raise VectorError(
            f"{vector.label!r} has sites {_sites(vector)}, and none of the others has one of them. "
            "Give at least one vector with a direction there."
        )
    directions, offsets = {}, {}
    for site in vector:
        here = [other for other in others if site in other]
        shares = _shares(vector, here, site)
        whole = vector[site].double()
        left = whole - shares @ _stacked(here, site) if here else whole
        if here and left.norm() <= NOTHING * whole.norm():
            raise VectorError(
                f"At '{site}' {vector.label!r} lies in what {_listed(here)} span, so nothing of it would be left."
            )
        taken = sum(share * other.offset(site) for share, other in zip(shares.tolist(), here, strict=True))
        directions[site], offsets[site] = left.float(), vector.offset(site) - taken
    parts = tuple(Part(1.0, one.label, one.provenance) for one in (vector, *others))
    provenance = Provenance("orthogonalisation", *model, parts=parts)
    return Content(directions, f"{vector.label} without {_listed(others)}", offsets, provenance)


def cosines(vector: Vector, other: Vector) -> dict[Site, float]:
    """The cosine of the angle between two vectors, at the sites that both have.

    Raises:
        VectorError: They share no site, are of different models, differ in width, or one has no length.
    """
    refuse_mixed([vector, other])
    found = {}
    for site in shared_sites(vector, other):
        a, b = (one / one.norm() for one in _stacked([vector, other], site))
        found[site] = (a @ b).clamp(-1, 1).item()
    return found


def sum_label(parts: Sequence[Part]) -> str:
    """How a sum is written, such as `joy - 0.5*anger`."""
    written = ""
    for part in parts[:SHOWN]:
        sign, times = "-" if part.factor < 0 else "+", abs(part.factor)
        name = f"({part.label})" if " " in part.label else part.label
        term = name if times == 1 else f"{times:g}*{name}"
        written += f" {sign} {term}" if written else f"{sign if sign == '-' else ''}{term}"
    return written if len(parts) <= SHOWN else f"{written} + … ({len(parts)} terms)"


def refuse_mixed(vectors: Sequence[Vector]) -> tuple[str | None, str | None]:
    """The model of vectors and its revision, as far as they are known.

    Raises:
        VectorError: They are of different models, or of different revisions of one.
    """
    known = [(vector.label, vector.provenance) for vector in vectors if vector.provenance is not None]
    found: list[str | None] = []
    for name in ("model", "revision"):
        values = {getattr(provenance, name): label for label, provenance in known if getattr(provenance, name)}
        if len(values) > 1:
            (one, label), (other, other_label), *_ = values.items()
            raise VectorError(
                f"{label!r} is of the {name} {one!r} and {other_label!r} of {other!r}: directions of mixed models "
                "mean nothing together. Learn both in one model."
            )
        found.append(next(iter(values), None))
    return found[0], found[1]


def shared_sites(vector: Vector, other: Vector) -> list[Site]:
    """The sites at which both have a direction.

    Raises:
        VectorError: There is none.
    """
    shared = [site for site in vector if site in other]
    if not shared:
        raise VectorError(
            f"{vector.label!r} and {other.label!r} share no site: they have {_sites(vector)}, and {_sites(other)}."
        )
    return shared


def _summed(terms: Sequence[tuple[float, Vector]]) -> tuple[dict[Site, Float[Tensor, " width"]], dict[Site, float]]:
    directions: dict[Site, Tensor] = {}
    offsets: dict[Site, float] = {}
    for factor, vector in terms:
        for site in vector:
            term, before = factor * vector[site], directions.get(site)
            if before is not None and len(before) != len(term):
                raise _unequal_width(terms[0][1], vector, site, len(before), len(term))
            directions[site] = term if before is None else before + term
            offsets[site] = offsets.get(site, 0.0) + factor * vector.offset(site)
    return directions, offsets


def _parts(factor: float, vector: Vector) -> tuple[Part, ...]:
    """A term's own terms if it is a sum that nobody has named, else the term."""
    made = vector.provenance
    if made is not None and made.method == SUM and vector.label == sum_label(made.parts):
        return tuple(Part(factor * part.factor, part.label, part.provenance) for part in made.parts)
    return (Part(factor, vector.label, made),)


def _shares(vector: Vector, others: Sequence[Vector], site: Site) -> Float[Tensor, " others"]:
    """How many times each of the others is in a vector, by least squares."""
    if not others:
        return torch.zeros(0, dtype=torch.float64)
    directions = _stacked([vector, *others], site)
    lengths = directions[1:].norm(dim=-1)
    units = (directions[1:] / lengths[:, None]).T
    # the others may depend on each other, up to rounding
    return torch.linalg.lstsq(units, directions[:1].T, rcond=NOTHING, driver="gelsd").solution[:, 0] / lengths


def _stacked(vectors: Sequence[Vector], site: Site) -> Float[Tensor, "vectors width"]:
    """Directions at a site in float64, all of one width and none without length."""
    for vector in vectors:
        if len(vector[site]) != len(vectors[0][site]):
            raise _unequal_width(vectors[0], vector, site, len(vectors[0][site]), len(vector[site]))
        if not vector[site].any():
            raise VectorError(f"{vector.label!r} has length 0 at '{site}', so it points nowhere. Leave the site out.")
    return torch.stack([vector[site] for vector in vectors]).double()


def _unequal_width(vector: Vector, other: Vector, site: Site, width: int, others: int) -> VectorError:
    return VectorError(
        f"{vector.label!r} and {other.label!r} differ in width at '{site}': {width} and {others}. "
        "They were made for different models."
    )


def _listed(vectors: Sequence[Vector]) -> str:
    named = ", ".join(vector.label for vector in vectors[:SHOWN])
    return named if len(vectors) <= SHOWN else f"{named}, … ({len(vectors)} vectors)"


def _sites(vector: Vector) -> str:
    return ", ".join(map(str, vector))
