"""The course of a training as a CSV file, and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row; the first brings the names of the columns."""
    first = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if first:
            writer.writeheader()
        writer.writerow(row)


def keep_until(path: Path, step: int) -> None:
    """Drop the rows after a step, which a resumed run writes again."""
    kept = [row for row in read(path) if int(row["step"]) <= step] if path.exists() else []
    path.unlink(missing_ok=True)
    for row in kept:
        add_row(path, row)


def read(path: Path) -> list[dict[str, str]]:
    """The rows."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def draw(path: Path, picture: Path, columns: Sequence[str]) -> None:
    """Draw some columns over the steps."""
    from matplotlib.figure import Figure

    rows = read(path)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="step")
    for name in columns:
        axes.plot([int(row["step"]) for row in rows], [float(row[name]) for row in rows], label=name.replace("_", " "))
    axes.legend()
    figure.savefig(picture)
