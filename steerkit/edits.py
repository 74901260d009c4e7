"""Edits and plans: frozen data that say what steering does.

An edit reads a coefficient along its target, changes it by an operator, and writes the difference back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from steerkit.errors import EditError
from steerkit.top_tokens import TopTokens, Unembedding, top_tokens
from steerkit.units import UNITS, factor

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.sites import Site

OPERATORS = ("add", "set", "scale", "ablate")
UNITLESS = ("scale", "ablate")


@runtime_checkable
class Target(Protocol):
    """What an edit acts on: a label, and one direction a site."""

    @property
    def label(self) -> str:
        """Name shown to people."""
        ...

    @property
    def sites(self) -> tuple[Site, ...]:
        """Sites at which it is written."""
        ...

    def direction(self, site: Site) -> Float[Tensor, " width"]:
        """The direction along which it is written, at full length."""
        ...


@dataclass(frozen=True)
class Where:
    """The tokens on which an edit acts.

    Attributes:
        prompt: Act on the prompt's tokens.
        generated: Act on the positions of new tokens. The first new token is predicted at the prompt's last position.
        special: Act on special tokens too (beginning of sequence, the chat template's). Padding is never touched.

    Raises:
        EditError: Neither prompt nor generated tokens are left.
    """

    prompt: bool = True
    generated: bool = True
    special: bool = False

    def __post_init__(self) -> None:
        if not (self.prompt or self.generated):
            raise EditError("Where(prompt=False, generated=False) leaves no token. Set at least one of them to True.")


EVERYWHERE = Where()


@dataclass(frozen=True)
class Edit:
    """One change of one coefficient.

    With `c` the coefficient read at a token, the operators make it: `add` c + strength, `set` strength, `scale`
    strength * c, `ablate` 0. The activation becomes `x + (c' - c) * direction`.

    Attributes:
        target: What is steered.
        operator: One of `add`, `set`, `scale`, `ablate`.
        strength: A finite number. Ignored by `ablate`.
        unit: `raw`: multiples of the target's direction as it stands. `max`: multiples of the feature's maximum
            activation, published or calibrated. `residual`: length of what is written, in units
            of the activation. `norm`: the same as a fraction of each token's own activation norm.
        where: The tokens on which it acts.
        enabled: Whether it acts at all.

    Raises:
        EditError: A strength, unit or operator that means nothing.
    """

    target: Target
    operator: str
    strength: float = 0.0
    unit: str = "raw"
    where: Where = EVERYWHERE
    enabled: bool = True

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise EditError(f"{self.operator!r} is no operator; operators are {', '.join(OPERATORS)}.")
        if self.unit not in UNITS:
            raise EditError(f"{self.unit!r} is no unit of strength; units are {', '.join(UNITS)}.")
        if self.operator in UNITLESS and self.unit != "raw":
            raise EditError(f"'{self.operator}' has no unit; leave unit='{self.unit}' away.")
        object.__setattr__(self, "strength", as_strength(self.strength))

    def with_strength(self, strength: float) -> Edit:
        """The same edit at another strength."""
        return dataclasses.replace(self, strength=strength)

    def in_unit(self, unit: str) -> Edit:
        """The same edit with its strength in another unit; see `steerkit.units`.

        Between `norm` and the others that holds for a token of mean norm.

        Raises:
            EditError: A calibration would be needed, or the operator has no unit.
        """
        converted = dataclasses.replace(self, unit=unit)
        return converted.with_strength(self.strength * factor(self.target, self.unit, unit))

    def __str__(self) -> str:
        amount = "" if self.operator == "ablate" else f" {self.strength:+.4g}"
        unit = "" if self.unit == "raw" else f" {self.unit}"
        return f"{self.operator} {self.target.label}{amount}{unit}" + ("" if self.enabled else " (off)")


class Steerable:
    """The verbs of a `Target`."""

    def add(self: Target, strength: float, unit: str = "raw", where: Where = EVERYWHERE) -> Edit:
        """Edit: add `strength` to the coefficient."""
        return Edit(self, "add", strength, unit, where)

    def set(self: Target, strength: float, unit: str = "raw", where: Where = EVERYWHERE) -> Edit:
        """Edit: make the coefficient `strength`."""
        return Edit(self, "set", strength, unit, where)

    def scale(self: Target, factor: float, where: Where = EVERYWHERE) -> Edit:
        """Edit: multiply the coefficient by `factor`."""
        return Edit(self, "scale", factor, where=where)

    def ablate(self: Target, where: Where = EVERYWHERE) -> Edit:
        """Edit: make the coefficient 0, taking what is there out of the activation."""
        return Edit(self, "ablate", where=where)

    def top_tokens(self: Target, model: Unembedding, k: int = 10, site: str | Site | None = None) -> TopTokens:
        """The tokens whose logits one of its direction raises and lowers most, past all later layers.

        `W_U (γ ⊙ u)` with the final norm's gain γ, the norm's denominator held; see `steerkit.top_tokens`.

        Args:
            model: The model.
            k: How many of each.
            site: Needed where it is written at several.

        Raises:
            SiteError: It is written at several sites and none is named, or not into the residual stream.
            VectorError: It is of another width than the model's residual stream.
            ModelError: The model's final norm is not known.
        """
        return top_tokens(self, model, k, site)


EditsLike: TypeAlias = "Plan | Edit | Iterable[Edit]"


@dataclass(frozen=True)
class Plan:
    """Edits that act together. Their order is for display; it never changes what they do.

    Raises:
        EditError: Something in it is no edit.
    """

    edits: tuple[Edit, ...] = ()

    def __init__(self, edits: EditsLike = ()) -> None:
        if isinstance(edits, Edit):
            edits = (edits,)
        edits = tuple(edits) if isinstance(edits, Iterable) else (edits,)
        for edit in edits:
            if not isinstance(edit, Edit):
                raise EditError(f"{edit!r} is no edit. Make one from a vector, such as vector.add(2).")
        object.__setattr__(self, "edits", edits)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.edits)

    def __len__(self) -> int:
        return len(self.edits)

    def __getitem__(self, index: int) -> Edit:
        return self.edits[index]

    def __str__(self) -> str:
        return ", ".join(map(str, self.edits)) or "no edits"


def as_strength(value: object) -> float:
    """A finite float.

    Raises:
        EditError: The value is no finite number.
    """
    try:
        strength = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise EditError(f"strength {value!r} is not a number. Give a finite number, such as 2.0 or -0.5.") from None
    if isinstance(value, str) or not math.isfinite(strength):
        raise EditError(f"strength {value!r} is not a finite number. Give one, such as 2.0 or -0.5.")
    return strength
