"""What a page sends, looked at before anything else acts on it."""

from __future__ import annotations

import reprlib

# Objects and lists within each other: conditions nest deepest, and people read no such nest.
DEEPEST = 64


def check(value: object, room: int = DEEPEST) -> None:
    """Let plain data through that can be sent back as it came.

    Raises:
        ValueError: It has a number that is none or half a character, is no plain data, or is nested too deep.
    """
    if isinstance(value, str):
        if not value.isascii():
            _check_characters(value)
    elif isinstance(value, int | float):
        if not -1e300 < value < 1e300:  # nor is NaN
            raise ValueError(f"The page sent a number without bounds: {reprlib.repr(value)}. Give a smaller one.")
    elif isinstance(value, dict | list | tuple):
        if not room:
            raise ValueError(f"The page sent data nested deeper than {DEEPEST}. Take some of it apart.")
        if isinstance(value, dict):
            check(list(value), room)
            value = list(value.values())
        for item in value:
            check(item, room - 1)
    elif value is not None:
        raise ValueError(f"The page sent {reprlib.repr(value)}, which is no plain data.")


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"The page sent a text with half a character at place {error.start + 1}, such as half an emoji. Write it "
            "again."
        ) from error
