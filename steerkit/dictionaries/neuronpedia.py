"""What Neuronpedia publishes about a dictionary: where it lies in an export, and maximum activations.

An export is the folder that its bulk download makes: `{model}/{source}/explanations/batch-0.jsonl.gz` and beside it
`features/batch-0.jsonl.gz`, whose rows have `index` (as text), `layer` (the source) and `maxActApprox`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from steerkit.dictionaries.catalog import lookup
from steerkit.dictionaries.label_files import index_of, lines
from steerkit.errors import DictionaryError


def part_of(path: str | os.PathLike[str], name: str) -> Path:
    """The part of an export that belongs to a dictionary; the path itself where it is that part, or a file.

    Args:
        path: The export's folder, or one in it, or a file.
        name: The dictionary's name, by which the catalog knows Neuronpedia's name of it.
    """
    path, entry = Path(path), lookup(name)
    if entry is not None and entry.labels:
        for below in (entry.labels, f"v1/{entry.labels}"):
            if (path / below).is_dir():
                return path / below
    return path


def read_maxima(path: Path, layer: str | None = None) -> Iterator[tuple[int, float]]:
    """Maximum activations in Neuronpedia's scale; features without one are left out.

    Args:
        path: A file of features, or the folder of a dictionary's batches.
        layer: Neuronpedia's id of the dictionary, if the file has several.

    Raises:
        DictionaryError: There is no such file, it is damaged, or it has several dictionaries.
    """
    if path.is_dir():
        files = sorted(path.glob("features/batch-*.jsonl*")) or sorted(path.glob("batch-*.jsonl*"))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise DictionaryError(
            f"'{path}' has no features: no such file, no features/batch-*.jsonl(.gz). Check the path."
        )
    seen: dict[str, None] = {}
    for file in files:
        try:
            for line in lines(file):
                row = json.loads(line) if line.strip() else {}
                of = str(row.get("layer", ""))
                if row.get("maxActApprox") is None or layer not in (None, of):
                    continue
                seen.setdefault(of)
                if len(seen) > 1:
                    raise DictionaryError(
                        f"'{file}' has features of several dictionaries: {', '.join(seen)}. Choose one with layer=."
                    )
                yield index_of(row["index"]), _maximum(row["maxActApprox"])
        except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            if isinstance(error, DictionaryError):
                raise
            raise DictionaryError(f"'{file}' is damaged: {error!r}. Fetch it again.") from error


def _maximum(value: object) -> float:
    maximum = float(value)  # type: ignore[arg-type]
    if not math.isfinite(maximum) or maximum < 0:
        raise ValueError(f"{value!r} is no maximum of an activation")
    return maximum
