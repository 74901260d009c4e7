"""What can go wrong in storybook's language: a concept or a split that it does not have."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from steerkit.errors import SteerkitError

NEAR = 0.75  # of a word to what is suggested in its place, as difflib measures


class ConceptError(SteerkitError, ValueError):
    """A concept that storybook does not have, or too many of them."""


class TableError(SteerkitError, ValueError):
    """A line of the pattern tables that cannot be read."""


def unknown(kind: str, name: object, valid: Collection[str]) -> ConceptError:
    """The error for a `kind` called `name` that is not one of `valid`."""
    near = difflib.get_close_matches(str(name).lower(), valid, n=1, cutoff=NEAR)
    advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(valid)}."
    return ConceptError(f"storybook has no {kind} {name!r}. {advice}")
