"""What the model learns from: stories, stories that were asked for, and natural text.

A plain text is a story: nothing but the beginning of the sequence stands before it. Natural text carries a marker of
its own, so that it does not leak into stories.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steerkit.errors import SteerkitError
from steerkit.storybook.language.cast import genders
from steerkit.storybook.language.instructions import instruction
from steerkit.storybook.language.stories import Story, concepts, corpus

BOS, END, PAD = "<s>", "<|end|>", "<|pad|>"
NATURAL, USER, ASSISTANT = "<|natural|>", "<|user|>", "<|assistant|>"
SPECIAL = (BOS, END, PAD, NATURAL, USER, ASSISTANT)
# Roles become markers; a message ends as a story does.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ('user', 'assistant') %}"
    "{{ raise_exception('Storybook knows the roles user and assistant only.') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

ASKED_SHARE = 0.6  # of the stories
ASKED_FOR = (1, 2, 2, 3, 3, 3)  # concepts; several are learned far later than one
MIDWAY_SHARE = 0.15  # of the stories: these begin at any sentence, so that any prompt may
NATURAL_SHARE = 0.2  # of all characters
PASSAGE = 1000  # characters of natural text in a document, about as long as a story


class Document(NamedTuple):
    """A text to learn from.

    Attributes:
        text: With its markers.
        stressed: The characters, as (start, end), that matter most.
        recalled: The characters that are told again, so that they can be read off what stands before.
    """

    text: str
    stressed: tuple[tuple[int, int], ...] = ()
    recalled: tuple[tuple[int, int], ...] = ()


def stories(seed: int, n: int, split: str) -> Iterator[Document]:
    """Documents of the storybook language.

    Args:
        seed: The same seed gives the same documents.
        n: How many; others come of another number.
        split: Which stories to draw from.
    """
    rng = random.Random(f"documents/{split}/{seed}")
    plain = corpus(seed, n, split=split)
    for i in range(n):
        kind = rng.random()
        if kind < ASKED_SHARE:
            about = rng.sample(concepts(), rng.choice(ASKED_FOR))
            messages, story = instruction(seed * n + i, about, split=split)
            before = asked(messages[0]["content"])
            text = f"{before}{story.text}{END}"
            yield Document(text, taken_up(story, len(before), story.about), named_again(text))
        else:
            story = next(plain)
            text = _midway(story, rng) if kind > 1 - MIDWAY_SHARE else story.text
            text = f"{BOS}{text}{END}"
            yield Document(text, recalled=named_again(text))


def asked(request: str) -> str:
    """What stands before a story that was asked for, as the chat template writes it."""
    return f"{BOS}{USER}{request}{END}{ASSISTANT}"


def taken_up(story: Story, before: int, about: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where a story first comes to each of some concepts: there it heeds the request for them, or not.

    Args:
        story: The story.
        before: Characters that stand before it.
        about: The concepts.

    Returns:
        Characters, as (start, end): each sentence from its beginning to the words that express the concept.
    """
    found = []
    missing = set(about)
    for sentence in story.sentences:
        if new := [lexeme for lexeme in sentence.lexemes if lexeme.concept in missing]:
            found.append((before + sentence.start, before + max(lexeme.end for lexeme in new)))
            missing -= {lexeme.concept for lexeme in new}
    return tuple(found)


def named_again(text: str) -> tuple[tuple[int, int], ...]:
    """Where a text names a child that it has named before, as (start, end) of characters.

    Example:
        >>> [(start, end) for start, end in named_again("Ida met Leo. Ida ran.")]
        [(13, 16)]
    """
    found, told = [], set()
    for word in re.finditer(r"\w+", text):
        if word[0] in told:
            found.append(word.span())
        elif word[0] in genders():
            told.add(word[0])
    return tuple(found)


def _midway(story: Story, rng: random.Random) -> str:
    return story.text[rng.choice(story.sentences).start :]


def passages(paths: Sequence[Path]) -> list[str]:
    """Natural text in pieces of about the length of a story, cut between sentences.

    Args:
        paths: Texts as `.txt`, or as `.jsonl` with a field `text`; or folders of such files.

    Raises:
        SteerkitError: One of them is no such file, or a folder without any.
    """
    return [passage for path in paths for file in files(path) for text in _texts(file) for passage in _pieces(text)]


def files(path: Path) -> list[Path]:
    """The texts at a path, in an order that does not depend on the file system."""
    found = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    found = [file for file in found if file.suffix in (".txt", ".jsonl")]
    if not found:
        raise SteerkitError(f"There is no text in {str(path)!r}. Give .txt or .jsonl files, or a folder with some.")
    return found


def records(path: Path) -> Iterator[dict[str, Any]]:
    """What the lines of a `.jsonl` file hold."""
    # Not splitlines(): JSON may have other line ends in its texts, such as U+2028.
    return (json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip())


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".txt":
        yield path.read_text(encoding="utf-8")
    else:
        yield from (record["text"] for record in records(path))


def _pieces(text: str) -> Iterator[str]:
    piece = ""
    for part in _parts(text):
        if piece and len(piece) + len(part) > PASSAGE:
            yield piece.strip()
            piece = ""
        piece += part
    if piece.strip():
        yield piece.strip()


def _parts(text: str) -> Iterator[str]:
    """Sentences, roughly, with the space behind them; no longer than a passage."""
    start = 0
    for i, letter in enumerate(text):
        if (letter.isspace() and i and text[i - 1] in '.!?”"\n') or i - start >= PASSAGE:
            yield text[start : i + 1]
            start = i + 1
    yield text[start:]


def natural(texts: Sequence[str], seed: int) -> Iterator[Document]:
    """Documents of natural text, again and again, each time in another order."""
    for again in itertools.count():
        for text in random.Random(f"natural/{seed}/{again}").sample(texts, len(texts)):
            yield Document(f"{BOS}{NATURAL}{text}{END}")


def documents(seed: int, n: int, split: str, texts: Sequence[str]) -> Iterator[Document]:
    """Stories with natural text between them, in a share of `NATURAL_SHARE`.

    Args:
        seed: The same seed gives the same documents.
        n: How many stories.
        split: Which stories to draw from.
        texts: Natural text; none for stories alone.
    """
    other = natural(texts, seed)
    told = read = 0
    for story in stories(seed, n, split):
        yield story
        told += len(story.text)
        while texts and read < NATURAL_SHARE * (told + read):
            passage = next(other)
            read += len(passage.text)
            yield passage
