"""Which concepts a story has, and in which order they come.

A story has a main concept, from which its turn arises, and a few others. Concepts are drawn
independently of each other, families included. What cannot be at the same time (two kinds of
weather, two places, morning and night) comes one after the other.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from steerkit.storybook.language.tables import tables

_IN_ORDER = ("clock", "mood")  # axes along which time runs; on the others any order will do


@dataclass(frozen=True)
class Plan:
    """The concepts of a story in their order.

    Attributes:
        main: The concept from which the turn arises.
        order: All concepts, `main` included, in the order in which they come in.
        reaction: A low mood that the turn brings about; it is not in `order`.
        delight: A high mood that the happy outcome brings about; it is not in `order`.
        apart: Whether some of them exclude each other, so that each is told to its end.
    """

    main: str
    order: tuple[str, ...]
    reaction: str | None
    delight: str | None
    apart: bool


def clash(one: str, other: str) -> str | None:
    """The axis on which two concepts cannot be at the same time; None if they can."""
    mine, yours = (tables().concepts[name].axes for name in (one, other))
    return next((a for a, place in mine.items() if a in yours and yours[a] != place), None)


def _mood(name: str) -> str | None:
    return tables().concepts[name].axes.get("mood")


def _rank(names: Sequence[str]) -> list[str]:
    """Put what is later in the day, or happier, later."""
    names = list(names)
    for axis in reversed(_IN_ORDER):
        places = {n: tables().concepts[n].axes.get(axis) for n in names}
        ranked = iter(sorted((n for n in names if places[n]), key=lambda n: (places[n] == "high", places[n])))
        names = [next(ranked) if places[n] else n for n in names]
    return names


def plan(rng: random.Random, about: Sequence[str]) -> Plan:
    """Choose the concepts of a story.

    Args:
        rng: Where chance comes from.
        about: Concepts that it must have, the main one first.

    Returns:
        The plan.
    """
    everything = list(tables().concepts)
    chosen = list(about)
    wanted = max(len(chosen), 4 if rng.random() < 0.25 else 3)
    while len(chosen) < wanted:
        name = rng.choice(everything)
        if name not in chosen:
            chosen.append(name)
    main, others = chosen[0], chosen[1:]
    low = [n for n in others if _mood(n) == "low"]
    high = [n for n in others if _mood(n) == "high"]
    reaction = low[0] if low and _mood(main) is None else None
    delight = high[0] if high and _mood(main) != "high" else None
    rest = [n for n in others if n not in (reaction, delight)]
    order = [main, *rest]
    rng.shuffle(order)
    order = _rank(order)
    apart = any(clash(a, b) for a, b in itertools.combinations(order, 2))
    return Plan(main, tuple(order), reaction, delight, apart)
