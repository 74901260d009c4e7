"""Stories to read, to train on and to judge by.

Three splits never share a story: every story names its hero and its friend, and each pair of names
belongs to one split.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from steerkit.counts import at_most
from steerkit.storybook.errors import ConceptError, unknown
from steerkit.storybook.language.cast import Cast
from steerkit.storybook.language.judge import Sentence
from steerkit.storybook.language.plan import plan
from steerkit.storybook.language.realise import LEXEMES
from steerkit.storybook.language.tables import tables
from steerkit.storybook.language.teller import Teller, Told

SPLITS = ("train", "second", "held_out")
MOST = 3  # concepts that can be asked for


@dataclass(frozen=True)
class Story:
    """A story and its answer key.

    Attributes:
        text: The story; an empty line stands between its paragraphs.
        sentences: Its sentences, with the concepts that each of them expresses.
        about: The concepts that were asked for; those of the plan where none were.
    """

    text: str
    sentences: tuple[Sentence, ...]
    about: tuple[str, ...]

    @property
    def concepts(self) -> frozenset[str]:
        """All concepts that the story expresses."""
        return frozenset().union(*(sentence.concepts for sentence in self.sentences))


def concepts() -> list[str]:
    """The names of all concepts, family by family.

    Example:
        >>> concepts()[:3]
        ['cat', 'dog', 'bird']
    """
    return list(tables().concepts)


def families() -> dict[str, list[str]]:
    """The concepts of each family.

    Example:
        >>> families()["space"]
        ['moon', 'stars', 'rocket']
    """
    found: dict[str, list[str]] = {}
    for concept in tables().concepts.values():
        found.setdefault(concept.family, []).append(concept.name)
    return found


@cache
def _pairs() -> dict[str, list[tuple[str, str]]]:
    """The hero and the friend of each split: a girl and a boy, so that pronouns are clear."""
    pairs: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    for i, girl in enumerate(tables().words["girls"]):
        for j, boy in enumerate(tables().words["boys"]):
            for k, pair in enumerate(((girl, boy), (boy, girl))):
                place = (i + 3 * j + 5 * k) % 10
                split = "held_out" if place == 0 else "train" if place < 6 else "second"
                pairs[split].append(pair)
    return pairs


def checked(about: Sequence[str], split: str, lexemes: str) -> tuple[str, ...]:
    """The concepts asked for, if they, the split and the policy are known."""
    if isinstance(about, str):
        about = [about]
    for name in about:
        if name not in tables().concepts:
            raise unknown("concept", name, tables().concepts)
    if len(set(about)) != len(about) or len(about) > MOST:
        raise ConceptError(f"about={list(about)!r} is not a list of at most {MOST} different concepts. Ask for fewer.")
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    if lexemes not in LEXEMES:
        raise unknown("choice of lexemes", lexemes, LEXEMES)
    return tuple(about)


def _laid_out(paragraphs: list[list[Told]]) -> tuple[str, tuple[Sentence, ...]]:
    text = ""
    sentences = []
    for paragraph in paragraphs:
        for position, told in enumerate(paragraph):
            if text:
                text += " " if position else "\n\n"
            start = len(text)
            text += told.text
            lexemes = tuple(lexeme.moved(start) for lexeme in told.lexemes)
            sentences.append(Sentence(start, len(text), True, lexemes))
    return text, tuple(sentences)


def _tell(key: str, about: tuple[str, ...], split: str, lexemes: str) -> Story:
    # A seed of text goes through SHA-512 and so does not depend on Python's hash of strings.
    rng = random.Random(key)
    chosen = plan(rng, about)
    cast = Cast(*rng.choice(_pairs()[split]), rng.choice(tables().words["keepsake"]))
    text, sentences = _laid_out(Teller(rng, cast, chosen, lexemes).tell())
    others = (*chosen.order, chosen.reaction, chosen.delight)
    planned = (chosen.main, *(n for n in others if n and n != chosen.main))
    return Story(text, sentences, about or planned)


def story(
    seed: int = 0,
    about: Sequence[str] = (),
    *,
    split: str = "train",
    lexemes: str = "all",
) -> Story:
    """Tell a story.

    Args:
        seed: The same seed tells the same story.
        about: Up to three concepts that it expresses, the main one first; without any, the story
            chooses its own.
        split: Which stories to draw from: "train", "second" (for a second model) or "held_out".
        lexemes: Which words may express concepts: "all"; "shown", without those that are held
            out; or "held_out", those alone wherever the sentence has one.

    Returns:
        The story with the concepts of each of its sentences.

    Raises:
        ConceptError: There is no such concept, split or choice of lexemes, or more than three concepts or one of them
            twice are asked for.

    Example:
        >>> told = story(seed=3, about=["rain"])
        >>> "rain" in told.concepts and all(s.well_formed for s in told.sentences)
        True
    """
    names = checked(about, split, lexemes)
    return _tell(f"story/{split}/{seed}/{lexemes}/{','.join(names)}", names, split, lexemes)


def corpus(seed: int = 0, n: int = 1000, *, split: str = "train", lexemes: str = "all") -> Iterator[Story]:
    """Tell `n` stories, in which all concepts are equally common.

    Args:
        seed: The same seed tells the same stories, and the first ones of a longer corpus.
        n: How many.
        split: Which stories to draw from; no two splits share one.
        lexemes: Which words may express concepts; see `story`.

    Returns:
        Stories, told one by one.

    Raises:
        ConceptError: There is no such split or choice of lexemes.
        SettingError: `n` is no number of stories.

    Example:
        >>> [len(told.about) > 2 for told in corpus(seed=1, n=2, split="held_out")]
        [True, True]
    """
    checked((), split, lexemes)
    numbers = range(at_most(n, "n"))
    return (_tell(f"corpus/{split}/{seed}/{i}/{lexemes}", (), split, lexemes) for i in numbers)
