"""Stories that were asked for, as chat messages, so that following can be judged by program."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypedDict

from steerkit.storybook.language.stories import MOST, Story, checked, concepts, story
from steerkit.storybook.language.tables import tables


class Message(TypedDict):
    """One message of a chat, as chat templates take it."""

    role: str
    content: str


# {x}: what the story is to be about; {X} the same at the start of a sentence.
_REQUESTS = """
Tell me a story about {x}.
Tell me a story with {x} in it.
Tell a story about {x}.
Tell us about {x}.
Please tell me a story about {x}.
Please write a story about {x}.
Write a story about {x}.
Write a little story about {x}.
Write a children's story with {x}.
Write me a bedtime story about {x}.
Make up a story about {x}.
Could you tell me a story about {x}?
Can you write a story with {x}?
Would you tell me something about {x}?
Do you know a story about {x}?
I would like a story about {x}.
I want to hear a story about {x}.
I love stories about {x}.
My daughter wants a story about {x}.
Our class would like to read about {x}.
A story about {x}, please.
One story with {x}, please.
Give me a short story about {x}.
Let us have a story about {x}.
How about a story with {x}?
Once more, a story about {x}.
Read me something about {x}.
{X}: can you make a story of that?
What happens in a story about {x}?
Surprise me with a story about {x}.
""".strip().splitlines()


def _joined(phrases: Sequence[str]) -> str:
    if len(phrases) < 3:
        return " and ".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def request(rng: random.Random, about: Sequence[str]) -> str:
    """What a reader says to hear a story about these concepts, in this order."""
    table = tables().concepts
    place = about[-1] if len(about) > 1 and table[about[-1]].where and rng.random() < 0.8 else None
    named = [rng.choice(table[name].asked) for name in about if name != place]
    x = _joined(named)
    if place:
        x += f" {rng.choice(table[place].where)}"
    line = rng.choice(_REQUESTS)
    return line.replace("{x}", x).replace("{X}", x[0].upper() + x[1:])


def _as_told(told: Story) -> list[str]:
    """What a story is about, in the order in which it comes to it.

    A request names its wishes in this order, so that a small model can take them up one by one.
    """
    first = {name: i for i, sentence in reversed(list(enumerate(told.sentences))) for name in sentence.concepts}
    return sorted(told.about, key=lambda name: first.get(name, len(told.sentences)))


def instruction(
    seed: int = 0,
    about: Sequence[str] = (),
    *,
    split: str = "train",
    lexemes: str = "all",
) -> tuple[list[Message], Story]:
    """Ask for a story, and tell it.

    Args:
        seed: The same seed asks for the same story.
        about: Up to three concepts to ask for; without any, one to three are chosen.
        split: Which stories to draw from; see `story`.
        lexemes: Which words may express concepts; see `story`.

    Returns:
        A user's and an assistant's message, and the story, which takes up what is asked for in the order of the
        request. The concepts that were asked for are `story.about`; an answer follows the instruction if it expresses
        all of them.

    Raises:
        ConceptError: As `story`.

    Example:
        >>> messages, told = instruction(seed=0, about=["fox", "rain"])
        >>> [message["role"] for message in messages], told.about
        (['user', 'assistant'], ('fox', 'rain'))
    """
    about = checked(about, split, lexemes)
    rng = random.Random(f"instruction/{split}/{seed}/{lexemes}/{','.join(about)}")
    names = about or rng.sample(concepts(), rng.choice((1, 1, 2, 2, MOST)))
    told = story(seed, names, split=split, lexemes=lexemes)
    messages: list[Message] = [
        {"role": "user", "content": request(rng, _as_told(told))},
        {"role": "assistant", "content": told.text},
    ]
    return messages, told
