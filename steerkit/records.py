"""JSON objects read strictly: what is missing, of the wrong type or unknown gets one error that says where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

from steerkit.errors import PlanError

T = TypeVar("T")

KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
}
LONGEST = 60  # characters of a value that a message shows
_REQUIRED: Any = object()


class Record:
    """A JSON object whose fields are taken one by one.

    Args:
        value: The object.
        place: What it is, for messages.

    Raises:
        PlanError: It is no object.
    """

    def __init__(self, value: object, place: str) -> None:
        self.place = place
        self._fields = dict(checked(value, dict, place))

    @classmethod
    def parse(cls, text: str, place: str) -> Record:
        """Read a text.

        Raises:
            PlanError: It is no JSON object.
        """
        try:
            return cls(json.loads(text, parse_constant=_refuse_constant), place)
        except (ValueError, TypeError, RecursionError) as error:
            if isinstance(error, PlanError):
                raise
            raise PlanError(f"{place} is no readable JSON: {error}. Write it again.") from error

    def take(self, name: str, kind: type[T], default: T | None = _REQUIRED) -> T:
        """A field of one type; without a default it has to be there. None is taken where it is the default.

        Raises:
            PlanError: It is missing or of another type.
        """
        if name not in self._fields and default is _REQUIRED:
            raise PlanError(f"{self.place} has no '{name}'. It is damaged; write it again.")
        value = self._fields.pop(name, default)
        return value if value is default else checked(value, kind, f"'{name}' of {self.place}")

    def records(self, name: str) -> Iterator[Record]:
        """The objects of a list, none if it is left away."""
        for i, value in enumerate(self.take(name, list, [])):
            yield Record(value, f"{name}[{i}] of {self.place}")

    def record(self, name: str) -> Record | None:
        """An object, or None if it is left away."""
        return self.need(name) if name in self else None

    def need(self, name: str) -> Record:
        """An object that has to be there."""
        return Record(self.take(name, dict), f"'{name}' of {self.place}")

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def head(self, format: str, version: int) -> None:
        """Check which format it is in, and which version of that.

        Raises:
            PlanError: It is of another.
        """
        found = self.take("format", str), self.take("version", int)
        if found[0] != format:
            raise PlanError(f"{self.place} is a '{found[0]}', where a '{format}' belongs.")
        if found[1] != version:
            raise PlanError(
                f"{self.place} is of version {found[1]}; this steerkit reads version {version}. "
                + ("Update steerkit." if found[1] > version else "Write it again.")
            )
        self.take("steerkit", str)

    def done(self) -> None:
        """Nothing is left.

        Raises:
            PlanError: There are fields that nobody took.
        """
        if self._fields:
            unknown = ", ".join(map(repr, self._fields))
            raise PlanError(f"{self.place} has {unknown}, which is not known here. Update steerkit, or take it out.")


def checked(value: Any, kind: type[T], place: str) -> T:
    """A value of one type; whole numbers are numbers, truth values are not.

    Raises:
        PlanError: It is of another.
    """
    kinds: Any = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
        shown = repr(value)
        shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
        raise PlanError(f"{place} is {shown}, where {KINDS[kind]} belongs.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
