"""Whole numbers, of whatever library they are, and how many of a thing are asked for."""

from __future__ import annotations

import operator

from steerkit.errors import SettingError


def whole(value: object) -> int | None:
    """The number, if it is a whole one."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def at_most(limit: object, name: str = "limit") -> int:
    """How many of a thing are asked for at most.

    Raises:
        SettingError: It is no whole number from 0 on.
    """
    count = whole(limit)
    if count is None or count < 0:
        raise SettingError(f"{name}={limit!r} is no number of things to give. Give a whole number from 0.")
    return count
