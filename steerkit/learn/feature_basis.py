"""Learning in the feature basis of a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.dictionary import Dictionary
from steerkit.errors import DictionaryError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.learn.samples import Fit, Samples
    from steerkit.sites import Site


def by_site(features: Dictionary | Sequence[Dictionary]) -> dict[Site, Dictionary]:
    """Dictionaries by where they read.

    Raises:
        DictionaryError: Two read at the same site, or one writes elsewhere than it reads.
    """
    listed = [features] if isinstance(features, Dictionary) else list(features)
    found = {dictionary.reads_at(): dictionary for dictionary in listed}
    for dictionary in listed:
        site = dictionary.reads_at()
        if dictionary.writes_at() != site:
            raise DictionaryError(
                f"{dictionary.name} reads at '{site}' and writes at '{dictionary.writes_at()}'. A direction can be "
                "learned in the features of a dictionary that does both at one site."
            )
        if found[site] is not dictionary:
            raise DictionaryError(f"{dictionary.name} and {found[site].name} both read at '{site}'. Give one a site.")
    return found


def fit_in_features(
    dictionary: Dictionary, fit: Fit, samples: Samples
) -> tuple[Float[Tensor, " width"], dict[str, float]]:
    """Fit a direction to feature activations, and make it a direction of activations again.

    The direction is the sum of the decoder's rows, each times its feature's weight; the decoder's bias, which all
    texts share, has no part in it. Features that are active in none of the texts have no weight.

    Returns:
        The direction, and by the index of each feature that has one its weight.

    Raises:
        DictionaryError: No feature is active in any of the texts.

    Source: repeng's `train_with_sae`, which takes pre-activations of all features instead.
    """
    codes = dictionary.encode(samples.rows)
    features = codes.features.unique()
    if not len(features):
        raise DictionaryError(f"No feature of {dictionary.name} is active in the texts. Read other tokens of them.")
    active = torch.zeros(len(samples.rows), len(features))
    active[codes.tokens, torch.searchsorted(features, codes.features)] = codes.values
    weights = fit(replace(samples, rows=active))
    indices = features.tolist()
    direction = weights @ dictionary.parts.W_dec.rows(indices)
    return direction, {str(index): weight for index, weight in zip(indices, weights.tolist(), strict=True) if weight}
