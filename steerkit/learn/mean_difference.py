"""Difference of means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerkit.learn.directions import HELD_OUT, learn
from steerkit.learn.examples import Examples

if TYPE_CHECKING:
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import TextLike
    from steerkit.vectors.vector import Vector


def mean_difference(
    model: Model,
    positives: Examples | Sequence[TextLike],
    negatives: Sequence[TextLike] | None = None,
    sites: Sequence[str | Site] | None = None,
    *,
    tokens: str = "last",
    features: Dictionary | Sequence[Dictionary] = (),
    held_out: float = HELD_OUT,
    seed: int = 0,
    label: str = "mean difference",
) -> Vector:
    """Learn a direction as the mean activation over positives minus that over negatives.

    Not normalised: adding it once moves the mean of the negatives onto the mean of the positives.

    Args:
        model: The model.
        positives: Texts (or token ids, chat messages, or a `Completion` of these) that have what the direction is for;
            or `Examples`, which have the negatives too.
        negatives: Texts that have not.
        sites: Where to learn it; without them at the output of every layer, or where `features` read.
        tokens: Which tokens of a text are read: the `"last"`; the `"mean"` over its completion (over the whole text,
            if there is no prompt before it) without special tokens; or `"every"` one of these, each for itself.
        features: Learn in the feature basis of dictionaries: from feature activations, as a sum of decoder rows. The
            vector's provenance has the weight of each feature.
        held_out: Share of the texts on which the quality of a direction learned from the others is measured. The
            vector itself is learned from all.
        seed: Draws the held-out texts.
        label: Name of the vector.

    Returns:
        A direction a site, with an offset at which a reading is 0 midway between the means of the two sides. Its
        provenance has what it was made of, and its quality, which `Quality.of` shows.

    Raises:
        PromptError: One of the sides is empty, texts stand on both, or a text does not fit the model.
        SettingError: The choice of tokens or the share is not known.
        SiteError: The model has no such site.
        VectorError: Activations are not finite numbers, or the two means are equal.

    Source: Marks and Tegmark (2023), "The Geometry of Truth"; Rimsky et al. (2023), "Steering Llama 2 via Contrastive
    Activation Addition".
    """
    return learn(
        model,
        Examples.of(positives, negatives),
        lambda samples: samples.mean_difference,
        method="mean_difference",
        sites=sites,
        tokens=tokens,
        features=features,
        held_out=held_out,
        seed=seed,
        label=label,
    )
