"""Trains a supervised dictionary: a direction for each of storybook's concepts, by ReFT-r1.

It begins with differences of means, divided by the covariance of all activations (Fisher's discriminant), which one
pass over a corpus gives, and goes on on sentences of the same stories, each after the one before it. Sentences with
held-out lexemes take no part.
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

BATCH = 24  # texts of a concept in a step
RIDGE = 0.01  # of the mean variance, added to the covariance before it is divided by


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
        The dictionary, and the plain differences of means as another, to compare it with.
    """
    told = list(corpus(seed + 2, stories))
    means, discriminants = differences(model, site, told)
    learned = reft_dictionary(
        model,
        sentences(told, examples, seed),
        site=site,
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        start=discriminants,
        checkpoint=checkpoint,
    )
    units = torch.nn.functional.normalize(means, dim=-1)
    plain = axbench.supervised("DiffMean", units, concepts(), model.name, site)
    return learned, Dictionary(plain, "difference of means")


def differences(
    model: Model, site: Site, stories: Sequence[Story]
) -> tuple[Float[Tensor, "concept d_model"], Float[Tensor, "concept d_model"]]:
    """The mean over tokens of sentences that express a concept, less that over tokens of all others.

    Args:
        model: The model.
        site: Where.
        stories: What is read, each whole.

    Returns:
        These; and the same divided by the covariance of all activations.
    """
    n, d = len(concepts()), model.width(site)
    sums, counts = torch.zeros(n + 1, d, dtype=torch.float64), torch.zeros(n + 1, dtype=torch.float64)
    squares = torch.zeros(d, d, dtype=torch.float64)
    for read in keyed_activations(model, site, stories):
        every = torch.ones(len(read.expressed), 1, dtype=torch.bool)
        here = torch.cat([read.expressed, every], dim=1) & ~read.held_out[:, None]
        share, x = here[read.sentence].double(), read.x.double()
        sums += share.T @ x
        counts += share.sum(0)
        squares += (share[:, -1:] * x).T @ x
    with_it, without = sums[:n] / counts[:n, None], (sums[n] - sums[:n]) / (counts[n] - counts[:n])[:, None]
    means, centre = with_it - without, sums[n] / counts[n]
    covariance = squares / counts[n] - torch.outer(centre, centre)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(d, dtype=torch.float64)
    return means.float(), torch.linalg.solve(covariance + ridge, means.T).T.float()


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
