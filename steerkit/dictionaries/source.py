"""A path that a dictionary is to be read from: its tensor file, the configs beside it, and what its name says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from steerkit.dictionaries.files import SUFFIXES, TensorFile
from steerkit.errors import DictionaryError

MAX_CONFIG = 16 * 2**20  # bytes


@dataclass(frozen=True)
class Hints:
    """What the user or the catalog knows and the files may not say.

    Attributes:
        site: Where the dictionary reads, and writes unless `site_out` is given; overrides what the files say.
        site_out: Where a transcoder writes.
        model: Name of the model it was trained on; overrides what the files say.
        centred: Whether it was trained on activations less their mean; overrides what the files say.
        k: How many features are active at a token, of top-k dictionaries.
        scale: Constant by which activations were multiplied in training (SAELens: `norm_scaling_factor`).
        kind: Class (dictionary_learning), method (AxBench), or activation function (plain) of the dictionary.
        subtract_b_dec: Whether `b_dec` is subtracted before encoding, of plain dictionaries.
    """

    site: str | None = None
    site_out: str | None = None
    model: str | None = None
    centred: bool | None = None
    k: int | None = None
    scale: float | None = None
    kind: str | None = None
    subtract_b_dec: bool = False


class Source:
    """A file, or a folder that holds one dictionary.

    Attributes:
        path: As given.
        folder: The folder, or the one that the file is in.
        text: The path with `/`, and with the repository's own name where it is in the Hugging Face cache.
    """

    def __init__(self, path: str | os.PathLike[str], hints: Hints | None = None) -> None:
        self.path, self.hints = Path(path), hints or Hints()
        if not self.path.exists():
            raise DictionaryError(f"There is no file or folder '{path}'. Check the path.")
        if not self.path.is_dir() and self.path.suffix.lower() not in SUFFIXES:
            raise DictionaryError(
                f"'{path}' is no tensor file; those are {', '.join(SUFFIXES)}. Give the folder or the tensor file; "
                "pickles of whole objects (.pkl) are not opened, because unpickling them runs their code."
            )
        self.folder = self.path if self.path.is_dir() else self.path.parent
        self.text = _named(self.path)
        self._opened: dict[Path, TensorFile] = {}

    def weights(self, *patterns: str) -> TensorFile | None:
        """The one file in the folder that the first fitting pattern names; a file given need only be of that kind."""
        if not self.path.is_dir():
            return self._open(self.path) if self.path.suffix in {Path(name).suffix for name in patterns} else None
        for pattern in patterns:
            found = [path for path in self.folder.glob(pattern) if path.is_file()]
            if found:
                return self._open(found[0]) if len(found) == 1 else None
        return None

    def need(self, *patterns: str) -> TensorFile:
        """The same, where there has to be one.

        Raises:
            DictionaryError: There is none, or several.
        """
        file = self.weights(*patterns)
        if file is None:
            raise DictionaryError(
                f"'{self.path}' has to hold exactly one file named {' or '.join(patterns)}; it has {self.listing}. "
                "Give the path of the file itself."
            )
        return file

    def config(self, *names: str) -> dict[str, Any]:
        """The first of these JSON files that is there; empty if none is."""
        for name in names:
            path = self.folder / name
            if path.is_file():
                return read_json(path)
        return {}

    def search(self, pattern: str, file: TensorFile | None = None) -> re.Match[str] | None:
        """Where the path, or that of a file found in it, matches a regular expression; the last match."""
        matches = list(re.finditer(pattern, _named(file.path) if file else self.text))
        return matches[-1] if matches else None

    @cached_property
    def listing(self) -> str:
        """The tensor files and configs in the folder, or the tensors in the file; for messages."""
        if not self.path.is_dir():
            return _shortened(self._open(self.path).names)
        wanted = (*SUFFIXES, ".json", ".yaml")
        found = sorted(path.relative_to(self.folder).as_posix() for path in self.folder.glob("*") if path.is_file())
        found = [name for name in found if name.endswith(wanted)]
        folders = sorted(f"{path.name}/" for path in self.folder.glob("*") if path.is_dir())
        return _shortened([*found, *folders])

    def _open(self, path: Path) -> TensorFile:
        if path not in self._opened:
            self._opened[path] = TensorFile.open(path)
        return self._opened[path]


def _named(path: Path) -> str:
    # Not resolved: in the cache, files are links to blobs without a name.
    return re.sub(r"models--([^/]+?)--", r"\1/", Path(os.path.abspath(path)).as_posix())


def _shortened(names: Sequence[str]) -> str:
    shown = ", ".join(name or "a tensor without a name" for name in names[:12])
    return (shown + f" and {len(names) - 12} more" if len(names) > 12 else shown) or "nothing"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DictionaryError: It is none, or too large for a config.
    """
    if path.stat().st_size > MAX_CONFIG:
        raise DictionaryError(f"'{path}' has {path.stat().st_size:,} bytes, more than a config has. Check the path.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DictionaryError(f"'{path}' is no readable JSON: {error}. Download it again.") from error
    if not isinstance(value, dict):
        raise DictionaryError(f"'{path}' holds {type(value).__name__}, where a JSON object was expected.")
    return value
