"""Controls: what tells the effect of a direction from the effect of its length."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    from steerkit.edits import Edit


def random_control(edit: Edit, seed: int = 0) -> Edit:
    """The same edit of a random direction of the same length, at each site.

    Strengths in the unit `max` become raw ones of the same size, as a random direction has no maximum of its own.

    Args:
        edit: The edit.
        seed: Of the random direction.

    Example:
        >>> joy = Vector({"0.resid_post": torch.tensor([3.0, 4.0])}, "joy")
        >>> control = random_control(joy.add(2))
        >>> control.target.label, round(control.target.direction_at("0.resid_post").norm().item(), 4)
        ('random (joy)', 5.0)
    """
    generator = torch.Generator().manual_seed(seed)
    unit, times = edit.unit, 1.0
    if unit == "max":
        unit, times = "raw", getattr(edit.target, "max_activation", None) or 1.0
    directions = {}
    for site in edit.target.sites:
        direction = edit.target.direction_at(site)
        random = torch.randn(len(direction), generator=generator)
        directions[site] = random * (times * direction.norm() / random.norm())
    return dataclasses.replace(edit, target=Vector(directions, f"random ({edit.target.label})"), unit=unit)
