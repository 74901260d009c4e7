"""From a pattern to a sentence: slots filled, alternatives chosen, lexemes marked."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from steerkit.storybook.language.cast import Cast
from steerkit.storybook.language.notation import Choice, Pattern, Slot, Text
from steerkit.storybook.language.tables import spelling, tables

LEXEMES = ("all", "shown", "held_out")  # which of them may be used


@dataclass(frozen=True)
class Lexeme:
    """The words of a text that express a concept.

    Attributes:
        concept: What they express.
        text: The words.
        start: The first character, counted from the start of the text they stand in.
        end: One after the last character.
        held_out: Whether they are kept out of what labels or chooses features.
    """

    concept: str
    text: str
    start: int
    end: int
    held_out: bool

    def moved(self, by: int) -> Lexeme:
        """The same lexeme, `by` characters later."""
        return Lexeme(self.concept, self.text, self.start + by, self.end + by, self.held_out)


@dataclass(frozen=True)
class Realised:
    """A sentence on its own, and the lexemes in it."""

    text: str
    lexemes: tuple[Lexeme, ...]


# An article that waits for its word: "a ".
OPEN_ARTICLE = re.compile(r"(?:^|\s|\")([Aa]) $")
# Behind these stands the name of a thing, or an adjective that belongs to it.
_NOUN = re.compile(r"\b(the|an?|its|her|his) $", re.I)
_VOWEL_SOUND = re.compile(r"(?!uni|use|eu|one\b|once\b)[aeiou]|hour|honest|heir", re.I)


def article(following: str) -> str:
    """`a` or `an`, whichever the following word takes.

    Example:
        >>> article("honest thief"), article("unicorn")
        ('an', 'a')
    """
    return "an" if _VOWEL_SOUND.match(following) else "a"


def allowed(choice: Choice, lexemes: str) -> list[int]:
    """The options of a choice that may be used; all of them where the policy leaves none."""
    everything = list(range(len(choice.options)))
    if not choice.concept or lexemes == "all":
        return everything
    concept = tables().concepts[choice.concept]
    wanted = [i for i in everything if concept.holds(choice.options[i]) == (lexemes == "held_out")]
    return wanted or everything


def may_be_held_out(pattern: Pattern) -> bool:
    """Whether a pattern has a held-out lexeme."""
    concepts = tables().concepts
    return any(
        concepts[part.concept].holds(option)
        for part in pattern.parts
        if isinstance(part, Choice) and part.concept
        for option in part.options
    )


def _linked_options(pattern: Pattern, lexemes: str) -> list[int]:
    """The indices that linked groups may share: a held-out word holds its whole index."""
    groups = [p for p in pattern.parts if isinstance(p, Choice) and p.linked]
    if not groups:
        return [0]
    everything = list(range(len(groups[0].options)))
    held = held_indices(groups)
    if lexemes == "all":
        return everything
    return [i for i in everything if (i in held) == (lexemes == "held_out")] or everything


def held_indices(groups: list[Choice]) -> set[int]:
    """Which options of linked groups are held out."""
    concepts = tables().concepts
    return {
        i
        for group in groups
        if group.concept
        for i, option in enumerate(group.options)
        if concepts[group.concept].holds(option)
    }


def can_be(pattern: Pattern, lexemes: str) -> bool:
    """Whether a pattern can be realised with shown lexemes alone, if those are asked for."""
    if lexemes != "shown":
        return True
    concepts = tables().concepts
    for part in pattern.parts:
        if not isinstance(part, Choice) or not part.concept:
            continue
        if part.linked:
            if len(held_indices([part])) == len(part.options):
                return False
        elif all(concepts[part.concept].holds(option) for option in part.options):
            return False
    return True


def _pick(choice: Choice, rng: random.Random, lexemes: str, said: set[str]) -> int:
    """An option; what has been said before if it is among them."""
    options = allowed(choice, lexemes)
    again = [i for i in options if spelling(choice.options[i]).removesuffix("'s") in said]
    return rng.choice(again if again and rng.random() < 0.85 else options)


def _is_noun(choice: Choice, before: str) -> bool:
    """Whether a choice names somebody or something, by what stands before it or by a capital."""
    first = choice.options[0][0]
    name = isinstance(first, Text) and first.text[0].isupper()
    return name or _NOUN.search(before) is not None


class _Writer:
    """Collects the pieces of one sentence."""

    def __init__(self) -> None:
        self.text = ""
        self.lexemes: list[Lexeme] = []

    def add(self, text: str) -> None:
        if text and (open_article := OPEN_ARTICLE.search(self.text)):
            self.text = self.text[: open_article.start(1)] + open_article[1]
            self.text += "n " if article(text) == "an" else " "
        self.text += text

    def lexeme(self, concept: str, text: str, held_out: bool) -> None:
        self.add(text)
        end = len(self.text)
        self.lexemes.append(Lexeme(concept, text, end - len(text), end, held_out))


def _fill(piece: Text | Slot, rng: random.Random, cast: Cast, *, pronoun: bool = False) -> str:
    """Words as they stand, or what fills a slot; the hero as a pronoun if asked for."""
    if isinstance(piece, Text):
        return piece.text
    if pronoun and piece.name in ("Mia", "Mia's"):
        return cast.word("she" if piece.name == "Mia" else "her") or ""
    return cast.word(piece.name) or rng.choice(tables().words[piece.name])


def realise(
    pattern: Pattern,
    rng: random.Random,
    cast: Cast,
    *,
    pronoun: bool = False,
    thing: Realised | None = None,
    lexemes: str = "all",
    said: set[str] | None = None,
) -> Realised:
    """Write one sentence.

    Args:
        pattern: What to write.
        rng: Chooses between alternatives.
        cast: Who fills the slots.
        pronoun: Call the hero by a pronoun where the sentence begins with `{Mia}`.
        thing: What fills `{thing}`.
        lexemes: Which lexemes may be used: all, only shown ones, or held-out ones if possible.
        said: What the story has already called by which noun, so that a pony stays a pony.

    Returns:
        The sentence and its lexemes.
    """
    writer = _Writer()
    said = set() if said is None else said
    link = rng.choice(_linked_options(pattern, lexemes))
    groups = [p for p in pattern.parts if isinstance(p, Choice) and p.linked]
    link_held = link in held_indices(groups)
    for position, part in enumerate(pattern.parts):
        if part == Slot("thing"):
            assert thing is not None
            offset = len(writer.text)
            writer.add(thing.text)
            writer.lexemes += [lexeme.moved(offset) for lexeme in thing.lexemes]
        elif isinstance(part, Choice):
            noun = _is_noun(part, writer.text)
            index = link if part.linked else _pick(part, rng, lexemes, said if noun else set())
            option = part.options[index]
            text = "".join(_fill(piece, rng, cast) for piece in option)
            if part.concept and text:
                if noun:
                    said.add(text.lower().removesuffix("'s"))
                held = tables().concepts[part.concept].holds(option)
                writer.lexeme(part.concept, text, link_held if part.linked else held)
            else:
                writer.add(text)
        else:
            writer.add(_fill(part, rng, cast, pronoun=pronoun and position == 0))
    return Realised(writer.text[0].upper() + writer.text[1:], tuple(writer.lexemes))
