"""Labels as they are published: tables, AxBench's metadata, Neuronpedia's exports."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from steerkit.errors import DictionaryError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

# A batch of Neuronpedia's has some thousand rows of a few kilobytes.
MOST_CHARACTERS = 2**30
LONGEST_LINE = 2**24

INDEX_COLUMNS = ("index", "feature", "id")
TEXT_COLUMNS = ("label", "text", "description", "explanation", "concept")
SCORES = ("score", "scoreV2", "scoreV1")


@dataclass(frozen=True)
class Label:
    """What a feature is thought to stand for.

    Attributes:
        text: Plain text, never HTML.
        source: Who says so, such as `"neuronpedia gpt-4o-mini"`, `"axbench"` or `"user"`.
        score: How well it explains the feature, in the source's own measure; None if nobody has measured it.
    """

    text: str
    source: str
    score: float | None = None


def read_labels(
    path: str | os.PathLike[str], *, source: str | None = None, layer: str | None = None
) -> Iterator[tuple[int, Label]]:
    """Read a file of labels, or all of Neuronpedia's batches in a folder.

    Args:
        path: `.csv`, `.tsv`, `.json`, `.jsonl` (the last two also with `.gz`), or a folder.
        source: Where the labels come from, if the file does not say.
        layer: Neuronpedia's id of the dictionary, if the file has several.

    Raises:
        DictionaryError: There is no such file, or it is damaged or of no known form.
    """
    path = Path(path)
    if path.is_dir():
        # Batches are filled in the order of indices as text; which indices one holds, its number does not tell.
        files = sorted(path.glob("batch-*.jsonl*")) or sorted(path.glob("explanations/batch-*.jsonl*"))
        files = files or sorted(path.glob("metadata.jsonl"))
        if not files:
            raise DictionaryError(f"The folder '{path}' has no labels: no batch-*.jsonl(.gz), no metadata.jsonl.")
    elif path.is_file():
        files = [path]
    else:
        raise DictionaryError(f"There is no file '{path}'. Give a file of labels, or a folder of batch-*.jsonl.gz.")
    seen: dict[str, None] = {}
    for file in files:
        try:
            for index, label, of in _read(file, source or file.name):
                if layer is None or of is None or of == layer:
                    seen.setdefault(of or "")
                    if len(seen) > 1:
                        raise DictionaryError(
                            f"'{file}' has labels of several dictionaries: {', '.join(seen)}. Choose one with layer=."
                        )
                    yield index, label
        except (OSError, EOFError, csv.Error, ValueError, RecursionError) as error:
            if isinstance(error, DictionaryError):
                raise
            raise DictionaryError(f"'{file}' is damaged: {error}. Fetch it again.") from error


def read_maxima(path: Path, n_features: int) -> Float[Tensor, " n_features"] | None:
    """The column `maximum` of a table of labels: the largest activation of each feature; None if it has none.

    Raises:
        DictionaryError: It is damaged, or does not have a number for every feature.
    """
    rows = csv.DictReader(lines(path))
    if "maximum" not in (rows.fieldnames or ()):
        return None
    try:
        values = {index_of(row["index"]): float(row["maximum"]) for row in rows}
        return torch.tensor([values[index] for index in range(n_features)])
    except (KeyError, TypeError, ValueError) as error:
        raise DictionaryError(f"'{path}' has no maximum for each of {n_features} features: {error}.") from error


def _read(file: Path, source: str) -> Iterator[tuple[int, Label, str | None]]:
    kind = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
    match kind.lower():
        case ".csv" | ".tsv":
            for index, label in _table(file, source):
                yield index, label, None
        case ".jsonl" | ".jsonl.gz":
            rows = (json.loads(line) for line in lines(file) if line.strip())
            yield from _records(rows, source)
        case ".json" | ".json.gz":
            rows = json.loads("".join(lines(file)))
            if isinstance(rows, dict):
                rows = [{"index": index, "label": text} for index, text in rows.items()]
            if not isinstance(rows, list):
                raise ValueError("it holds neither a list nor an object")
            yield from _records(rows, source)
        case _:
            raise DictionaryError(
                f"'{file}' is no file of labels: these end in .csv, .tsv, .json, .jsonl or .jsonl.gz."
            )


def _table(file: Path, source: str) -> Iterator[tuple[int, Label]]:
    reader = csv.reader(lines(file), delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
    first = next(reader, [])
    names = [name.strip().lower() for name in first]
    index = next((names.index(name) for name in INDEX_COLUMNS if name in names), None)
    text = next((names.index(name) for name in TEXT_COLUMNS if name in names), None)
    if index is None or text is None:
        raise DictionaryError(
            f"'{file}' has the columns {', '.join(first) or '(none)'}. Its first line must name "
            f"an index ({', '.join(INDEX_COLUMNS)}) and a label ({', '.join(TEXT_COLUMNS)})."
        )
    for row in reader:
        if row:
            cells = dict(zip(names, row, strict=False))
            if len(row) <= max(index, text):
                raise ValueError(f"line {reader.line_num} has {len(row)} of {len(names)} columns")
            yield index_of(row[index]), Label(row[text], cells.get("source") or source, _score(cells))


def _records(rows: Iterable[Any], source: str) -> Iterator[tuple[int, Label, str | None]]:
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"row {place} is no object")
        if "concept" in row and "concept_id" in row:
            # Weights are appended concept by concept, so the place of a row counts and not its concept_id.
            yield place, Label(str(row["concept"]), "axbench"), None
            continue
        text = next((row[name] for name in TEXT_COLUMNS if isinstance(row.get(name), str)), None)
        index = next((row[name] for name in INDEX_COLUMNS if name in row and row[name] is not None), None)
        if index is None:
            raise ValueError(f"row {place} names no feature (index)")
        if text is not None:  # Neuronpedia has rows without an explanation
            maker = row.get("explanationModelName")
            named = (
                f"neuronpedia {maker}" if maker else "neuronpedia" if "modelId" in row else row.get("source", source)
            )
            yield index_of(index), Label(text, str(named), _score(row)), row.get("layer")


def lines(file: Path) -> Iterator[str]:
    """Lines of a text, at most so many characters of it however small its archive is.

    Raises:
        ValueError: It has more, or one line is too long.
    """
    opened = gzip.open if file.suffix == ".gz" else open
    total = 0
    with opened(file, "rt", encoding="utf-8-sig", errors="replace", newline="") as stream:
        while line := stream.readline(LONGEST_LINE + 1):
            total += len(line)
            if len(line) > LONGEST_LINE or total > MOST_CHARACTERS:
                raise ValueError(f"it has a line over {LONGEST_LINE:,} characters or over {MOST_CHARACTERS:,} in all")
            yield line


def index_of(value: object) -> int:
    """A feature's index, which Neuronpedia writes as text.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise ValueError(f"{str(value)[:80]!r} is no index of a feature")
    return int(str(value)[:20])


def _score(row: dict[str, Any]) -> float | None:
    for name in SCORES:
        try:
            return float(row[name])
        except (KeyError, TypeError, ValueError):
            continue
    return None
