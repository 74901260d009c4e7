"""Edits: frozen data that say what steering does.

An edit reads a coefficient along its target, changes it by an operator, and writes the difference back.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from steerkit.conditions import Cast, Comparison, Condition
from steerkit.errors import EditError
from steerkit.operators import OPERATORS, PAIRED, WITHOUT_STRENGTH, WITHOUT_UNIT, registered
from steerkit.strengths import as_strength
from steerkit.top_tokens import TopTokens, Unembedding, top_tokens
from steerkit.units import UNITS, factor
from steerkit.where import EVERYWHERE, Where, listed

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.sites import Site

SENTENCES = {
    "add": "Adds {amount} to {target}",
    "set": "Sets {target} to {amount}",
    "at_least": "Raises {target} to {amount} where it is lower",
    "at_most": "Lowers {target} to {amount} where it is higher",
    "cap": "Keeps {target} between {low} and {amount}",
    "scale": "Multiplies {target} by {amount}",
    "ablate": "Takes {target} out",
    "move_to": "Moves {target} to {other}",
    "rotate": "Turns {target} by {amount}° towards {other}",
}
AMOUNTS = {
    "raw": "{:g}",
    "max": "{:g} × its maximum",
    "residual": "a length of {:g}",
    "norm": "{:g} × each token's norm",
}


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

    def direction_at(self, site: Site) -> Float[Tensor, " width"]:
        """The direction along which it is written, at full length."""
        ...


@dataclass(frozen=True)
class Edit:
    """One change of one coefficient.

    With `c` the coefficient read at a token, the operators make it: `add` c + strength, `set` strength, `at_least`
    max(c, strength), `at_most` min(c, strength), `cap` c between `low` and strength, `scale` strength * c, `ablate` 0,
    `move_to` 0, and c more of `other`. The activation becomes `x + (c' - c) * direction`. `rotate` turns the part of
    the activation that lies in the plane of target and `other` by strength degrees, from the target towards `other`.

    Attributes:
        target: What is steered.
        operator: One of those, or the name of a registered one.
        strength: A finite number. Ignored by `ablate` and `move_to`.
        unit: `raw`: multiples of the target's direction as it stands. `max`: multiples of the feature's maximum
            activation, published or calibrated. `residual`: length of what is written, in units
            of the activation. `norm`: the same as a fraction of each token's own activation norm.
        where: The tokens on which it acts.
        when: The condition under which it acts; None for always.
        enabled: Whether it acts at all.
        direct: Whether what it writes stays. If not, it is taken out of the stream again at the last layer's output, so
            that it acts on what the layers above make of it alone (Goodfire's `cleanup_intervention_layer`).
        low: The lower bound of `cap`, in the same unit.
        other: The second target of `move_to` and `rotate`.

    Raises:
        EditError: A strength, unit or operator that means nothing.
    """

    target: Target
    operator: str
    strength: float = 0.0
    unit: str = "raw"
    where: Where = EVERYWHERE
    when: Condition | None = None
    enabled: bool = True
    direct: bool = True
    low: float | None = None
    other: Target | None = None

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            registered(self.operator)
        if self.unit not in UNITS:
            raise EditError(f"{self.unit!r} is no unit of strength; units are {', '.join(UNITS)}.")
        if self.operator in WITHOUT_UNIT and self.unit != "raw":
            raise EditError(f"'{self.operator}' has no unit; leave unit='{self.unit}' away.")
        if not isinstance(self.where, Where):
            raise EditError(
                f"where={self.where!r} is no choice of tokens. Make one, such as Where(prompt=False). A condition goes "
                "to when=."
            )
        if self.when is not None and not isinstance(self.when, Condition):
            raise EditError(f"when={self.when!r} is no condition. Make one by comparing, such as feature > 0.5.")
        object.__setattr__(self, "strength", as_strength(self.strength))
        if (self.low is not None) != (self.operator == "cap"):
            raise EditError(f"low={self.low!r}: 'cap' has a lower bound, and no other operator has.")
        if self.low is not None:
            object.__setattr__(self, "low", as_strength(self.low, "low"))
            if self.low > self.strength:
                raise EditError(f"'cap' from {self.low:g} to {self.strength:g} leaves nothing between its bounds.")
        if (self.other is not None) != (self.operator in PAIRED):
            raise EditError(f"other={self.other!r}: {' and '.join(PAIRED)} have a second target, and no other has.")
        if self.other is not None and not isinstance(self.other, Target):
            raise EditError(f"other={self.other!r} cannot be steered. Give a vector or a feature.")
        if self.other is not None and self.other == self.target:
            raise EditError(f"'{self.operator}' needs two targets; got {self.target.label!r} twice.")

    def with_strength(self, strength: float) -> Edit:
        """The same edit at another strength."""
        return dataclasses.replace(self, strength=strength)

    def in_unit(self, unit: str) -> Edit:
        """The same edit with its strength in another unit; see `steerkit.units`.

        Between `norm` and the others that holds for a token of mean norm.

        Raises:
            EditError: A calibration would be needed, or the operator has no unit.
        """
        converted = dataclasses.replace(self, unit=unit)  # refused where the operator has none
        times = factor(self.target, self.unit, unit)
        low = None if self.low is None else self.low * times
        return dataclasses.replace(converted, strength=self.strength * times, low=low)

    def describe(self) -> str:
        """What it does, as a sentence.

        Raises:
            DictionaryError: Its feature's dictionary does not say where it belongs.

        Example:
            >>> import torch
            >>> from steerkit.vectors.vector import Vector
            >>> joy = Vector({"3.resid_post": torch.ones(4)}, "joy")
            >>> joy.add(8, where=Where(prompt=False, decay=0.9), when=joy > 0.5).describe()
            "Adds 8 to 'joy' at 3.resid_post on new tokens only, where 'joy' > 0.5; fading by 0.9 a token."
        """
        sentence = SENTENCES.get(self.operator, f"Applies {self.operator} by {{amount}} to {{target}}").format(
            amount=AMOUNTS[self.unit].format(self.strength),
            low="" if self.low is None else AMOUNTS[self.unit].format(self.low),
            target=f"'{self.target.label}'",
            other="" if self.other is None else f"'{self.other.label}'",
        )
        tokens, fades, fading = self.where.describe().partition("; ")
        when = "" if self.when is None else f", where {self.when.describe()}"
        cleaned = "" if self.direct else "; taken out again at the last layer's output"
        off = "" if self.enabled else " It is off."
        return f"{sentence} at {listed(self.target.sites)} on {tokens}{when}{fades}{fading}{cleaned}.{off}"

    def __str__(self) -> str:
        amount = "" if self.operator in WITHOUT_STRENGTH else f" {self.strength:+.4g}"
        if self.operator == "cap":
            amount = f" {self.low:+.4g} to{amount}"
        other = "" if self.other is None else f" {'to' if self.operator == 'move_to' else 'towards'} {self.other.label}"
        verb = "move" if self.operator == "move_to" else self.operator
        unit = "" if self.unit == "raw" else f" {self.unit}"
        when = "" if self.when is None else f" when {self.when}"
        return f"{verb} {self.target.label}{other}{amount}{unit}{when}" + ("" if self.enabled else " (off)")


class Steerable:
    """The verbs of a `Target`: each makes an edit of it, or a condition on it.

    They share these arguments:
        unit: Unit of the strength; see `Edit`.
        where: The tokens on which it acts.
        when: The condition under which it acts, such as `feature > 0.5`.
        direct: False takes what it writes out of the stream again at the last layer's output; see `Edit`.
    """

    def add(
        self: Target,
        strength: float,
        unit: str = "raw",
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: add `strength` to the coefficient."""
        return Edit(self, "add", strength, unit, where, when, direct=direct)

    def set(
        self: Target,
        strength: float,
        unit: str = "raw",
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: make the coefficient `strength`."""
        return Edit(self, "set", strength, unit, where, when, direct=direct)

    def at_least(
        self: Target,
        strength: float,
        unit: str = "raw",
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: raise the coefficient to `strength` where it is lower."""
        return Edit(self, "at_least", strength, unit, where, when, direct=direct)

    def at_most(
        self: Target,
        strength: float,
        unit: str = "raw",
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: lower the coefficient to `strength` where it is higher."""
        return Edit(self, "at_most", strength, unit, where, when, direct=direct)

    def cap(
        self: Target,
        low: float,
        high: float,
        unit: str = "raw",
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: keep the coefficient between two bounds."""
        return Edit(self, "cap", high, unit, where, when, direct=direct, low=low)

    def scale(
        self: Target, factor: float, where: Where = EVERYWHERE, when: Condition | None = None, *, direct: bool = True
    ) -> Edit:
        """Edit: multiply the coefficient by `factor`."""
        return Edit(self, "scale", factor, where=where, when=when, direct=direct)

    def ablate(self: Target, where: Where = EVERYWHERE, when: Condition | None = None, *, direct: bool = True) -> Edit:
        """Edit: make the coefficient 0, taking what is there out of the activation."""
        return Edit(self, "ablate", where=where, when=when, direct=direct)

    def move_to(
        self: Target, other: Target, where: Where = EVERYWHERE, when: Condition | None = None, *, direct: bool = True
    ) -> Edit:
        """Edit: make the coefficient 0, and the coefficient of `other` larger by what it was.

        `other` is written at the same site: another vector there, or another feature of the same dictionary.
        """
        return Edit(self, "move_to", where=where, when=when, direct=direct, other=other)

    def apply(
        self: Target,
        operator: str,
        strength: float = 0.0,
        unit: str = "raw",
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        direct: bool = True,
    ) -> Edit:
        """Edit: change the coefficient by an operator of your own; see `register_operator`."""
        return Edit(self, operator, strength, unit, where, when, direct=direct)

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

    def __gt__(self: Target, threshold: float) -> Comparison:
        return Comparison(self, ">", threshold)

    def __ge__(self: Target, threshold: float) -> Comparison:
        return Comparison(self, ">=", threshold)

    def __lt__(self: Target, threshold: float) -> Comparison:
        return Comparison(self, "<", threshold)

    def __le__(self: Target, threshold: float) -> Comparison:
        return Comparison(self, "<=", threshold)

    def cast(self: Target) -> Cast:
        """What CAST reads of a prompt along this direction; compare it to get a condition."""
        return Cast(self)
