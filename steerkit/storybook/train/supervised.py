"""Trains a supervised dictionary: a direction for each of storybook's concepts, by ReFT-r1.

It begins with the differences of means, taken in one pass over a corpus, and goes on on sentences of the same stories,
each after the one before it. Sentences with held-out lexemes take no part.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.formats import axbench
from steerkit.learn.examples import Examples
from steerkit.learn.reft import reft_dictionary
from steerkit.storybook.language.stories import Story, concepts, corpus
from steerkit.storybook.measures import keyed_activations
from steerkit.tokens import Completion

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.model import Model
    from steerkit.sites import Site

BATCH = 12  # texts of a concept in a step


def train(
    model: Model,
    site: Site,
    *,
    stories: int,
    examples: int,
    epochs: int,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
) -> tuple[Dictionary, Dictionary]:
    """Train a dictionary.

    Args:
        model: The model.
        site: Where.
        stories: How many stories of the training split are read.
        examples: Sentences of them with each concept, and as many without, that are learned from.
        epochs: How often.
        seed: Of the stories, and of what is taken of them.
        checkpoint: A file to go on from.

    Returns:
        The dictionary, and the differences of means that it began with, as one.
    """
    told = list(corpus(seed + 2, stories))
    means = mean_differences(model, site, told)
    learned = reft_dictionary(
        model,
        sentences(told, examples, seed),
        site=site,
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        start=means,
        checkpoint=checkpoint,
    )
    begun = axbench.supervised("DiffMean", torch.nn.functional.normalize(means, dim=-1), concepts(), model.name, site)
    return learned, Dictionary(begun, "difference of means")


def mean_differences(model: Model, site: Site, stories: Sequence[Story]) -> Float[Tensor, "concept d_model"]:
    """The mean over tokens of sentences that express a concept, less that over tokens of all others.

    Args:
        model: The model.
        site: Where.
        stories: What is read, each whole.
    """
    n = len(concepts())
    sums, counts = torch.zeros(n + 1, model.width(site), dtype=torch.float64), torch.zeros(n + 1, dtype=torch.float64)
    for read in keyed_activations(model, site, stories):
        every = torch.ones(len(read.expressed), 1, dtype=torch.bool)
        here = torch.cat([read.expressed, every], dim=1) & ~read.held_out[:, None]
        share = here[read.sentence].double()
        sums += share.T @ read.x.double()
        counts += share.sum(0)
    with_it, without = sums[:n] / counts[:n, None], (sums[n] - sums[:n]) / (counts[n] - counts[:n])[:, None]
    return (with_it - without).float()


def sentences(stories: Sequence[Story], n: int, seed: int) -> dict[str, Examples]:
    """For each concept, sentences that express it and sentences of stories without it, each after the one before.

    Args:
        stories: Where they are from.
        n: How many of either.
        seed: Which.
    """
    found = [
        (Completion(story.text[before.start : before.end], story.text[before.end : sentence.end]), sentence, story)
        for story in stories
        for before, sentence in zip(story.sentences, story.sentences[1:], strict=False)
        if not sentence.held_out
    ]
    random.Random(seed).shuffle(found)
    return {
        name: Examples(
            tuple(text for text, sentence, _ in found if name in sentence.concepts)[:n],
            tuple(text for text, _, story in found if name not in story.concepts)[:n],
        )
        for name in concepts()
    }
