"""Contrast pairs from a tab-separated file: a header that names the two sides, then a pair a line."""

from __future__ import annotations

import csv
import os
from importlib.resources import files
from pathlib import Path

from steerkit.errors import PromptError


def load_pairs(path: str | os.PathLike[str] | None = None) -> tuple[str, list[str], list[str]]:
    """Read contrast pairs.

    Args:
        path: A tab-separated file; None for the happy and sad sentences that come with steerkit.

    Returns:
        The name of the first side, its texts, and the texts of the other.

    Raises:
        PromptError: The file cannot be read, or a line has not exactly two texts.
    """
    source = files("steerkit.demo") / "happy_sad.tsv" if path is None else Path(path)
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(
            f"The pairs in '{source}' could not be read: {error}. Give a tab-separated text file."
        ) from None
    for number, row in rows:
        texts = sum(bool(cell.strip()) for cell in row)
        if not len(row) == texts == 2:
            raise PromptError(
                f"Line {number} of '{source}' has {texts} texts in {len(row)} columns. Give two a line, "
                "separated by a tab, under a header that names the two sides."
            )
    if len(rows) < 2:
        raise PromptError(f"'{source}' has no pairs. Give a header that names the two sides, then a pair a line.")
    (name, _), *pairs = (row for _, row in rows)
    return name, [first for first, _ in pairs], [second for _, second in pairs]
