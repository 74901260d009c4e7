"""The direction along which rows vary most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from steerkit.errors import VectorError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def first_component(rows: Float[Tensor, "n width"], *, centred: bool) -> Float[Tensor, " width"]:
    """The first principal component, of length 1 and either sign.

    From the eigenvectors of the smaller of the two Gram matrices, in double precision.

    Args:
        rows: The rows.
        centred: Take their mean out first.

    Raises:
        VectorError: They do not vary.

    Example:
        >>> first_component(torch.tensor([[2.0, 5.0], [0.0, 5.0], [1.0, 5.0]]), centred=True).abs()
        tensor([1., 0.])
    """
    x = rows.double()
    if centred:
        x = x - x.mean(0)
    if len(x) < x.shape[1]:
        values, vectors = torch.linalg.eigh(x @ x.T)
        component = x.T @ vectors[:, -1]
    else:
        values, vectors = torch.linalg.eigh(x.T @ x)
        component = vectors[:, -1]
    if not values[-1] > 0:
        raise VectorError(
            f"The {len(rows)} rows that a principal component is taken of are all the same. Give more, or different, "
            "texts."
        )
    return (component / component.norm()).float()
