"""When an edit acts: conditions on coefficients, as frozen data.

Made by comparing, `feature > 0.5`, `vector <= 2`, `vector.cast() > 0.1`, and combined with `&`, `|` and `~`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from steerkit.errors import EditError
from steerkit.strengths import as_strength

if TYPE_CHECKING:
    from steerkit.edits import Target

RELATIONS = (">", ">=", "<", "<=")
READINGS = ("coefficient", "cast")
NO_TRUTH = (
    "A condition such as '{}' has no truth value before a model runs. Combine conditions with & | ~ in place of "
    "and, or, not, and give them to an edit: vector.add(2, when=condition)."
)


class Condition(ABC):
    """A condition on what is read at a token, before any edit at the site where it is read."""

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other) if isinstance(other, Condition) else NotImplemented

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other) if isinstance(other, Condition) else NotImplemented

    def __invert__(self) -> Condition:
        return Not(self)

    def __bool__(self) -> bool:
        raise EditError(NO_TRUTH.format(self))

    def in_prompt(self) -> Condition:
        """The same at any token of the prompt, special ones left out: one answer for the whole text."""
        return InPrompt(self)

    def so_far(self) -> Condition:
        """The same at any token up to this one, special ones left out.

        Where what it reads lies deeper than the edit writes, up to the token before.
        """
        return SoFar(self)

    @abstractmethod
    def describe(self) -> str:
        """The condition in plain words, such as `'night' > 0.5 and not 'rain' > 1`."""

    @property
    def parts(self) -> tuple[Condition, ...]:
        """The conditions that it is made of."""
        return ()

    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison in it."""
        if isinstance(self, Comparison):
            yield self
        for part in self.parts:
            yield from part.comparisons()


@dataclass(frozen=True)
class Comparison(Condition):
    """A coefficient set beside a number.

    Attributes:
        target: What is read.
        relation: `>`, `>=`, `<` or `<=`.
        threshold: The number, in the target's own units; a cosine for `cast`.
        reading: `coefficient`: the target's at this token. `cast`: see `Cast`; one answer for the whole text.

    Raises:
        EditError: A threshold that is no finite number.
    """

    target: Target
    relation: str
    threshold: float
    reading: str = "coefficient"

    def __post_init__(self) -> None:
        if self.relation not in RELATIONS or self.reading not in READINGS:
            raise EditError(f"A condition reads {' or '.join(READINGS)} and compares by {', '.join(RELATIONS)}.")
        object.__setattr__(self, "threshold", as_strength(self.threshold, "threshold"))

    @override
    def describe(self) -> str:
        read = f"'{self.target.label}'"
        return f"{read if self.reading == 'coefficient' else f'CAST of {read}'} {self.relation} {self.threshold:g}"

    def __str__(self) -> str:
        read = self.target.label if self.reading == "coefficient" else f"cast({self.target.label})"
        return f"{read} {self.relation} {self.threshold:g}"


@dataclass(frozen=True)
class Cast:
    """What CAST reads of a prompt along a direction `v`: the cosine of `h` and `tanh(P h)`, one number a text.

    `P = v vᵀ / (v·v)` projects onto `v`; `h` is the mean activation over the prompt's tokens, special ones included.
    Compare it with a threshold to get a condition. (Lee et al. 2024, "Programming Refusal with Conditional Activation
    Steering"; its package calls `larger` what fires below the threshold.)
    """

    target: Target

    def __gt__(self, threshold: float) -> Comparison:
        return Comparison(self.target, ">", threshold, "cast")

    def __ge__(self, threshold: float) -> Comparison:
        return Comparison(self.target, ">=", threshold, "cast")

    def __lt__(self, threshold: float) -> Comparison:
        return Comparison(self.target, "<", threshold, "cast")

    def __le__(self, threshold: float) -> Comparison:
        return Comparison(self.target, "<=", threshold, "cast")


@dataclass(frozen=True)
class Both(Condition):
    """Two conditions at once."""

    first: Condition
    second: Condition

    @property
    @override
    def parts(self) -> tuple[Condition, ...]:
        return self.first, self.second

    @override
    def describe(self) -> str:
        return f"{_bracketed(self.first)} and {_bracketed(self.second)}"

    def __str__(self) -> str:
        return f"({self.first} & {self.second})"


@dataclass(frozen=True)
class Either(Condition):
    """One of two conditions, or both."""

    first: Condition
    second: Condition

    @property
    @override
    def parts(self) -> tuple[Condition, ...]:
        return self.first, self.second

    @override
    def describe(self) -> str:
        return f"{_bracketed(self.first)} or {_bracketed(self.second)}"

    def __str__(self) -> str:
        return f"({self.first} | {self.second})"


@dataclass(frozen=True)
class Not(Condition):
    """The opposite of a condition."""

    condition: Condition

    @property
    @override
    def parts(self) -> tuple[Condition, ...]:
        return (self.condition,)

    @override
    def describe(self) -> str:
        return f"not {_bracketed(self.condition)}"

    def __str__(self) -> str:
        return f"~({self.condition})"


@dataclass(frozen=True)
class InPrompt(Condition):
    """A condition at any token of the prompt. See `Condition.in_prompt`."""

    condition: Condition

    def __post_init__(self) -> None:
        _refuse_nested(self.condition)

    @property
    @override
    def parts(self) -> tuple[Condition, ...]:
        return (self.condition,)

    @override
    def describe(self) -> str:
        return f"{_bracketed(self.condition)} at any token of the prompt"

    def __str__(self) -> str:
        return f"({self.condition}).in_prompt()"


@dataclass(frozen=True)
class SoFar(Condition):
    """A condition at any token up to this one. See `Condition.so_far`."""

    condition: Condition

    def __post_init__(self) -> None:
        _refuse_nested(self.condition)

    @property
    @override
    def parts(self) -> tuple[Condition, ...]:
        return (self.condition,)

    @override
    def describe(self) -> str:
        return f"{_bracketed(self.condition)} at any token so far"

    def __str__(self) -> str:
        return f"({self.condition}).so_far()"


def _bracketed(condition: Condition) -> str:
    return condition.describe() if isinstance(condition, Comparison | Not) else f"({condition.describe()})"


def _refuse_nested(condition: Condition) -> None:
    if isinstance(condition, InPrompt | SoFar):
        raise EditError(f"{condition} already speaks of several tokens. Use in_prompt() or so_far() once.")
    for part in condition.parts:
        _refuse_nested(part)
