"""A pattern as a regular expression, and what must agree in what it finds.

The expression is loose about names and noun phrases, which are looked up afterwards: one hero, one
friend, a pronoun for each that goes with the name, groups that were chosen together, and a or an.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from steerkit.storybook.language.cast import FRIEND_PRONOUNS, PRONOUNS, genders
from steerkit.storybook.language.notation import Choice, Pattern, Slot, Text
from steerkit.storybook.language.realise import OPEN_ARTICLE, Lexeme, article, held_indices
from steerkit.storybook.language.tables import Concept, tables

_NAME = r"[A-Z][a-z]+"
_SUBJECTS = {"She": 0, "Her": 0, "He": 1, "His": 1}
_ARTICLE = re.compile(r"\b([Aa]n?) (?=([\w'-]+))")


@dataclass(frozen=True)
class Found:
    """A sentence that a pattern generates."""

    lexemes: tuple[Lexeme, ...]
    hero: frozenset[str]
    genders: frozenset[int]  # of the hero; empty where nothing tells


@cache
def phrases() -> dict[str, tuple[Lexeme, ...]]:
    """Every noun phrase that can fill `{thing}`, with its lexemes."""
    return {
        text: lexemes
        for concept in tables().concepts.values()
        for phrase in concept.things
        for text, lexemes in _spell(phrase, concept)
    }


def _spell(phrase: Pattern, concept: Concept) -> list[tuple[str, tuple[Lexeme, ...]]]:
    """All that a noun phrase can be."""
    found: list[tuple[str, tuple[Lexeme, ...]]] = [("", ())]
    for part in phrase.parts:
        if isinstance(part, Choice):
            found = [_with(*one, option, concept) for one in found for option in part.options]
        elif isinstance(part, Text):
            found = [(text + part.text, lexemes) for text, lexemes in found]
    return found


def _with(text: str, lexemes: tuple[Lexeme, ...], option: tuple, concept: Concept) -> tuple[str, tuple[Lexeme, ...]]:
    """A noun phrase that goes on with a lexeme."""
    word = "".join(piece.text for piece in option)
    if OPEN_ARTICLE.search(text) and article(word) == "an":
        text = text.removesuffix(" ") + "n "
    end = len(text) + len(word)
    lexeme = Lexeme(concept.name, word, len(text), end, concept.holds(option))
    return text + word, (*lexemes, lexeme)


class Rule:
    """A pattern, ready to be held against sentences."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self._groups: list[tuple[str, object]] = []
        body = "".join(self._part(part, i == 0) for i, part in enumerate(pattern.parts))
        self._expression = re.compile(body)
        linked = [p for p in pattern.parts if isinstance(p, Choice) and p.linked]
        self._held_links = held_indices(linked)

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
            self._groups.append(("choice", part))
            return f"({self._options(part, first)})"
        return f"(?:{self._options(part, first)})"

    def _options(self, choice: Choice, first: bool) -> str:
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
            return self._pronoun("hero's", PRONOUNS[small], first)
        if small in FRIEND_PRONOUNS:
            return self._pronoun("friend's", PRONOUNS[FRIEND_PRONOUNS[small]], first)
        return "(?:" + "|".join(_spelled(word, first) for word in tables().words[name]) + ")"

    def _pronoun(self, kind: str, words: tuple[str, str], first: bool) -> str:
        girl, boy = (word.capitalize() if first else word for word in words)
        return self._capture(kind, (girl, boy), f"{girl}|{boy}")

    def match(self, text: str) -> Found | None:
        """What the pattern finds in a sentence, or None where it does not generate it."""
        match = self._expression.fullmatch(text)
        if match is None or not articles_agree(text):
            return None
        people = _People()
        lexemes: list[Lexeme] = []
        linked: list[int] = []  # where the lexemes of linked groups are
        links: set[int] | None = None
        for number, (kind, what) in enumerate(self._groups, 1):
            words = match[number]
            if words is None:  # stands in an option that was not chosen
                continue
            start = match.start(number)
            if isinstance(what, Choice):
                chosen = _chosen(what, words)
                if what.linked:
                    linked += [len(lexemes)] * bool(what.concept)
                    links = chosen if links is None else links & chosen
                if what.concept and words:
                    held = bool(chosen & held_indices([what]))
                    lexemes.append(Lexeme(what.concept, words, start, start + len(words), held))
            elif kind == "thing":
                if words not in phrases():
                    return None
                lexemes += [lexeme.moved(start) for lexeme in phrases()[words]]
            else:
                people.meet(kind, words, what)
        if links == set() or not people.agree():
            return None
        if links and links & self._held_links:
            # A held-out word of one linked group holds out its like in the others.
            for i in linked:
                lexemes[i] = replace(lexemes[i], held_out=True)
        return Found(tuple(lexemes), frozenset(people.heroes), frozenset(people.hers))


class _People:
    """Who is in a sentence, and of which gender: 0 for girls, 1 for boys."""

    def __init__(self) -> None:
        self.heroes: set[str] = set()
        self.friends: set[str] = set()
        self.hers: set[int] = set()  # the hero's gender, by name and by pronouns
        self.his: set[int] = set()  # the friend's
        self.strangers = False

    def meet(self, kind: str, words: str, forms: object) -> None:
        """Take in a name or a pronoun; `forms` are a pronoun's words for either gender."""
        found = self.hers if kind.startswith("hero") else self.his
        name = words.removesuffix("'s")
        if isinstance(forms, tuple):
            found.add(forms.index(words))
        elif name in genders():
            (self.heroes if kind == "hero" else self.friends).add(name)
            found.add(genders()[name])
        elif name in _SUBJECTS:
            found.add(_SUBJECTS[name])
        else:
            self.strangers = True

    def agree(self) -> bool:
        """Whether there is one hero and one friend, each with pronouns of their own."""
        sets = (self.heroes, self.friends, self.hers, self.his)
        one_each = all(len(found) < 2 for found in sets)
        return one_each and not self.strangers and not self.heroes & self.friends


def _spelled(text: str, first: bool) -> str:
    if first and text:
        text = text[0].upper() + text[1:]
    spelled = re.escape(text)
    return f"{spelled.removesuffix(re.escape(' '))}n?\\ " if OPEN_ARTICLE.search(text) else spelled


def _chosen(choice: Choice, words: str) -> set[int]:
    """Which options of a choice read like this."""
    found = {
        i for i, option in enumerate(choice.options) if "".join(piece[0] for piece in option).lower() == words.lower()
    }
    # An option with a slot in it reads differently for each hero.
    return found or {i for i, o in enumerate(choice.options) if any(isinstance(p, Slot) for p in o)}


def articles_agree(text: str) -> bool:
    """Whether every `a` and `an` goes with its word.

    Example:
        >>> articles_agree("An owl ate a apple.")
        False
    """
    return all(m[1].lower() == article(m[2]) for m in _ARTICLE.finditer(text))
