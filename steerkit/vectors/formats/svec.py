"""IBM's activation-steering (CAST): `.svec`, JSON with a direction a layer.

An object with {model_type, directions, explained_variances}, the last two by layer. Their package learns direction L
from what leaves layer L and adds it to, and reads it in, what enters layer L; it is read here as it is used there, at
`L.resid_pre`. Numbers under `explained_variances` are of the method that made them: for some the share of variance,
for others a probe's accuracy.

Source: Lee et al. (2024), "Programming Refusal with Conditional Activation Steering", and its package.
"""

from __future__ import annotations

from pathlib import Path

import torch

from steerkit.errors import VectorError
from steerkit.records import Record, checked
from steerkit.sites import Site
from steerkit.vectors.content import Content
from steerkit.vectors.provenance import Provenance

KIND = "resid_pre"


def read(path: Path) -> Content:
    """Read a vector.

    Raises:
        VectorError: There are no directions, or one is of no layer.
        PlanError: The file is no such object, or damaged.
    """
    record = Record.parse(path.read_text(encoding="utf-8"), f"'{path}'")
    if "directions" not in record:
        raise VectorError(f"'{path}' is in no format that is read: it is JSON without 'directions'. Check the path.")
    record.take("model_type", str)
    rows = record.take("directions", dict)
    variances = record.take("explained_variances", dict, {})
    record.done()
    directions = {_site(path, layer): torch.tensor(_numbers(path, layer, rows[layer])) for layer in rows}
    measured = {str(_site(path, layer)): _numbers(path, layer, [variances[layer]])[0] for layer in variances}
    quality = {"explained variance": measured} if measured else {}
    return Content(directions, path.stem, {}, Provenance("svec", quality=quality))


def _numbers(path: Path, layer: str, row: object) -> list[float]:
    place = f"layer {layer} of '{path}'"
    return [float(checked(number, float, f"a number at {place}")) for number in checked(row, list, place)]


def _site(path: Path, layer: str) -> Site:
    if not layer.isdecimal():
        raise VectorError(f"'{path}' has a direction at {layer!r}, where the number of a layer belongs.")
    return Site(int(layer), KIND)
