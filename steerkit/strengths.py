"""Strengths: finite numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from steerkit.errors import EditError


def as_strength(value: object, name: str = "strength") -> float:
    """A finite float.

    Raises:
        EditError: The value is no finite number.
    """
    try:
        strength = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise EditError(f"{name} {value!r} is not a number. Give a finite number, such as 2.0 or -0.5.") from None
    if isinstance(value, str) or not math.isfinite(strength):
        raise EditError(f"{name} {value!r} is not a finite number. Give one, such as 2.0 or -0.5.")
    return strength


def as_strengths(values: object) -> list[float]:
    """Finite floats, at least one.

    Raises:
        EditError: There is none, or one is no finite number.
    """
    strengths = [as_strength(value) for value in values] if isinstance(values, Iterable) else []
    if not strengths:
        raise EditError(f"strengths={values!r}: give a list of at least one strength, such as [-2, 0, 2].")
    return strengths
