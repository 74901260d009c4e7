"""A steering vector learned by gradient (SSV)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.learn.descent import Descent, Rule, Settings, described
from steerkit.learn.examples import Examples

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import TextLike
    from steerkit.vectors.vector import Vector

START = 0.01  # each number of the vector at the beginning


def steering_vector(
    model: Model,
    positives: Examples | Sequence[TextLike],
    negatives: Sequence[TextLike] | None = None,
    *,
    site: str | Site,
    epochs: int = 3,
    batch_size: int = 6,
    rate: float = 0.01,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    label: str = "steering vector",
) -> Vector:
    """Learn a vector that makes positive texts likelier when it is added at every token but special ones.

    It has the length that does this best, so adding it once is what it was made for. The negatives have no part in
    learning it, but in the offset for reading.

    Args:
        model: The model.
        positives: Texts (or token ids, chat messages, or a `Completion` of these) that have what the vector is for; or
            `Examples`, which have the negatives too. What follows the prompt of a `Completion` is predicted; of other
            texts, everything.
        negatives: Texts that have not.
        site: Where to learn it.
        epochs: How often each text is learned from.
        batch_size: Texts in a step.
        rate: The learning rate at the beginning; it falls to 0 in a straight line.
        seed: Of the order of the texts.
        checkpoint: A file to write now and then, and to go on from where there is one.
        label: Name of the vector.

    Returns:
        The vector, with an offset at which a reading is 0 midway between the means of the two sides. An interrupt ends
        the training, and gives what has been learned so far.

    Raises:
        PromptError: One of the sides is empty, texts stand on both, or a text does not fit the model.
        SiteError: The model has no such site, or nothing can be learned there.
        SettingError: A setting is out of range, or the checkpoint is of another training.
        EngineError: The model runs remotely, the memory does not suffice for a text, or the loss is no number.

    Source: Subramani et al. (2022), "Extracting Latent Steering Vectors from Pretrained Language Models"; as one vector
    for many texts by Wu et al. (2025), "AxBench", code stanfordnlp/axbench, `SteeringVector`.
    """
    examples = Examples.of(positives, negatives).encode(model)
    start = torch.full((1, model.width(site)), START)
    descent = Descent(
        model, site, [list(examples.positives)], Rule(change), Settings(epochs, batch_size, rate, seed), start
    )
    return described(model, examples, descent, descent.run(checkpoint)[0], "steering_vector", label)


def change(
    x: Float[Tensor, "rows tokens width"], tokens: Bool[Tensor, "rows tokens"], v: Float[Tensor, "rows width"]
) -> tuple[Float[Tensor, "rows tokens width"], Float[Tensor, " rows"]]:
    """`x + v` at some tokens, and no penalty."""
    return x + tokens[..., None] * v[:, None], v.new_zeros(len(v))
