"""The words of a text, and those that a mistyped one may have been meant for."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from heapq import nsmallest

_ACCENTS = re.compile("[\u0300-\u036f]")
_WORD = re.compile(r"[^\W_]+")
_LAST = "\U0010ffff"  # sorts behind every letter


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case and without accents.

    Example:
        >>> words("Über-heated <b>CAFÉ</b> (2)")
        ['uber', 'heated', 'b', 'cafe', 'b', '2']
    """
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", text.lower()))
    return _WORD.findall(unicodedata.normalize("NFC", plain))


def joined_words(text: str) -> str:
    """The words of a text with a space between, as they are indexed."""
    return " ".join(words(text))


def begins_any(vocabulary: Sequence[str], word: str) -> bool:
    """Whether some word of a sorted vocabulary begins so."""
    place = bisect_left(vocabulary, word)
    return place < len(vocabulary) and vocabulary[place].startswith(word)


def meant(vocabulary: Sequence[str], word: str, limit: int = 16) -> list[str]:
    """Words that begin like `word` but for a typing error or two, the likeliest first.

    An error is a letter too many, missing, wrong, or swapped with the next. Words under four letters have none, under
    eight one; longer ones have two where one explains nothing. Over 40 letters it is no word.

    Args:
        vocabulary: Known words, sorted.
        word: What was typed, perhaps not yet to the end.
        limit: Most words returned.

    Example:
        >>> meant(["rain", "raise", "snow", "weather"], "wetaher")
        ['weather']
    """
    for errors in range(1, min(len(word) // 4, 2) + 1 if len(word) <= 40 else 0):
        found: dict[str, int] = {}
        for start, stop, length in _spans(vocabulary, word, errors):
            for known in vocabulary[start:stop]:
                found[known] = min(found.get(known, len(known)), len(known) - length)
        if found:
            return nsmallest(limit, found, key=lambda known: (found[known], known))
    return []


def _spans(vocabulary: Sequence[str], word: str, errors: int) -> Iterator[tuple[int, int, int]]:
    """Stretches of the vocabulary whose words share a beginning near `word`, and how long that beginning is.

    The sorted vocabulary is walked like a tree: the words with a given beginning stand together.
    """

    def walk(known: str, start: int, stop: int, rest: str, left: int) -> Iterator[tuple[int, int, int]]:
        if left == 0:
            known, rest = known + rest, ""
        start = bisect_left(vocabulary, known, start, stop)
        stop = bisect_right(vocabulary, known + _LAST, start, stop)
        if start == stop:
            return
        if not rest:
            yield start, stop, len(known)
            return
        yield from walk(known + rest[0], start, stop, rest[1:], left)
        yield from walk(known, start, stop, rest[1:], left - 1)
        if len(rest) > 1:
            yield from walk(known + rest[1] + rest[0], start, stop, rest[2:], left - 1)
        for letter in _next_letters(vocabulary, known, start, stop):
            yield from walk(known + letter, start, stop, rest[1:], left - 1)
            yield from walk(known + letter, start, stop, rest, left - 1)

    return walk("", 0, len(vocabulary), word, errors)


def _next_letters(vocabulary: Sequence[str], known: str, start: int, stop: int) -> Iterator[str]:
    while start < stop:
        if len(vocabulary[start]) == len(known):
            start += 1
            continue
        letter = vocabulary[start][len(known)]
        yield letter
        start = bisect_right(vocabulary, known + letter + _LAST, start, stop)
