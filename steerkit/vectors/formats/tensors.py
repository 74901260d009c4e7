"""Tensors under names that say where they belong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from steerkit.errors import SiteError, VectorError
from steerkit.sites import Site

if TYPE_CHECKING:
    from torch import Tensor


def by_site(path: Path, tensors: Mapping[str, Tensor]) -> dict[Site, Tensor]:
    """Tensors by the site that each one's name is; a number is a layer, whose output is meant.

    Raises:
        VectorError: There are none, or a name is neither.
    """
    if not tensors:
        raise VectorError(f"'{path}' has no tensors. Give the file of a vector.")
    try:
        return {Site.parse(f"{name}.resid_post" if name.isdecimal() else name): tensors[name] for name in tensors}
    except SiteError:
        names = ", ".join(map(repr, list(tensors)[:4]))
        raise VectorError(
            f"The tensors of '{path}' are called {names}{', ...' if len(tensors) > 4 else ''}. Names that are read are "
            "sites, such as '3.resid_post', and numbers of layers."
        ) from None


def bare(path: Path, tensor: Tensor, site: Site | None) -> dict[Site, Tensor]:
    """The only tensor of a file, at the site that has been told.

    Raises:
        VectorError: No site has been told.
    """
    if site is None:
        raise VectorError(
            f"'{path}' holds a tensor of the shape {tuple(tensor.shape)} and does not say where it belongs. "
            "Give the site: Vector.load(path, site='3.resid_post')."
        )
    return {site: tensor}
