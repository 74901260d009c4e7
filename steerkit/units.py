"""Units of strength, and how much of the one is how much of another.

| unit | a strength of 1 changes the coefficient by | needs |
|---|---|---|
| `raw` | 1 | |
| `max` | the feature's maximum activation | a calibration, or a published maximum |
| `residual` | 1 / length of the direction | |
| `norm` | mean norm of activations there / length of the direction | a calibration |

An edit in `norm` follows each token's own norm; converted, it stands for the mean over the calibration's corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerkit.errors import EditError

if TYPE_CHECKING:
    from steerkit.edits import Target

UNITS = ("raw", "max", "residual", "norm")
LENGTHS = ("residual", "norm")


def maximum(target: Target) -> float:
    """Maximum activation of a target.

    Raises:
        EditError: It is not known.
    """
    found = getattr(target, "max_activation", None)
    if found is None:
        raise EditError(
            f"The unit 'max' needs the maximum of {target.label!r}, which is not known. Calibrate its "
            "dictionary first (features.calibrate(model, texts)), or give the strength as unit='raw'."
        )
    return found


def factor(target: Target, unit: str, other: str) -> float:
    """What a strength in a unit is multiplied by to be in another.

    Raises:
        EditError: A calibration would be needed, or the two have no fixed relation.
    """
    if unit == other:
        return 1.0
    if (unit in LENGTHS) != (other in LENGTHS) and getattr(target, "follows_scale", False):
        raise EditError(
            f"{target.label!r} is written at each token's own scale, because its dictionary normalises, so "
            f"'{unit}' and '{other}' have no fixed relation. Keep the unit '{unit}'."
        )
    return _raw(target, unit) / _raw(target, other)


def _raw(target: Target, unit: str) -> float:
    """A strength of 1 in the unit, as a change of the coefficient."""
    if unit == "raw":
        return 1.0
    if unit == "max":
        return maximum(target)
    if len(target.sites) != 1:
        raise EditError(
            f"{target.label!r} is written at {len(target.sites)} sites, where '{unit}' means different strengths. "
            "Convert an edit of one site."
        )
    length = target.direction_at(target.sites[0]).norm().item()
    if not length:
        raise EditError(f"{target.label!r} has no length, so a strength in '{unit}' means nothing.")
    if unit == "residual":
        return 1 / length
    mean = getattr(target, "mean_norm", None)
    if mean is None:
        raise EditError(
            f"The unit 'norm' needs the mean norm of activations where {target.label!r} is written, which is not "
            "known. Calibrate its dictionary first (features.calibrate(model, texts)); vectors have none."
        )
    return mean / length
