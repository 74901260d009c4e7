"""The tables, read once and when first used.

A table has sections, `= concept` or `= frames`; their lines are described in `notation.py`. A
concept's section begins with

    asked   how a reader asks for it, "Tell me a story about ..."; alternatives between bars
    where   the same as a place or a circumstance, "in the rain"; optional
    names   the words that name it; a sentence without any of them expresses it unnamed
    held    lexemes that are kept out of what labels or chooses features, between commas
    axis    weather, place, clock or mood, and where it lies on it; optional
    things  noun phrases that fill {thing}

and goes on with its patterns: enter, more, turn (each followed by its mends, and perhaps by an end
of its own, last) and end.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import NamedTuple

from steerkit.storybook.errors import TableError
from steerkit.storybook.language.notation import Choice, Pattern, Slot, parse


class Turn(NamedTuple):
    """What goes wrong, what mends it, and how a story with it may end."""

    wrong: Pattern
    mends: list[Pattern]
    last: list[Pattern]


@dataclass
class Concept:
    """One concept, as its section of a table describes it."""

    name: str
    family: str
    asked: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    axes: dict[str, str] = field(default_factory=dict)
    things: list[Pattern] = field(default_factory=list)
    enter: list[Pattern] = field(default_factory=list)
    more: list[Pattern] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    end: list[Pattern] = field(default_factory=list)

    def patterns(self) -> list[Pattern]:
        """All its sentences."""
        turns = [p for turn in self.turns for p in (turn.wrong, *turn.mends, *turn.last)]
        return [*self.enter, *self.more, *turns, *self.end]

    def lexemes(self) -> frozenset[str]:
        """All its lexemes, as written in the table."""
        choices = [
            part
            for pattern in [*self.patterns(), *self.things]
            for part in pattern.parts
            if isinstance(part, Choice) and part.concept == self.name
        ]
        return frozenset(spelling(option) for choice in choices for option in choice.options)

    def holds(self, option: tuple) -> bool:
        """Whether a lexeme is held out."""
        return spelling(option) in self.held


def spelling(option: tuple) -> str:
    """A lexeme as the tables' `held` lines spell it."""
    return "".join(p.text if not isinstance(p, Slot) else f"{{{p.name}}}" for p in option).lower()


@dataclass(frozen=True)
class Tables:
    """Everything the tables say."""

    concepts: dict[str, Concept]
    frames: dict[str, list[Pattern]]
    words: dict[str, tuple[str, ...]]

    def patterns(self) -> list[Pattern]:
        """Every sentence pattern, frames last."""
        own = [p for c in self.concepts.values() for p in c.patterns()]
        return own + list(itertools.chain.from_iterable(self.frames.values()))


def _listed(text: str, separator: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(separator) if item.strip())


def _describe(concept: Concept, role: str, text: str) -> bool:
    """Take in one line of a concept's section; False for a role that it does not know."""
    if role in ("asked", "where"):
        setattr(concept, role, _listed(text, "|"))
    elif role == "names":
        concept.names = frozenset(text.lower().split())
    elif role == "held":
        concept.held = frozenset(item.lower() for item in _listed(text, ","))
    elif role == "axis":
        axis, place = text.split()
        concept.axes[axis] = place
    elif role == "things":
        # Bars inside brackets are alternatives of the phrase, those outside part the phrases.
        concept.things = [parse(t, role=role, owner=concept.name) for t in text.split(" | ")]
    elif role in ("enter", "more", "end"):
        getattr(concept, role).append(parse(text, role=role, owner=concept.name))
    elif role == "turn":
        concept.turns.append(Turn(parse(text, role=role, owner=concept.name), [], []))
    elif role == "mend":
        concept.turns[-1].mends.append(parse(text, role=role, owner=concept.name))
    elif role == "last":
        concept.turns[-1].last.append(parse(text, role=role, owner=concept.name))
    else:
        return False
    return True


def read(family: str, text: str, tables: Tables) -> None:
    """Add the sections of one table to `tables`.

    Raises:
        TableError: A line has no role, or one that is not known.
    """
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        role, _, rest = line.partition(" ")
        rest = rest.strip()
        if role == "=":
            section = rest
            if section not in ("words", "frames"):
                tables.concepts[section] = Concept(section, family)
        elif section == "words":
            tables.words[role] = _listed(rest, "|")
        elif section == "frames":
            tables.frames.setdefault(role, []).append(parse(rest, role=role))
        elif not (rest and section and _describe(tables.concepts[section], role, rest)):
            raise TableError(f"{family}.txt, line {number}: {line!r} has no known role.")


@cache
def tables() -> Tables:
    """All the tables of the package."""
    result = Tables({}, {}, {})
    folder = resources.files("steerkit.storybook.language") / "tables"
    files = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".txt")}
    for name in sorted(files):
        read(name.removesuffix(".txt"), files[name].read_text(encoding="utf-8"), result)
    return result
