"""Edits that cannot act together, refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.conditions import Not
from steerkit.edits import Edit
from steerkit.errors import EditError
from steerkit.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.edits import Target

# Cosine Gram matrices with a smaller eigenvalue count as linearly dependent: float32 cannot tell them apart.
DEPENDENT = 1e-6


def refuse_twice(site: Site, targets: Sequence[Target], edits: Sequence[Edit]) -> None:
    """Refuse two edits that ask for different values of one feature.

    Raises:
        EditError: Two do.
    """
    for i, first in enumerate(edits):
        for target, second in list(zip(targets, edits, strict=True))[i + 1 :]:
            if targets[i] == target and together(first, second):
                raise EditError(
                    f"At '{site}' two edits ask for different values of one feature on the same tokens: {first}; "
                    f"{second}. Keep one of them, or let them act on different tokens."
                )


def refuse_dependent(site: Site, edits: Sequence[Edit], directions: Float[Tensor, "edits width"]) -> None:
    """Refuse edits that ask for different values of directions that depend on each other.

    Raises:
        EditError: Some do.
    """
    for first in edits:
        joint = [i for i, edit in enumerate(edits) if edit is first or together(first, edit)]
        if len(joint) < 2:
            continue
        units = torch.nn.functional.normalize(directions[joint].double(), dim=-1)
        smallest, vectors = torch.linalg.eigh(units @ units.T)
        if smallest[0] < DEPENDENT:
            share = vectors[:, 0].abs()
            named = dict.fromkeys(str(edits[i]) for i, part in zip(joint, share.tolist(), strict=True) if part > 0.1)
            raise EditError(
                f"At '{site}' these edits ask for different values of directions that depend on each other: "
                f"{'; '.join(named)}. Keep one of them, or let them act on different tokens."
            )


def refuse_wholes(edits: Sequence[tuple[Site, Edit]]) -> None:
    """Refuse two edits of whole dictionaries at one site.

    Raises:
        EditError: There are two.
    """
    on = [(site, edit) for site, edit in edits if edit.enabled]
    for i, (site, edit) in enumerate(on):
        for other_site, other in on[:i]:
            if site == other_site:
                raise EditError(f"'{site}' takes one edit of a whole dictionary; here are {other}; {edit}. Keep one.")


def together(first: Edit, second: Edit) -> bool:
    """Whether two edits may both decide what a coefficient becomes at some token."""
    if "add" in (first.operator, second.operator) or not (first.enabled and second.enabled):
        return False
    if first.when is not None and second.when is not None and (_opposite(first, second) or _opposite(second, first)):
        return False
    return first.where.overlaps(second.where)


def _opposite(first: Edit, second: Edit) -> bool:
    return isinstance(first.when, Not) and first.when.condition == second.when
