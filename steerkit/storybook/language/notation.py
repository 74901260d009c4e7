"""How a sentence is written in the tables.

A line is a role, spaces, and a pattern:

    more    {Mia} pulled on {her} [raincoat|rubber boots|galoshes] (at once|) and hurried out.

- `[a|b]`: one of these *lexemes*; they express the concept of the section. `[bird:nest]` expresses
  another concept than the section's.
- `(a|b)`: one of these words; they express nothing.
- `[=a|b] ... [=c|d]`: groups that begin with `=` are chosen together: a with c, b with d.
- `{slot}`: filled by the story.

The hero is written as if she were Mia, and her friend as if he were Ben; both may be of either
gender in a story. Hero: `{Mia}` (at the start of a sentence a name or a pronoun, elsewhere the
name), `{Mia!}` (always the name), `{Mia's}`, `{she}`, `{her}` (hat), `{her*}` (saw her), `{hers}`,
`{herself}`, `{girl}`. Friend: `{Ben}`, `{Ben's}`, `{he}`, `{his}`, `{him}`, `{himself}`, `{boy}`.
Others: `{thing}` (a noun phrase of any other concept) and the word classes of `tables/common.txt`.
An `a` before a bracket becomes `an` where it must.

This file knows the notation only; what slots mean is in `realise.py` and `grammar.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from steerkit.storybook.errors import TableError


class Text(NamedTuple):
    """Words as they stand."""

    text: str


class Slot(NamedTuple):
    """A place that the story fills."""

    name: str


class Choice(NamedTuple):
    """Alternatives; `concept` is what they express, if anything."""

    options: tuple[tuple[Text | Slot, ...], ...]
    concept: str | None
    linked: bool


Part = Text | Slot | Choice


@dataclass(frozen=True)
class Pattern:
    """One line of a table.

    Attributes:
        role: What it does in a story: enter, more, turn, mend, end, or a frame's role.
        owner: The concept in whose section it stands; None for frames.
        source: The line as written.
        parts: The line as read.
    """

    role: str
    owner: str | None
    source: str
    parts: tuple[Part, ...]

    def uses(self, slot: str) -> bool:
        """Whether a slot whose name begins with `slot` occurs."""
        return f"{{{slot}" in self.source

    def concepts(self) -> frozenset[str]:
        """The concepts that its lexemes express, whatever fills the slots."""
        return frozenset(p.concept for p in self.parts if isinstance(p, Choice) and p.concept)


_PIECES = re.compile(r"\{[^{}]+\}|\[[^\[\]]+\]|\([^()]+\)|[^\[\](){}]+")
_SLOTS = re.compile(r"(\{[^{}]+\})")
_CONCEPT = re.compile(r"([a-z]+):(?=\S)")


def _plain(text: str) -> tuple[Text | Slot, ...]:
    """Words and slots."""
    pieces = (piece for piece in _SLOTS.split(text) if piece)
    return tuple(Slot(p[1:-1]) if p[0] == "{" else Text(p) for p in pieces)


def _choice(piece: str, owner: str | None) -> Choice:
    body = piece[1:-1]
    concept = owner if piece[0] == "[" else None
    if concept and (named := _CONCEPT.match(body)):
        concept, body = named[1], body[named.end() :]
    linked = body.startswith("=")
    options = body.removeprefix("=").split("|")
    return Choice(tuple(_plain(option) for option in options), concept, linked)


def parse(source: str, *, role: str = "", owner: str | None = None) -> Pattern:
    """Read one pattern.

    Args:
        source: A line in the notation above, without its role.
        role: Kept in the pattern.
        owner: The concept that its lexemes express.

    Returns:
        The pattern.

    Raises:
        TableError: A bracket is not closed.

    Example:
        >>> parse("{Mia} opened {her} [umbrella].", owner="rain").parts[-2].concept
        'rain'
    """
    pieces = _PIECES.findall(source)
    if "".join(pieces) != source:
        raise TableError(f"{source!r} has a bracket that is not closed. See notation.py.")
    parts: list[Part] = []
    for piece in pieces:
        if piece[0] == "{":
            parts.append(Slot(piece[1:-1]))
        elif piece[0] in "[(":
            parts.append(_choice(piece, owner))
        else:
            parts.append(Text(piece))
    return Pattern(role, owner, source, tuple(parts))
