"""Linear artificial tomography."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.errors import VectorError
from steerkit.learn.component import first_component
from steerkit.learn.directions import HELD_OUT, learn
from steerkit.learn.examples import Examples

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.learn.samples import Samples
    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import TextLike
    from steerkit.vectors.vector import Vector


def lat(
    model: Model,
    positives: Examples | Sequence[TextLike],
    negatives: Sequence[TextLike] | None = None,
    sites: Sequence[str | Site] | None = None,
    *,
    tokens: str = "last",
    features: Dictionary | Sequence[Dictionary] = (),
    held_out: float = HELD_OUT,
    seed: int = 0,
    label: str = "LAT",
) -> Vector:
    """Learn a direction by linear artificial tomography (LAT).

    The first principal component of differences between activations that are paired at random, whichever side they are
    of, each brought to length 1. The sides only decide its sign: the mean of the positives lies further along it.

    Args:
        model: The model.
        positives: As for `mean_difference`, like the rest.
        negatives: Texts that have not what it is for.
        sites: Where to learn it.
        tokens: Which tokens are read.
        features: Dictionaries in whose features it is learned.
        held_out: Share of the texts on which quality is measured.
        seed: Draws the pairs, and the held-out texts.
        label: Name of the vector.

    Returns:
        As `mean_difference`; of length 1.

    Raises:
        SteerkitError: As `mean_difference`.
        VectorError: Activations are not finite numbers, or do not differ.

    Source: Zou et al. (2023), "Representation Engineering", section 3.1; lengths of 1 as in AxBench's LAT (Wu et al.,
    2025), which takes positives alone.
    """

    def fit(samples: Samples) -> Float[Tensor, " width"]:
        rows = samples.rows
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        half = len(rows) // 2
        differences = rows[order[:half]] - rows[order[half : 2 * half]]
        lengths = differences.norm(dim=-1, keepdim=True)
        if not lengths.any():
            raise VectorError(
                f"The texts do not differ at '{samples.site}' at the token that is read. Read a deeper site."
            )
        component = first_component(differences / lengths.clamp_min(torch.finfo(rows.dtype).tiny), centred=True)
        return component if component @ samples.mean_difference >= 0 else -component

    return learn(
        model,
        Examples.of(positives, negatives),
        fit,
        method="lat",
        sites=sites,
        tokens=tokens,
        features=features,
        held_out=held_out,
        seed=seed,
        label=label,
    )
