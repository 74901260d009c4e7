"""Texts by how strongly features fire in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from steerkit import pages
from steerkit.reading import Reading
from steerkit_widgets._base import refuse_unknown
from steerkit_widgets._circuitsvis import Drawing, needed, shown

if TYPE_CHECKING:
    import steerkit as sk
    from steerkit.edits import Target

LISTED = 12  # features that are shown where none are named


class TokenTable(Drawing):
    """Texts in the order in which a feature fires in them, token by token; CircuitsVis draws them.

    It is a picture, with no kernel behind it. It needs CircuitsVis, which comes with `pip install "steerkit-lab[lab]"`.

    Args:
        readings: What `Model.read` gave back for each text.
        along: Features and vectors that were read; without them, the strongest features of the first dictionary.

    Raises:
        TypeError: `readings` are none.
        ValueError: There is no reading, or nothing was read to choose from.
        SiteError: One of `along` was not read.
        ImportError: CircuitsVis is not installed.

    Example:
        >>> TokenTable([model.read(text, features) for text in texts], [features["rain"]])  # doctest: +SKIP
    """

    def __init__(self, readings: Sequence[sk.Reading], along: Sequence[Target] = (), **unknown: Any) -> None:
        with needed("TokenTable"):
            from circuitsvis.topk_samples import topk_samples

        refuse_unknown("TokenTable", unknown, ["along"])
        given = [readings] if isinstance(readings, Reading) else list(readings)
        if not all(isinstance(reading, Reading) for reading in given):
            raise TypeError(f"TokenTable takes readings, such as [model.read(text, features)]; got {readings!r}.")
        self.along: list[Target] = list(along) or _strongest(given)
        if not given or not self.along:
            raise ValueError(
                "There is nothing to show. Give readings of a dictionary, or name what was read in along=."
            )
        rows = [[_plain(reading, target) for reading in given] for target in self.along]
        rows = [sorted(row, key=lambda text: -max(text[1], default=0.0)) for row in rows]
        labels = [target.label for target in self.along]
        drawn = topk_samples(
            tokens=[[[shown(tokens) for tokens, _ in row] for row in rows]],
            activations=[[[values for _, values in row] for row in rows]],
            zeroth_dimension_name="Read",
            first_dimension_name="Feature",
            zeroth_dimension_labels=[f"in {len(given)} text{'s' * (len(given) != 1)}"],
            first_dimension_labels=shown(labels),
        )
        super().__init__("Texts by activation", drawn, _in_words(labels, rows))


def _strongest(readings: Sequence[Reading]) -> list[Target]:
    """The features of the first dictionary with the largest activations in any of the texts."""
    dictionary = next((reading.codes[0][0] for reading in readings if reading.codes), None)
    if dictionary is None:
        return []
    most: dict[int, float] = {}
    for reading in readings:
        special = torch.tensor(reading.prompt.special)
        for codes in (codes for read, codes in reading.codes if read is dictionary):
            plain = ~special[codes.tokens]
            for index, value in zip(codes.features[plain].tolist(), codes.values[plain].tolist(), strict=True):
                most[index] = max(most.get(index, value), value)
    return [dictionary[index] for index in sorted(most, key=lambda index: -most[index])[:LISTED]]


def _plain(reading: Reading, target: Target) -> tuple[list[str], list[float]]:
    """The tokens of a text that are not special, and what the target does there."""
    values = [round(value, 3) for value in reading.activations(target).tolist()]
    kept = [place for place, special in enumerate(reading.prompt.special) if not special]
    return [reading.tokens[place] for place in kept], [values[place] for place in kept]


def _in_words(labels: Sequence[str], rows: Sequence[Sequence[tuple[list[str], list[float]]]]) -> str:
    """For each feature, the texts with its strongest token."""
    lines = [
        [label, f"{max(values):.3g} at “{tokens[values.index(max(values))].strip()}”", "".join(tokens)]
        for label, row in zip(labels, rows, strict=True)
        for tokens, values in row
        if values
    ]
    return pages.table(["feature", "strongest", "text"], lines)
