"""Torch files: a tensor for each site or layer, or a bare one for a site that has to be told."""

from __future__ import annotations

from pathlib import Path

from steerkit.dictionaries.containers import Entry, read_torch
from steerkit.errors import DictionaryError, VectorError
from steerkit.sites import Site
from steerkit.vectors.content import Content
from steerkit.vectors.formats.tensors import bare, by_site
from steerkit.vectors.provenance import Provenance


def read(path: Path, site: Site | None) -> Content:
    """Read a vector.

    Raises:
        VectorError: The file is damaged, holds code or other things than directions, or a site is missing.
    """
    try:
        found = read_torch(path)
    except DictionaryError as error:
        raise VectorError(str(error)) from error
    if isinstance(found, Entry):
        directions = bare(path, found.read(), site)
    elif isinstance(found, dict) and all(isinstance(value, Entry) for value in found.values()):
        directions = by_site(path, {name: entry.read() for name, entry in found.items()})
    else:
        raise VectorError(
            f"'{path}' holds a {type(found).__name__}. What is read is one tensor, or a dict of tensors by site or "
            "layer: torch.save({'3.resid_post': tensor}, 'vector.pt')."
        )
    return Content(directions, path.stem, {}, Provenance("torch"))
