"""steerkit's own files: safetensors, a tensor a site, the rest as JSON in the header.

The header's metadata has one entry, `steerkit`: an object with {format: "steerkit vector", version: 1, steerkit: the
version that wrote it} and {label, offsets, provenance}. A safetensors file without it is read too, if its tensors bear
the names of sites or the numbers of layers.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from steerkit import __version__
from steerkit.errors import VectorError
from steerkit.records import Record
from steerkit.vectors.content import Content
from steerkit.vectors.formats.tensors import by_site
from steerkit.vectors.provenance import Provenance

FORMAT, VERSION = "steerkit vector", 1
KEY = "steerkit"


def write(path: Path, content: Content) -> None:
    """Write a vector."""
    head = {"format": FORMAT, "version": VERSION, "steerkit": __version__, **content.annotations()}
    tensors = {str(site): direction for site, direction in content.directions.items()}
    save_file(tensors, path, metadata={KEY: json.dumps(head, allow_nan=False)})


def read(path: Path) -> Content:
    """Read a vector.

    Raises:
        VectorError: The file is damaged, or its tensors are no directions.
        PlanError: What it says about them is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, ValueError, TypeError) as error:
        raise VectorError(f"'{path}' is no complete safetensors file: {error}. Get it again.") from error
    directions = by_site(path, tensors)
    if said is None:
        return Content(directions, path.stem, {}, Provenance("safetensors"))
    record = Record.parse(said, f"'{path}'")
    record.head(FORMAT, VERSION)
    return Content.annotated(directions, record)
