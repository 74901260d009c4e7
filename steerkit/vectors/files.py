"""Files of vectors: written whole, and recognised by their first bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from steerkit.errors import PlanError, VectorError
from steerkit.vectors.content import Content
from steerkit.vectors.formats import native, npy, svec, torch_file
from steerkit.whole_file import written_whole

if TYPE_CHECKING:
    from steerkit.sites import Site

GGUF, NPY, ZIP, PICKLE = b"GGUF", b"\x93NUMPY", b"PK\x03\x04", b"\x80"
HEADER = 8  # bytes that tell the length of a safetensors header


def save(path: str | os.PathLike[str], content: Content) -> None:
    """Write steerkit's own format; see `formats.native`.

    Raises:
        VectorError: The file cannot be written, or has another ending.
    """
    with _written(path, ".safetensors") as part:
        native.write(part, content)


def save_gguf(path: str | os.PathLike[str], content: Content, model_type: str) -> None:
    """Write a control vector; see `formats.control_vector`.

    Raises:
        VectorError: The file cannot be written or has another ending, llama.cpp could not load it, or `gguf` is not
            installed.
    """
    with _written(path, ".gguf") as part:
        _control_vector().write(part, content, model_type)


def load(path: str | os.PathLike[str], site: Site | None = None) -> Content:
    """Read a vector.

    Args:
        path: The file.
        site: Where a tensor belongs whose file does not say it.

    Raises:
        VectorError: There is no such file, its format is not known, it is damaged, or the site is missing or not its.
    """
    path = Path(path)
    with _reading(path):
        content = _reader(path, site)(path)
    if site is not None and set(content.directions) != {site}:
        sites = ", ".join(map(str, content.directions))
        raise VectorError(f"'{path}' says itself where it belongs: {sites}. Leave site='{site}' away.")
    return content


def load_gguf(path: str | os.PathLike[str]) -> Content:
    """Read a control vector.

    Raises:
        VectorError: There is no such file, it is no GGUF file or damaged, or `gguf` is not installed.
    """
    with _reading(path):
        return _control_vector().read(Path(path))


def _reader(path: Path, site: Site | None) -> Callable[[Path], Content]:
    """What reads a file; a safetensors file starts with the length of its header, which may be any bytes."""
    with open(path, "rb") as file:
        start = file.read(HEADER + 1)
    if start.startswith(GGUF):
        return _control_vector().read
    if start.startswith(NPY):
        return partial(npy.read, site=site)
    if start.startswith(ZIP):
        return partial(torch_file.read, site=site)
    if start[HEADER:] == b"{":
        return native.read
    if start.startswith(PICKLE):
        return partial(torch_file.read, site=site)
    if start.lstrip().startswith(b"{"):
        return svec.read
    raise VectorError(
        f"'{path}' is in no format that is read: safetensors, GGUF, torch (.pt), numpy (.npy) and activation-steering "
        "(.svec)."
    )


@contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise VectorError(f"There is no vector '{path}' to be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise VectorError(f"'{path}' is no vector: it is no text. Check the path.") from error
    except PlanError as error:
        raise VectorError(str(error)) from error


@contextmanager
def _written(path: str | os.PathLike[str], ending: str) -> Iterator[Path]:
    if Path(path).suffix not in ("", ending):
        raise VectorError(f"The vector cannot be saved as '{path}': what is written is {ending[1:]}. Use that ending.")
    try:
        with written_whole(path) as part:
            yield part
    except (OSError, SafetensorError) as error:
        raise VectorError(f"The vector cannot be saved as '{path}': {error}. Give another path.") from error


def _control_vector() -> ModuleType:
    try:
        from steerkit.vectors.formats import control_vector
    except ModuleNotFoundError as error:
        if error.name != "gguf":
            raise
        raise VectorError("GGUF needs the package gguf, which is not installed. Install steerkit-lab[gguf].") from None
    return control_vector
