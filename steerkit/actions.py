"""What a condition can do besides steering: end the text, or call a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from steerkit.conditions import Condition
from steerkit.errors import EditError


@dataclass(frozen=True)
class StopText:
    """End the text at the first new token at which a condition holds. That token is kept.

    Example:
        >>> import torch
        >>> from steerkit.vectors.vector import Vector
        >>> str(StopText(when=Vector({"0.resid_post": torch.ones(4)}, "joy") > 2))
        'stop the text when joy > 2'

    Raises:
        EditError: `when` is no condition.
    """

    when: Condition

    def __post_init__(self) -> None:
        _check(self.when)

    def describe(self) -> str:
        """What it does, as a sentence."""
        return f"Ends the text at the first new token where {self.when.describe()}."

    def __str__(self) -> str:
        return f"stop the text when {self.when}"


@dataclass(frozen=True)
class Call:
    """Call a function at every new token at which a condition holds.

    Attributes:
        function: Called with the row of the batch and the token's position in the new text. Models that run here only.
        when: The condition.

    Raises:
        EditError: `when` is no condition, or `function` cannot be called.
    """

    function: Callable[[int, int], object]
    when: Condition

    def __post_init__(self) -> None:
        _check(self.when)
        if not callable(self.function):
            raise EditError(f"function={self.function!r} cannot be called. Give a function of a row and a position.")

    @property
    def name(self) -> str:
        """Name of the function."""
        return getattr(self.function, "__name__", "a function")

    def describe(self) -> str:
        """What it does, as a sentence."""
        return f"Calls {self.name} at every new token where {self.when.describe()}."

    def __str__(self) -> str:
        return f"call {self.name} when {self.when}"


Action = StopText | Call


def _check(when: object) -> None:
    if not isinstance(when, Condition):
        raise EditError(f"when={when!r} is no condition. Make one by comparing, such as feature > 0.5.")
