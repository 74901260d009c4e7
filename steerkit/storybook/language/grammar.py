"""A pattern as a regular expression, and what must agree in what it finds.

The expression is loose about names and noun phrases, which are looked up afterwards: one hero, one
friend, a pronoun for each that goes with the name, groups that were chosen together, and a or an.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from steerkit.storybook.language.cast import FRIEND_PRONOUNS, GENDER, PRONOUNS
from steerkit.storybook.language.notation import Choice, Pattern, Slot, Text
from steerkit.storybook.language.realise import OPEN_ARTICLE, Lexeme, article, held_indices
from steerkit.storybook.language.tables import Concept, tables

_NAME = r"[A-Z][a-z]+"
_ARTICLE = re.compile(r"\b([Aa]n?) (?=([\w'-]+))")


@dataclass(frozen=True)
class Found:
    """A sentence that a pattern generates."""

    lexemes: tuple[Lexeme, ...]
    hero: frozenset[str]
    genders: frozenset[int]  # of the hero; empty where nothing tells


@cache
def phrases() -> dict[str, tuple[tuple[str, str, bool, int], ...]]:
    """Every noun phrase of `{thing}`, with its lexemes: concept, words, held out, start."""
    found: dict[str, tuple[tuple[str, str, bool, int], ...]] = {}
    for concept in tables().concepts.values():
        for phrase in concept.things:
            for text, lexemes in _spell(phrase, concept):
                found[text] = lexemes
    return found


def _spell(phrase: Pattern, concept: Concept) -> list[tuple[str, tuple]]:
    """All that a noun phrase can be."""
    texts: list[tuple[str, tuple]] = [("", ())]
    for part in phrase.parts:
        if isinstance(part, Text):
            texts = [(text + part.text, lexemes) for text, lexemes in texts]
        elif isinstance(part, Choice):
            texts = [
                _with(text, lexemes, option, concept) for text, lexemes in texts for option in part.options
            ]
    return texts


def _with(text: str, lexemes: tuple, option: tuple, concept: Concept) -> tuple[str, tuple]:
    word = "".join(piece[0] for piece in option)
    if OPEN_ARTICLE.search(text) and article(word) == "an":
        text = text.removesuffix(" ") + "n "
    return text + word, (*lexemes, (concept.name, word, concept.holds(option), len(text)))


class Rule:
    """A pattern, ready to be held against sentences."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._groups: list[tuple[str, object]] = []
        body = "".join(self._part(part, i == 0) for i, part in enumerate(pattern.parts))
        self._expression = re.compile(body)

    def _capture(self, kind: str, what: object, body: str) -> str:
        self._groups.append((kind, what))
        return f"({body})"

    def _part(self, part: Text | Slot | Choice, first: bool) -> str:
        if isinstance(part, Text):
            return _spelled(part.text, first)
        if isinstance(part, Slot):
            return self._slot(part.name, first)
        if part.concept or part.linked:
            # The group of the choice opens before the groups of the slots within it.
            place = len(self._groups)
            self._groups.append(("choice", part))
            return f"({self._options(part, first, place)})"
        return f"(?:{self._options(part, first, -1)})"

    def _options(self, choice: Choice, first: bool, place: int) -> str:
        bodies = []
        for option in choice.options:
            pieces = [self._part(piece, first and i == 0) for i, piece in enumerate(option)]
            bodies.append("".join(pieces))
        return "|".join(bodies)

    def _slot(self, name: str, first: bool) -> str:
        if name == "thing":
            return self._capture("thing", None, ".+?")
        if name in ("Mia", "Mia's") and first:
            pronouns = "She|He" if name == "Mia" else "Her|His"
            tail = "" if name == "Mia" else "'s"
            return self._capture("hero", None, f"{_NAME}{tail}|{pronouns}")
        if name in ("Mia", "Mia!", "Mia's"):
            return self._capture("hero", None, _NAME + ("'s" if name == "Mia's" else ""))
        if name in ("Ben", "Ben's"):
            return self._capture("friend", None, _NAME + ("'s" if name == "Ben's" else ""))
        small = name.lower()
        if small in PRONOUNS:
            return self._pronoun("her gender", PRONOUNS[small], first)
        if small in FRIEND_PRONOUNS:
            return self._pronoun("his gender", PRONOUNS[FRIEND_PRONOUNS[small]], first)
        return "(?:" + "|".join(_spelled(word, first) for word in tables().words[name]) + ")"

    def _pronoun(self, kind: str, words: tuple[str, str], first: bool) -> str:
        words = tuple(word.capitalize() if first else word for word in words)  # type: ignore[assignment]
        return self._capture(kind, words, "|".join(words))

    def match(self, text: str) -> Found | None:
        """What the pattern finds in a sentence, or None where it does not generate it."""
        match = self._expression.fullmatch(text)
        if match is None:
            return None
        lexemes: list[Lexeme] = []
        heroes: set[str] = set()
        friends: set[str] = set()
        genders: dict[str, set[int]] = {"her gender": set(), "his gender": set()}
        links: set[int] | None = None
        for number, (kind, what) in enumerate(self._groups, 1):
            words = match[number]
            if words is None:
                continue
            if kind == "choice":
                assert isinstance(what, Choice)
                here = _chosen(what, words)
                if what.linked:
                    links = here if links is None else links & here
                    if not links:
                        return None
                if what.concept and words:
                    held = bool(here & _held(what))
                    lexemes.append(Lexeme(what.concept, words, *match.span(number), held))
            elif kind == "thing":
                if words not in phrases():
                    return None
                start = match.start(number)
                lexemes += [
                    Lexeme(concept, word, start + at, start + at + len(word), held)
                    for concept, word, held, at in phrases()[words]
                ]
            elif kind in ("hero", "friend"):
                gender = "her gender" if kind == "hero" else "his gender"
                name = words.removesuffix("'s")
                if name in ("She", "He", "Her", "His"):
                    genders[gender].add(int(name in ("He", "His")))
                elif name in GENDER:
                    (heroes if kind == "hero" else friends).add(name)
                    genders[gender].add(GENDER[name])
                else:
                    return None
            else:
                # "her" may be both possessive and object, but never both genders.
                genders[kind].add(what.index(words))  # type: ignore[attr-defined]
        sets = (heroes, friends, *genders.values())
        if any(len(found) > 1 for found in sets) or heroes & friends:
            return None
        if not articles_agree(text):
            return None
        lexemes = _linked_held(self.pattern, lexemes, links)
        return Found(tuple(lexemes), frozenset(heroes), frozenset(genders["her gender"]))


def _spelled(text: str, first: bool) -> str:
    if first and text:
        text = text[0].upper() + text[1:]
    spelled = re.escape(text)
    return f"{spelled.removesuffix(re.escape(' '))}n?\\ " if OPEN_ARTICLE.search(text) else spelled


def _chosen(choice: Choice, words: str) -> set[int]:
    """Which options of a choice read like this."""
    found = {
        i
        for i, option in enumerate(choice.options)
        if "".join(piece[0] for piece in option).lower() == words.lower()
    }
    # An option with a slot in it reads differently for each hero.
    return found or {i for i, o in enumerate(choice.options) if any(isinstance(p, Slot) for p in o)}


def _held(choice: Choice) -> set[int]:
    assert choice.concept
    concept = tables().concepts[choice.concept]
    return {i for i, option in enumerate(choice.options) if concept.holds(option)}


def _linked_held(pattern: Pattern, lexemes: list[Lexeme], links: set[int] | None) -> list[Lexeme]:
    """A held-out word of a linked group holds out the whole group."""
    if links is None:
        return lexemes
    groups = [p for p in pattern.parts if isinstance(p, Choice) and p.linked]
    held = bool(links & held_indices(groups))
    texts = {
        "".join(piece[0] for piece in option).lower() for g in groups for option in g.options
    }
    return [
        Lexeme(x.concept, x.text, x.start, x.end, held or x.held_out)
        if x.text.lower() in texts
        else x
        for x in lexemes
    ]


def articles_agree(text: str) -> bool:
    """Whether every `a` and `an` goes with its word.

    Example:
        >>> articles_agree("An owl ate a apple.")
        False
    """
    return all(m[1].lower() == article(m[2]) for m in _ARTICLE.finditer(text))

