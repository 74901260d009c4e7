"""Principal components of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steerkit.errors import SettingError
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

CHOICES = ("differences", "centred pairs")


def principal_component(
    model: Model,
    positives: Examples | Sequence[TextLike],
    negatives: Sequence[TextLike] | None = None,
    sites: Sequence[str | Site] | None = None,
    *,
    of: str = "differences",
    tokens: str = "last",
    features: Dictionary | Sequence[Dictionary] = (),
    held_out: float = HELD_OUT,
    seed: int = 0,
    label: str = "principal component",
) -> Vector:
    """Learn a direction as the first principal component of pairs.

    Of length 1. It points to where the positives of most pairs are.

    Args:
        model: The model.
        positives: As for `mean_difference`, in pairs with the negatives.
        negatives: Equally many texts.
        sites: As for `mean_difference`.
        of: `"differences"`: of positive minus negative, whose mean is taken out. It is the direction in which pairs
            differ differently, so what all of them have in common is not in it. `"centred pairs"`: of both texts of
            every pair, from the middle between them; what all pairs have in common is in it.
        tokens: `"last"` or `"mean"`, as for `mean_difference`.
        features: As for `mean_difference`.
        held_out: As for `mean_difference`.
        seed: As for `mean_difference`.
        label: Name of the vector.

    Returns:
        As `mean_difference`.

    Raises:
        PromptError: As `mean_difference`; or the texts are not paired.
        SettingError: The choice of tokens, the share, or what it is the component of is not known.
        SiteError: The model has no such site.
        VectorError: Activations are not finite numbers, the two of a pair are the same, or there is one pair alone.

    Source: repeng (`pca_diff`, its default, and `pca_center`), after Zou et al. (2023), "Representation Engineering".
    """
    if of not in CHOICES:
        raise SettingError(f"of={of!r} is not known. Choose {' or '.join(map(repr, CHOICES))}.")

    def fit(samples: Samples) -> Float[Tensor, " width"]:
        differences = samples.differences()
        # pairs from their middles are ± half their differences: the same component, with nothing to take out
        component = first_component(differences, centred=of == "differences")
        along = differences @ component
        return component if along.sign().sum() >= 0 else -component

    return learn(
        model,
        Examples.of(positives, negatives),
        fit,
        method=f"principal_component of {of}",
        sites=sites,
        tokens=tokens,
        features=features,
        held_out=held_out,
        seed=seed,
        label=label,
    )
