"""Linear probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from steerkit.errors import SettingError
from steerkit.learn.directions import HELD_OUT, learn
from steerkit.learn.examples import Examples

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.learn.samples import Fit, Samples
    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import TextLike
    from steerkit.vectors.vector import Vector

MOST_STEPS = 1000
FLAT = 1e-7  # of the gradient's largest entry, where a text weighs about as much as the penalty


def probe(
    model: Model,
    positives: Examples | Sequence[TextLike],
    negatives: Sequence[TextLike] | None = None,
    sites: Sequence[str | Site] | None = None,
    *,
    loss: str = "logistic",
    C: float = 1.0,
    tokens: str = "last",
    features: Dictionary | Sequence[Dictionary] = (),
    held_out: float = HELD_OUT,
    seed: int = 0,
    label: str = "probe",
) -> Vector:
    """Learn a direction as the weights of a linear classifier that tells the sides apart.

    Args:
        model: The model.
        positives: As for `mean_difference`, like the rest.
        negatives: Texts that have not what it is for.
        sites: Where to learn it.
        loss: `"logistic"`: minimises ‖w‖²/2 + C·Σ log(1 + exp(−y(w·x + b))) over the rows `x` with y = ±1.
            `"squared"`: least squares of y on w·x + b; of many solutions the one with the shortest w.
        C: How much the rows weigh against the penalty on `w`; of the logistic loss.
        tokens: Which tokens are read.
        features: Dictionaries in whose features it is learned.
        held_out: Share of the texts on which quality is measured.
        seed: Draws the held-out texts.
        label: Name of the vector.

    Returns:
        As `mean_difference`: `w`, not normalised. Its offset too lies midway between the means, which is not where the
        classifier draws its line.

    Raises:
        SteerkitError: As `mean_difference`.
        SettingError: The loss is not known, or `C` is not positive.

    Source: Alain and Bengio (2016), "Understanding intermediate layers using linear classifier probes"; the objectives
    are those of scikit-learn's `LogisticRegression` and `LinearRegression`.
    """
    fits: dict[str, Callable[[Samples], Tensor]] = {"logistic": _logistic(C), "squared": _squared}
    if loss not in fits:
        raise SettingError(f"loss={loss!r} is not known. Choose {' or '.join(map(repr, fits))}.")
    return learn(
        model,
        Examples.of(positives, negatives),
        fits[loss],
        method=f"probe with {loss} loss",
        sites=sites,
        tokens=tokens,
        features=features,
        held_out=held_out,
        seed=seed,
        label=label,
    )


def _logistic(C: float) -> Fit:
    if not 0 < C < float("inf"):
        raise SettingError(f"C={C!r} must be a positive number; the smaller, the shorter the weights are kept.")

    def fit(samples: Samples) -> Float[Tensor, " width"]:
        x, y = samples.rows.double(), _sides(samples)
        weights = torch.zeros(x.shape[1], dtype=x.dtype, requires_grad=True)
        bias = torch.zeros((), dtype=x.dtype, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [weights, bias],
            max_iter=MOST_STEPS,
            tolerance_grad=FLAT,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def objective() -> Tensor:
            optimizer.zero_grad()
            value = weights.square().sum() / 2 - C * torch.nn.functional.logsigmoid(y * (x @ weights + bias)).sum()
            value.backward()
            return value

        with torch.enable_grad():
            optimizer.step(objective)
        return weights.detach().float()

    return fit


def _squared(samples: Samples) -> Float[Tensor, " width"]:
    x, y = samples.rows.double(), _sides(samples)
    # centring both leaves the bias out of the problem; gelsd finds the shortest solution
    found = torch.linalg.lstsq(x - x.mean(0), (y - y.mean())[:, None], driver="gelsd")
    return found.solution[:, 0].float()


def _sides(samples: Samples) -> Float[Tensor, " rows"]:
    """1 for positives, -1 for negatives."""
    return samples.is_positive.double() * 2 - 1
