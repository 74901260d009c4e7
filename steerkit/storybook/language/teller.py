"""Tells a story: a beginning, something that goes wrong, how it is mended, and an end.

Cause and effect are in the tables: what goes wrong (`turn`) and what mends it (`mend`) are written
together. The teller keeps the rest in order: who is called by name or pronoun, what has been
introduced, what has been said already, and which concept comes when.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from steerkit.storybook.language.cast import Cast
from steerkit.storybook.language.notation import Pattern, Slot, Text
from steerkit.storybook.language.plan import Plan, clash
from steerkit.storybook.language.realise import Lexeme, Realised, can_be, may_be_held_out, realise
from steerkit.storybook.language.tables import Turn, tables

# Verbs that say how things were, not what came next: "Just then, " does not go with them.
_STATES = re.compile(r" (was|were|had|has|lay|stood|lived|hung|is|are|could) ")
_SHORT = 9  # words that a half of a joined sentence may have


@dataclass(frozen=True)
class Told:
    """One sentence of a story on its own."""

    text: str
    lexemes: tuple[Lexeme, ...]
    patterns: tuple[Pattern, ...]


def leadable(pattern: Pattern) -> bool:
    """Whether "Just then, " may stand before a sentence of this pattern."""
    if pattern.role not in ("enter", "more", "turn") or _STATES.search(pattern.source):
        return False
    return _movable(pattern)


def _movable(pattern: Pattern) -> bool:
    """Whether a sentence of this pattern may stand behind other words."""
    first = pattern.parts[0]
    if isinstance(first, Slot):
        return first.name in ("Mia", "Mia's", "Ben", "Ben's")
    return isinstance(first, Text) and first.text.startswith(("A ", "An ", "The ", "They "))


def joinable(pattern: Pattern) -> bool:
    """Whether a pattern may be half of "..., and ..."."""
    plain = pattern.source
    return (
        pattern.role == "more"
        and _movable(pattern)
        and plain.endswith(".")
        and not any(mark in plain for mark in (",", '"', ":"))
        and len(plain.split()) <= _SHORT
    )


def lowered(text: str, pattern: Pattern) -> str:
    """A sentence as it goes on after a comma: names keep their capital."""
    first = pattern.parts[0]
    if isinstance(first, Slot) and first.name in ("Mia", "Mia's", "Ben", "Ben's"):
        pronoun = text.split(" ", 1)[0] in ("She", "He", "Her", "His")
        return text[0].lower() + text[1:] if pronoun else text
    return text[0].lower() + text[1:]


class Teller:
    """One story in the making."""

    def __init__(self, rng: random.Random, cast: Cast, plan: Plan, lexemes: str) -> None:
        self.rng = rng
        self.cast = cast
        self.plan = plan
        self.lexemes = lexemes
        self.paragraphs: list[list[Told]] = [[]]
        self.used: set[str] = set()
        self.said: set[str] = set()
        self.turn: Turn
        self.friend = False  # has been introduced
        self.keepsake = False
        self.pronouns = 0  # sentences in a row that call the hero by a pronoun
        self.hero_last = False  # the last sentence was about the hero, and about nobody else

    def tell(self) -> list[list[Told]]:
        """The paragraphs of the story."""
        self._beginning()
        late = self._middle()
        self._turn()
        for before, name in itertools.pairwise((self.plan.main, *late)):
            self._paragraph()
            self._pass(before, name)
            self._block(name, 2)
        self._ending(late[-1] if late else self.plan.main)
        return [paragraph for paragraph in self.paragraphs if paragraph]

    # The parts of a story

    def _beginning(self) -> None:
        main = self.plan.main
        if tables().concepts[main].things and not self.plan.apart and self.rng.random() < 0.65:
            self._frame("loves", thing=main)
        else:
            self._frame("hero")
        if self.rng.random() < 0.35:
            self._frame("have")
        if self.rng.random() < 0.6:
            self._frame("meet")

    def _middle(self) -> list[str]:
        """All that comes before the turn; returns the concepts that must come after it."""
        order, main = list(self.plan.order), self.plan.main
        late: list[str] = []
        if self.plan.apart:
            at = order.index(main)
            order, late = order[: at + 1], order[at + 1 :]
        for position, name in enumerate(order):
            self._paragraph()
            spoken = bool(position) and self._pass(order[position - 1], name)
            small = name != main and len(order) > 2 and not (spoken or self.plan.apart)
            if small and self.rng.random() < 0.5 and self._remark(name):
                continue
            self._block(name, 3 if name == main and self.rng.random() < 0.3 else 2)
            if not self.friend:
                self._frame("meet")
        return late

    def _pass(self, before: str, name: str) -> bool:
        """From one concept to the next; True if the next has been spoken of."""
        if axis := clash(before, name):
            self._frame(axis)
        elif self.friend and tables().concepts[name].things and self.rng.random() < 0.3:
            self._frame("spot", thing=name)
            return True
        elif self.rng.random() < 0.2:
            self._frame("go")
        return False

    def _block(self, name: str, sentences: int) -> None:
        """A concept comes in, and there is more of it."""
        concept = tables().concepts[name]
        self._say(concept.enter, lead=0.45)
        for _ in range(sentences - 1):
            if self.rng.random() > 0.2 or not self._join(concept.more):
                self._say(concept.more, lead=0.06)

    def _remark(self, name: str) -> bool:
        """A concept that is only talked about, in passing."""
        concept = tables().concepts[name]
        if not concept.things or not self.friend or self.rng.random() < 0.3:
            return False
        self._frame("talk", thing=name)
        # Nothing has come in yet that "it" could stand for.
        self._say([p for p in concept.more if not p.source.startswith(("It ", "Its "))])
        return True

    def _turn(self) -> None:
        plan, concept = self.plan, tables().concepts[self.plan.main]
        self._paragraph()
        if not plan.apart and plan.order[-1] != plan.main and concept.things:
            self._frame("back", thing=plan.main)
        elif self.rng.random() < 0.3:
            self._frame("but")
        # What goes wrong must not need words that may not be said when it is mended.
        fit = [t for t in concept.turns if any(can_be(mend, self.lexemes) for mend in t.mends)]
        wrong = self._say([turn.wrong for turn in fit or concept.turns], lead=0.3)
        self.turn = next(turn for turn in concept.turns if turn.wrong is wrong)
        if plan.reaction:
            feeling = tables().concepts[plan.reaction]
            self._say(feeling.enter)
            self._say(feeling.more)
        elif self._words() < 135 and self.rng.random() < 0.85:
            self._frame("react")
        self._say(self.turn.mends)
        if plan.delight:
            feeling = tables().concepts[plan.delight]
            self._say(feeling.more)
            self._say(feeling.more)
        elif self._words() < 125 and self.rng.random() < 0.7:
            self._frame("relief")

    def _ending(self, last: str) -> None:
        self._paragraph()
        words = self._words()
        concept = tables().concepts[last]
        if words < 105:
            self._say(concept.more)
        if self.plan.delight and self.rng.random() < 0.5:
            concept = tables().concepts[self.plan.delight]
        if words < 150 or self.rng.random() < 0.5:
            own = self.turn.last if concept.name == self.plan.main else []
            self._say(own or concept.end)
            if words < 125 and self.rng.random() < 0.7:
                self._frame("close")
        else:
            self._frame("close")

    def _words(self) -> int:
        return sum(len(told.text.split()) for p in self.paragraphs for told in p)

    # Sentences

    def _usable(self, patterns: Sequence[Pattern]) -> list[Pattern]:
        return [
            p
            for p in patterns
            if p.source not in self.used
            and (self.friend or p.role == "meet" or not p.uses("Ben"))
            and (self.keepsake or p.role == "have" or not p.uses("keepsake"))
            and can_be(p, self.lexemes)
        ]

    def _say(self, patterns: Sequence[Pattern], *, lead: float = 0.0) -> Pattern:
        usable = self._usable(patterns)
        if not usable and not self.friend:
            self._frame("meet")
            usable = self._usable(patterns)
        if self.lexemes == "held_out":
            usable = [p for p in usable if may_be_held_out(p)] or usable
        pattern = self.rng.choice(usable or list(patterns))
        told = self._realise(pattern)
        if lead and leadable(pattern) and self.rng.random() < lead:
            told = self._led(told, pattern)
        self._add(told, pattern)
        return pattern

    def _frame(self, role: str, thing: str | None = None) -> None:
        frames = self._usable(tables().frames[role])
        pattern = self.rng.choice(frames)
        filling = None
        if thing:
            phrases = [p for p in tables().concepts[thing].things if can_be(p, self.lexemes)]
            phrases = phrases or tables().concepts[thing].things
            filling = realise_thing(self.rng.choice(phrases), self.rng, self.cast, self.lexemes)
        told = self._realise(pattern, filling)
        self._add(told, pattern)
        self.friend |= role == "meet"
        self.keepsake |= role == "have"

    def _realise(self, pattern: Pattern, thing: Realised | None = None) -> Told:
        first = pattern.parts[0]
        about_hero = first in (Slot("Mia"), Slot("Mia's"))
        pronoun = about_hero and self.hero_last and self.pronouns < 2 and self.rng.random() < 0.75
        done = realise(
            pattern,
            self.rng,
            self.cast,
            pronoun=pronoun,
            thing=thing,
            lexemes=self.lexemes,
            said=self.said,
        )
        self.pronouns = self.pronouns + 1 if pronoun else 0
        people = pattern.owner and tables().concepts[pattern.owner].family == "people"
        self.hero_last = pattern.uses("Mia") and not people
        return Told(done.text, done.lexemes, (pattern,))

    def _led(self, told: Told, pattern: Pattern) -> Told:
        lead = self.rng.choice(tables().words["lead"])
        start = f"{lead}, "
        text = start + lowered(told.text, pattern)
        return Told(text, tuple(x.moved(len(start)) for x in told.lexemes), told.patterns)

    def _join(self, patterns: Sequence[Pattern]) -> bool:
        """Two short sentences as one; False where there are not two that fit."""
        fitting = [p for p in self._usable(patterns) if joinable(p)]
        if len(fitting) < 2:
            return False
        first, second = self.rng.sample(fitting, 2)
        one, two = self._realise(first), self._realise(second)
        start = one.text.removesuffix(".") + ", and "
        lexemes = one.lexemes + tuple(x.moved(len(start)) for x in two.lexemes)
        text = start + lowered(two.text, second)
        self._add(Told(text, lexemes, (first, second)), first, second)
        return True

    def _add(self, told: Told, *patterns: Pattern) -> None:
        self.used.update(p.source for p in patterns)
        self.paragraphs[-1].append(told)

    def _paragraph(self) -> None:
        """Begin a new paragraph once this one has some length."""
        if len(self.paragraphs[-1]) >= 3:
            self.paragraphs.append([])
            self.hero_last = False


def realise_thing(phrase: Pattern, rng: random.Random, cast: Cast, lexemes: str) -> Realised:
    """A noun phrase, which keeps its small letter."""
    done = realise(phrase, rng, cast, lexemes=lexemes)
    first = phrase.parts[0]
    if isinstance(first, Text) and first.text[0].islower():
        return Realised(done.text[0].lower() + done.text[1:], done.lexemes)
    text = next(x for x in done.lexemes).text
    return Realised(text + done.text[len(text) :], done.lexemes)
