"""numpy's files of one array: the direction at a site that has to be told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from steerkit.errors import VectorError
from steerkit.sites import Site
from steerkit.vectors.content import Content
from steerkit.vectors.formats.tensors import bare
from steerkit.vectors.provenance import Provenance


def read(path: Path, site: Site | None) -> Content:
    """Read a vector.

    Raises:
        VectorError: The file is damaged, holds objects (whose unpickling could run code), or the site is missing.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a size that the file has not is refused
        tensor = torch.from_numpy(values.astype("<f4"))
    except (ValueError, EOFError, OSError, OverflowError, TypeError) as error:
        raise VectorError(
            f"'{path}' is no readable array of numbers: {error}. Save it again with numpy.save."
        ) from error
    return Content(bare(path, tensor, site), path.stem, {}, Provenance("npy"))
