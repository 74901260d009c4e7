"""ReFT-r1: directions that detect and steer, learned from what they do to the model's predictions.

Source: Wu et al. (2025), "AxBench: Steering LLMs? Even Simple Baselines Outperform Sparse Autoencoders"; code
stanfordnlp/axbench, `LsReFT`. Differs: a direction has length 1 at every forward pass (there it gets it before a step
of the optimiser, which takes it away again), and padding takes no part.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.formats import axbench
from steerkit.errors import PromptError, VectorError
from steerkit.learn.descent import Descent, Rule, Settings, described
from steerkit.learn.examples import Examples
from steerkit.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from steerkit.model import Model
    from steerkit.tokens import Encoded, TextLike
    from steerkit.vectors.vector import Vector

TOP = 8  # latents whose mean is written
SPARSITY = 0.005  # weight of the others in the loss, at the end
LONGEST = 1.0  # gradient


def reft(
    model: Model,
    positives: Examples | Sequence[TextLike],
    negatives: Sequence[TextLike] | None = None,
    *,
    site: str | Site,
    epochs: int = 3,
    batch_size: int = 6,
    rate: float = 0.01,
    seed: int = 0,
    start: Vector | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    label: str = "ReFT-r1",
) -> Vector:
    """Learn a direction `w` of length 1 whose latents `relu(x·w)` tell what a text has, and write it.

    While it learns, every token but special ones gets `mean(top 8 latents of the text)·w` added, and the completions of
    both sides are predicted: on positives what is written has to help, on negatives there should be nothing to write.
    The other latents are pushed down (L1), more and more.

    Args:
        model: The model.
        positives: Texts (or token ids, chat messages, or a `Completion` of these) that have what the direction is for;
            or `Examples`, which have the negatives too. What follows the prompt of a `Completion` is predicted; of
            other texts, everything.
        negatives: Texts that have not.
        site: Where to learn it.
        epochs: How often each text is learned from.
        batch_size: Texts in a step.
        rate: The learning rate at the beginning; it falls to 0 in a straight line.
        seed: Of the order of the texts.
        start: What to begin with, such as a difference of means, of any length; without it all numbers are equal, as in
            AxBench's code. A direction that reads nothing in any text is never changed, which a warning says.
        checkpoint: A file to write now and then, and to go on from where there is one.
        label: Name of the vector.

    Returns:
        The direction, with an offset at which a reading is 0 midway between the means of the two sides. An interrupt
        ends the training, and gives what has been learned so far.

    Raises:
        PromptError: One of the sides is empty, texts stand on both, or a text does not fit the model.
        SiteError: The model has no such site, or nothing can be learned there.
        SettingError: A setting is out of range, or the checkpoint is of another training.
        VectorError: What to begin with does not fit the site.
        EngineError: The model runs remotely, the memory does not suffice for a text, or the loss is no number.
    """
    examples = Examples.of(positives, negatives).encode(model)
    settings = Settings(epochs, batch_size, rate, seed)
    begin = None if start is None else start[site][None]
    descent = _descent(model, [[*examples.positives, *examples.negatives]], site, settings, begin)
    return described(model, examples, descent, descent.run(checkpoint)[0], "reft", label)


def reft_dictionary(
    model: Model,
    concepts: Mapping[str, Examples],
    *,
    site: str | Site,
    epochs: int = 3,
    batch_size: int = 6,
    rate: float = 0.01,
    seed: int = 0,
    start: Float[Tensor, "n_concepts width"] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Dictionary:
    """Learn a direction for each of many concepts at once: a supervised dictionary, as AxBench has them.

    Each is what `reft` learns from its examples. `steerkit.dictionaries.formats.axbench.write` saves it.

    Args:
        model: The model.
        concepts: The examples of each concept.
        site: As for `reft`, like the rest.
        epochs: How often each text is learned from.
        batch_size: Texts of a concept in a step.
        rate: The learning rate at the beginning; it falls to 0 in a straight line.
        seed: Of the order of the texts.
        start: A direction for each concept to begin with.
        checkpoint: A file to write now and then, and to go on from where there is one.

    Returns:
        A dictionary whose features are the concepts, in their order, labelled with their names.

    Raises:
        SteerkitError: As for `reft`; or there are no concepts.
    """
    if not concepts:
        raise PromptError("There are no concepts to learn. Give examples of one at least.")
    encoded = [examples.encode(model) for examples in concepts.values()]
    texts = [[*examples.positives, *examples.negatives] for examples in encoded]
    learned = _descent(model, texts, site, Settings(epochs, batch_size, rate, seed), start).run(checkpoint)
    return Dictionary(axbench.supervised("LsReFT", learned, list(concepts), model.name, Site.parse(site)), "ReFT-r1")


def change(
    x: Float[Tensor, "rows tokens width"], tokens: Bool[Tensor, "rows tokens"], w: Float[Tensor, "rows width"]
) -> tuple[Float[Tensor, "rows tokens width"], Float[Tensor, " rows"]]:
    """`x + mean(top 8 of relu(x·w))·w` at some tokens, and the mean over them of the latents that are not at the top.

    Args:
        x: Activations.
        tokens: Those that are read and changed.
        w: A direction a row.
    """
    latents = torch.einsum("rtd,rd->rt", x, w).relu() * tokens
    counts = tokens.sum(-1).clamp_min(1)
    highest = latents.topk(min(TOP, latents.shape[1])).values.sum(-1)
    written = (highest / counts.clamp_max(TOP))[:, None] * w
    return x + tokens[..., None] * written[:, None], (latents.sum(-1) - highest) / counts


def _descent(
    model: Model, texts: Sequence[Sequence[Encoded]], site: str | Site, settings: Settings, start: Tensor | None
) -> Descent:
    shape = len(texts), model.width(site)
    if start is None:
        start = torch.ones(shape)
    elif start.shape != shape or not start.isfinite().all() or not start.any(-1).all():
        raise VectorError(
            f"The directions to begin with have the shape {tuple(start.shape)}; they must be {shape[0]} rows of "
            f"{shape[1]} finite numbers, none of them all 0."
        )
    return Descent(model, site, texts, Rule(change, SPARSITY, unit=True, longest=LONGEST), settings, start)
