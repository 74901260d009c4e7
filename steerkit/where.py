"""Where an edit acts: a choice of tokens, as frozen data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Real
from typing import TypeAlias

from steerkit.counts import whole
from steerkit.errors import EditError

# From start to stop, stop not included; None is an open end. Negative numbers count from the prompt's end, and so does
# a stop of 0 after them.
Window: TypeAlias = tuple[int | None, int | None]
PositionsLike: TypeAlias = "int | slice | range | Iterable[int | slice | Window]"


# Of a position, either way: positions are compared as 64-bit numbers.
FARTHEST = 2**31


@dataclass(frozen=True)
class Where:
    """The tokens on which an edit acts.

    `prompt`, `generated` and `last_prompt` choose kinds of tokens; the other fields narrow the choice, each on its own;
    what `last_prompt=False`, `not_tokens` and `special=False` leave out stays out whatever else is asked for. Padding
    is never touched.

    Attributes:
        prompt: Act on the prompt's tokens.
        generated: Act on new tokens, each at its own position. The first new token is predicted at the prompt's last.
        last_prompt: True adds the prompt's last position to the choice, False takes it out.
        positions: Positions in the text, from 0 (a beginning-of-sequence token counts); negative ones count from the
            prompt's end, so that -1 is its last. Whole numbers, ranges and slices: `[0, -1]`, `slice(4)`,
            `slice(-3, None)`; a slice that starts at a negative number and stops at 0 stops where the prompt does.
        new_positions: Positions in the new text, from 0: `slice(5)` is its first five tokens. The prompt's tokens are
            chosen as without it; `prompt=False` leaves them out.
        roles: Roles of chat messages. New tokens belong to the assistant.
        messages: Indices of chat messages; negative ones count from the last. New tokens follow the last.
        tokens: Ids of tokens; None for all.
        not_tokens: Ids of tokens that are left out.
        special: Act on special tokens too (beginning of sequence, the chat template's).
        decay: What the change is multiplied by at each further new token, from the second on; 1 keeps it whole.

    Raises:
        EditError: No token is left, or a field means nothing.

    Example:
        >>> Where(prompt=False, new_positions=slice(5)).new_positions
        ((None, 5),)
    """

    prompt: bool = True
    generated: bool = True
    last_prompt: bool | None = None
    positions: PositionsLike | None = None
    new_positions: PositionsLike | None = None
    roles: Iterable[str] | None = None
    messages: Iterable[int] | None = None
    tokens: Iterable[int] | None = None
    not_tokens: Iterable[int] = ()
    special: bool = False
    decay: float = 1.0

    def __post_init__(self) -> None:
        for name in ("prompt", "generated", "last_prompt", "special"):
            value = getattr(self, name)
            if not (isinstance(value, bool) or (value is None and name == "last_prompt")):
                raise EditError(f"{name}={value!r} is neither True nor False. A condition of an edit goes to when=.")
        if not (self.prompt or self.generated or self.last_prompt):
            raise EditError(
                "Where(prompt=False, generated=False) leaves no token. Set one of them, or last_prompt, to True."
            )
        for name in ("positions", "new_positions"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _windows(name, getattr(self, name)))
            if any(abs(edge or 0) > FARTHEST for window in getattr(self, name) or () for edge in window):
                raise EditError(f"{name} has a position that no text reaches. Give positions up to {FARTHEST}.")
        if any((edge or 0) < 0 for window in self.new_positions or () for edge in window):
            raise EditError(f"new_positions={self.new_positions} counts from the new text's start, so from 0 on.")
        if isinstance(self.roles, str):
            raise EditError(f"roles={self.roles!r} is one text where several belong. Put it into brackets.")
        for name, kind in (("roles", str), ("messages", int), ("tokens", int), ("not_tokens", int)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _several(name, getattr(self, name), kind))
            if getattr(self, name) == () and name != "not_tokens":
                raise EditError(f"{name} is empty, which leaves no token. Leave it away for all.")
        if isinstance(self.decay, bool) or not isinstance(self.decay, Real) or not 0 < self.decay <= 1:
            raise EditError(f"decay={self.decay!r} is no factor. Give one above 0, up to 1.")
        object.__setattr__(self, "decay", float(self.decay))

    @property
    def chat(self) -> bool:
        """Whether it asks for chat messages."""
        return self.roles is not None or self.messages is not None

    def overlaps(self, other: Where) -> bool:
        """Whether some token of some text may be in both. False only where that is sure."""
        reach = [
            (where.prompt, where.generated, where.last_prompt or (where.prompt and where.last_prompt is None))
            for where in (self, other)
        ]
        if not any(mine and others for mine, others in zip(*reach, strict=True)):
            return False
        for name in ("roles", "tokens"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine is not None and others is not None and not set(mine) & set(others):
                return False
        if _apart(self.positions, other.positions):
            return False
        only_new = not any(mine and others for mine, others in zip(reach[0][::2], reach[1][::2], strict=True))
        return not (only_new and _apart(self.new_positions, other.new_positions))

    def describe(self) -> str:
        """Which tokens these are, in plain words.

        Example:
            >>> Where(prompt=False, new_positions=slice(5), decay=0.9).describe()
            'new tokens only, at positions up to 4 of the new text; fading by 0.9 a token'
        """
        parts: list[str] = []
        if self.positions is not None:
            parts.append(f"at positions {listed(map(_spoken, self.positions))}")
        if self.new_positions is not None:
            also = "and " if self.prompt else ""
            parts.append(f"{also}at positions {listed(map(_spoken, self.new_positions))} of the new text")
        if self.roles is not None:
            parts.append(f"in messages of {listed(self.roles)}")
        if self.messages is not None:
            parts.append(f"in messages {listed(self.messages)}")
        if self.tokens is not None:
            parts.append(f"with ids {listed(self.tokens)}")
        if self.not_tokens:
            parts.append(f"without ids {listed(self.not_tokens)}")
        reach = "tokens" if parts and self._reach == "every token" else self._reach
        if self.special:
            parts.append("special ones too")
        return ", ".join([reach, *parts]) + ("" if self.decay == 1 else f"; fading by {self.decay:g} a token")

    @property
    def _reach(self) -> str:
        last = {None: "", True: " and the prompt's last", False: " but the prompt's last"}[self.last_prompt]
        if self.prompt:
            some = "prompt tokens" if self.generated else "prompt tokens only"
            whole = self.generated and self.new_positions is None
            return ("every token" if whole else some) + ("" if self.last_prompt else last)
        if self.generated:
            return f"new tokens{last}" if self.last_prompt else "new tokens only"
        return "the prompt's last token only"

    def __repr__(self) -> str:
        said = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return f"Where({', '.join(f'{name}={getattr(self, name)!r}' for name in said)})"


def _windows(name: str, given: object) -> tuple[Window, ...]:
    items = list(given) if isinstance(given, Iterable) and whole(given) is None else [given]
    if not items:
        raise EditError(f"{name} is empty, which leaves no token. Leave it away for all.")
    return tuple(_window(name, item) for item in items)


def _window(name: str, item: object) -> Window:
    position = whole(item)
    if position is not None:
        return (position, position + 1)
    edges = (item.start, item.stop) if isinstance(item, slice) and item.step in (None, 1) else item
    if not (isinstance(edges, tuple) and len(edges) == 2 and all(e is None or whole(e) is not None for e in edges)):
        raise EditError(
            f"{name} has {item!r}, which is no position. Give whole numbers, or slices such as slice(0, 5)."
        )
    start, stop = (None if edge is None else whole(edge) for edge in edges)
    if stop is not None and stop <= (start or 0) and (stop < 0) == ((start or 0) < 0):
        raise EditError(f"{name} has {item!r}, which ends where it starts or before. Let it start below its stop.")
    return (start, stop)


def _several(name: str, given: object, kind: type) -> tuple:
    items = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    found = [whole(item) if kind is int else item if isinstance(item, kind) else None for item in items]
    for item, value in zip(items, found, strict=True):
        if value is None:
            raise EditError(f"{name} has {item!r} where a {'whole number' if kind is int else 'text'} belongs.")
    return tuple(found)


def _apart(mine: tuple[Window, ...] | None, others: tuple[Window, ...] | None) -> bool:
    """Whether windows surely share no position: those that count from different ends are not compared."""
    if mine is None or others is None:
        return False
    return all(_disjoint(first, second) for first in mine for second in others)


def _disjoint(first: Window, second: Window) -> bool:
    (start, stop), (other_start, other_stop) = first, second
    start, other_start = start or 0, other_start or 0
    if (start < 0) != (other_start < 0):
        return False
    if start >= 0 and min(stop or 0, other_stop or 0) < 0:
        return False
    first_end = math.inf if stop is None else stop
    second_end = math.inf if other_stop is None else other_stop
    return max(start, other_start) >= min(first_end, second_end)


def _spoken(window: Window) -> str:
    start, stop = window
    if stop is None:
        return f"from {start or 0} on"
    if stop - (start or 0) == 1:
        return str(start or 0)
    return f"{start} to {stop - 1}" if start else f"up to {stop - 1}"


def listed(items: Iterable[object]) -> str:
    """Items as a list in a sentence.

    Example:
        >>> listed(["rain", "sun", "snow"])
        'rain, sun and snow'
    """
    *before, last = map(str, items)
    return f"{', '.join(before)} and {last}" if before else last


EVERYWHERE = Where()
