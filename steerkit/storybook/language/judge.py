"""Reads any text: which sentences are well formed, and which concepts they express.

A sentence is well formed if some pattern of the tables generates it, whether or not it has ever
been told: slots filled by their word classes, names with their own pronouns, a and an as they
should be. What a sentence expresses is read off the pattern, so an ill-formed sentence expresses
nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from steerkit.storybook.language.cast import genders
from steerkit.storybook.language.grammar import Found, Rule
from steerkit.storybook.language.notation import Choice, Pattern, Text
from steerkit.storybook.language.realise import Lexeme
from steerkit.storybook.language.tables import tables
from steerkit.storybook.language.teller import joinable, leadable


@dataclass(frozen=True)
class Sentence:
    """A sentence of a text and what it expresses.

    Attributes:
        start: Its first character in the text.
        end: One after its last character.
        well_formed: Whether the language generates it.
        lexemes: The words that express concepts, with their place in the text.
    """

    start: int
    end: int
    well_formed: bool
    lexemes: tuple[Lexeme, ...]

    @property
    def concepts(self) -> frozenset[str]:
        """The concepts that the sentence expresses."""
        return frozenset(lexeme.concept for lexeme in self.lexemes)

    @property
    def held_out(self) -> bool:
        """Whether any of its lexemes is held out: what labels or chooses features skips it."""
        return any(lexeme.held_out for lexeme in self.lexemes)

    @property
    def unseen(self) -> frozenset[str]:
        """The concepts that held-out lexemes alone express."""
        return self.concepts - {lexeme.concept for lexeme in self.lexemes if not lexeme.held_out}


# Behind a quote a small letter goes on with the sentence: "Why?" said Mia.
_END = re.compile(r"""[.!?](?=\s|$)|[.!?]"(?=\s+["(]?[A-ZÀ-Ý]|\s*$)|\n\s*\n""")
_STRAIGHT = str.maketrans("“”‘’", "\"\"''")
_JOINERS = ("", "-", "'")  # what a word may go on after
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a text begin and end; the last may be cut off.

    Example:
        >>> list(spans('"Why?" said Mia. It rai'))
        [(0, 16), (17, 23)]
    """
    start = 0
    for end in [match.end() for match in _END.finditer(text.translate(_STRAIGHT))] + [len(text)]:
        piece = text[start:end]
        if stripped := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            yield first, first + len(stripped)
        start = end


class _Index:
    """The rules by a rare word that each of their sentences must have."""

    def __init__(self, patterns: list[Pattern]) -> None:
        self._patterns = patterns
        self._rules: dict[int, Rule] = {}
        anchors = [_anchors(pattern) for pattern in patterns]
        common = Counter(word for sets in anchors for words in sets for word in words)
        self._at: defaultdict[str, list[int]] = defaultdict(list)
        self._anywhere: list[int] = []
        for number, sets in enumerate(anchors):
            if not sets:
                self._anywhere.append(number)
                continue
            for word in min(sets, key=lambda words: max(common[w] for w in words)):
                self._at[word].append(number)

    def candidates(self, text: str) -> Iterator[Rule]:
        """The rules that may generate a sentence, in the order of the tables."""
        words = {word.lower() for word in _WORD.findall(text)}
        numbers = {n for word in words for n in self._at.get(word, ())}
        for number in sorted(numbers.union(self._anywhere)):
            if number not in self._rules:
                self._rules[number] = Rule(self._patterns[number])
            yield self._rules[number]


def _anchors(pattern: Pattern) -> list[list[str]]:
    """Lists of words, of each of which every sentence of this pattern has one."""
    anchors = []
    last = len(pattern.parts) - 1
    for i, part in enumerate(pattern.parts):
        if isinstance(part, Text):
            anchors += [[word] for word in _whole_words(part.text, i == 0, i == last)]
        elif isinstance(part, Choice) and _stands_alone(pattern, i):
            words = [_option_words(option) for option in part.options]
            if all(words):
                anchors.append([max(found, key=len) for found in words])
    return anchors


def _whole_words(text: str, from_start: bool, to_end: bool) -> list[str]:
    """The words of a piece of text that do not go on before or behind it."""
    return [
        match[0].lower()
        for match in _WORD.finditer(text)
        if (from_start or match.start() > 0) and (to_end or text[match.end() : match.end() + 1] not in _JOINERS)
    ]


def _option_words(option: tuple) -> list[str]:
    last = len(option) - 1
    return [
        word
        for i, piece in enumerate(option)
        if isinstance(piece, Text)
        for word in _whole_words(piece.text, i == 0, i == last)
    ]


def _stands_alone(pattern: Pattern, i: int) -> bool:
    """Whether a choice has no letter right before or behind it."""
    before = pattern.parts[i - 1] if i else Text(" ")
    behind = pattern.parts[i + 1] if i + 1 < len(pattern.parts) else Text(" ")
    return (
        isinstance(before, Text)
        and isinstance(behind, Text)
        and not (before.text[-1].isalnum() or before.text[-1] in _JOINERS)
        and not (behind.text[0].isalnum() or behind.text[0] in _JOINERS)
    )


@cache
def _index() -> _Index:
    return _Index(tables().patterns())


@cache
def _leads() -> tuple[str, ...]:
    return tuple(f"{lead}, " for lead in tables().words["lead"])


def _whole(text: str) -> tuple[Found, Pattern] | None:
    for rule in _index().candidates(text):
        if found := rule.match(text):
            return found, rule.pattern
    return None


def _raised(text: str) -> str | None:
    """The end of a sentence as a sentence; None where it wrongly has a capital, or a name has none."""
    raised = text[:1].upper() + text[1:]
    first = _WORD.match(raised)
    is_name = bool(first) and first[0].removesuffix("'s") in genders()
    return raised if first and is_name != text[0].islower() else None


def _led(text: str) -> Found | None:
    """A sentence behind "Just then, "."""
    for lead in _leads():
        if text.startswith(lead):
            rest = _raised(text[len(lead) :])
            found = _whole(rest) if rest else None
            if found and leadable(found[1]):
                return _moved(found[0], len(lead))
    return None


def _joined(text: str) -> Found | None:
    """Two sentences that an "and" has made one."""
    for match in re.finditer(", and ", text):
        rest = _raised(text[match.end() :])
        first = _whole(f"{text[: match.start()]}.") if rest else None
        second = _whole(rest) if first and rest else None
        if not (first and second and joinable(first[1]) and joinable(second[1])):
            continue
        (one, mine), (two, yours) = first, second
        agree = len(one.genders | two.genders) < 2 and len(one.hero | two.hero) < 2
        if agree and mine.owner == yours.owner and mine is not yours:
            later = _moved(two, match.end())
            return Found(one.lexemes + later.lexemes, one.hero | two.hero, one.genders)
    return None


def _moved(found: Found, by: int) -> Found:
    return Found(tuple(x.moved(by) for x in found.lexemes), found.hero, found.genders)


def judge(text: str) -> tuple[Sentence, ...]:
    """Read a text sentence by sentence.

    Args:
        text: Any text; sentences end with `.`, `!` or `?`, quotes included, or an empty line. Quotes may be curly.

    Returns:
        Its sentences. One that the language does not generate is not well formed and has no
        concepts; so is one that is cut off at the end of the text.

    Example:
        >>> [sorted(s.concepts) for s in judge("Mia opened her umbrella. Umbrella she her.")]
        [['rain'], []]
    """
    sentences = []
    for start, end in spans(text):
        # Any white space between words counts as one space; `places` says where each character stood.
        places = [i for word in re.finditer(r"\S+", text[start:end]) for i in range(word.start(), word.end() + 1)]
        sentence = " ".join(text[start:end].translate(_STRAIGHT).split())
        whole = _whole(sentence)
        found = whole[0] if whole else _led(sentence) or _joined(sentence)
        lexemes = found.lexemes if found else ()
        lexemes = tuple(replace(x, start=places[x.start], end=places[x.end]).moved(start) for x in lexemes)
        sentences.append(Sentence(start, end, found is not None, lexemes))
    return tuple(sentences)


def expressed(text: str) -> set[str]:
    """The concepts that a text expresses, in its well-formed sentences.

    Args:
        text: Any text.

    Returns:
        Names of concepts.

    Example:
        >>> expressed("It rained so hard that the street became a stream.")
        {'rain'}
    """
    return {name for sentence in judge(text) for name in sentence.concepts}


def well_formed(text: str) -> list[bool]:
    """Whether each sentence of a text is one that the language generates.

    Args:
        text: Any text.

    Returns:
        A bool a sentence.

    Example:
        >>> well_formed("Mia opened her umbrella. Mia opened his umbrella.")
        [True, False]
    """
    return [sentence.well_formed for sentence in judge(text)]
