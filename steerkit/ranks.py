"""How well numbers tell two kinds of things apart, by their order alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

COLUMNS = 256  # that are ranked at once


def auroc(scores: Float[Tensor, "item feature"], positive: Bool[Tensor, "item kind"]) -> Float[Tensor, "feature kind"]:
    """The probability that an item of a kind scores higher than one that is not of it; ties count half.

    The area under the curve of true over false positives, by Mann and Whitney's U.

    Args:
        scores: A number for each item and feature.
        positive: Which items are of which kinds.

    Returns:
        NaN for a kind that all items are of, or none.

    Example:
        >>> auroc(torch.tensor([[0.0], [1.0], [1.0], [2.0]]), torch.tensor([[False], [False], [True], [True]]))
        tensor([[0.8750]])
    """
    n = len(scores)
    n_positive = positive.sum(0).double()
    sums = torch.cat([_ranks(part.T.contiguous()) @ positive.double() for part in scores.split(COLUMNS, dim=1)])
    below = sums - n_positive * (n_positive + 1) / 2
    return (below / (n_positive * (n - n_positive))).float()


def auroc_interval(area: float, n_positive: int, n_negative: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bounds of the area that a sample's area is an estimate of.

    All areas from which the sample's lies less far away than their own standard errors allow: Hanley and McNeil's
    (1982), for exponential scores, with the mean of both sample sizes in the place of each. Of use for small samples
    too, and where the sample's area is 0 or 1.

    Args:
        area: The sample's.
        n_positive: Size of the positive sample.
        n_negative: Size of the negative sample.
        confidence: How often the bounds enclose the true area.

    Source: Newcombe (2006), "Confidence intervals for an effect size measure based on the Mann-Whitney statistic",
    part 2, method 5.

    Example:
        >>> [round(bound, 2) for bound in auroc_interval(0.9, 30, 30)]
        [0.78, 0.95]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    further = (n_positive + n_negative) / 2 - 1

    def too_far(true: float) -> bool:
        spread = 1 + further * ((1 - true) / (2 - true) + true / (1 + true))
        return abs(area - true) > z * math.sqrt(true * (1 - true) * spread / (n_positive * n_negative))

    return _edge(too_far, 0.0, area), _edge(too_far, 1.0, area)


def _edge(outside: Callable[[float], bool], far: float, near: float) -> float:
    """Where `outside`, which holds from `far` on towards `near`, ceases to hold, to double precision."""
    for _ in range(60):
        middle = (far + near) / 2
        far, near = (middle, near) if outside(middle) else (far, middle)
    return near


def _ranks(rows: Float[Tensor, "feature item"]) -> Float[Tensor, "feature item"]:
    """Ranks from 1 within each row, equal values at their mean rank."""
    ordered = rows.sort(dim=1).values
    first = torch.searchsorted(ordered, rows)
    last = torch.searchsorted(ordered, rows, right=True)
    return (first + last + 1).double() / 2


def best_by_luck(n_positive: int, n_negative: int, n_features: int, error: float = 0.05) -> float:
    """The AUROC that none of several features without meaning is likely to pass, in either direction.

    By the normal approximation of U and Bonferroni's bound.

    Args:
        n_positive: Items of the kind.
        n_negative: Items that are not.
        n_features: How many features are tried.
        error: Probability that one of them passes it all the same.

    Example:
        >>> round(best_by_luck(20, 20, 1), 2), round(best_by_luck(20, 20, 4000), 2)
        (0.68, 0.9)
    """
    deviation = ((n_positive + n_negative + 1) / (12 * n_positive * n_negative)) ** 0.5
    tail = torch.tensor(error / 2 / n_features, dtype=torch.float64)
    return min(0.5 - torch.special.ndtri(tail).item() * deviation, 1.0)
