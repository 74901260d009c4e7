"""Storybook: a language whose every sentence is labelled with the concepts it expresses.

storybook.concepts()                 the names of all concepts; families() by family
storybook.story(about=["rain"])      a story with the concepts of every sentence
storybook.instruction(seed=0)        a request for a story, as chat messages, and it
storybook.corpus(seed=0, n=1000)     many stories, in three splits that share none
storybook.expressed("Mia opened her umbrella.")    the concepts that a text expresses
storybook.well_formed("Mia opened her umbrella.")  a bool a sentence
storybook.judge(text)                both, with the place of every sentence and lexeme
"""

from __future__ import annotations

from steerkit.storybook.errors import ConceptError
from steerkit.storybook.language.instructions import Message, instruction
from steerkit.storybook.language.judge import Sentence, expressed, judge, well_formed
from steerkit.storybook.language.realise import Lexeme
from steerkit.storybook.language.stories import Story, concepts, corpus, families, story

__all__ = [
    "ConceptError",
    "Lexeme",
    "Message",
    "Sentence",
    "Story",
    "concepts",
    "corpus",
    "expressed",
    "families",
    "instruction",
    "judge",
    "story",
    "well_formed",
]
