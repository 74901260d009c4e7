"""Difference of means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerkit.errors import PromptError
from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import PromptLike


def mean_difference(
    model: Model,
    positives: Sequence[PromptLike],
    negatives: Sequence[PromptLike],
    sites: Sequence[str | Site],
    *,
    label: str = "mean difference",
) -> Vector:
    """Learn a direction as the mean activation over positives minus that over negatives, at each text's last token.

    Not normalised: adding it once moves the mean of the negatives onto the mean of the positives.

    Args:
        model: The model.
        positives: Texts (or token ids, or chat messages) that have what the direction is for.
        negatives: Texts that have not.
        sites: Where to learn it.
        label: Name of the vector.

    Raises:
        PromptError: One of the sides is empty, or a text does not fit the model.
        SiteError: The model has no such site.
        VectorError: The two means are equal and not finite numbers.

    Source: Marks and Tegmark (2023), "The Geometry of Truth"; Rimsky et al. (2023), "Steering Llama 2 via Contrastive
    Activation Addition".
    """
    if not positives or not negatives:
        raise PromptError(
            f"There are {len(positives)} positive and {len(negatives)} negative texts. Give at least one of each."
        )
    towards = model.last_activations(positives, sites)
    away = model.last_activations(negatives, sites)
    return Vector({site: towards[site].mean(0) - away[site].mean(0) for site in towards}, label)
