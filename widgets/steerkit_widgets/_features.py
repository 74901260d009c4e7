"""What a page shows of features wherever it lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from steerkit_widgets._arrays import pack, pack_lines

if TYPE_CHECKING:
    from steerkit.dictionaries.dictionary import Dictionary


def described(dictionary: Dictionary, indices: Sequence[int]) -> dict[str, Any]:
    """Index, label with its source and score, and maximum activation of some features, packed.

    A label that there is not is an empty line; a number that is not known is NaN.
    """
    everywhere = len(indices) == dictionary.n_features  # then all labels at once are quicker
    found = (
        dictionary.labels.bests() if everywhere else {i: x[0] for i, x in dictionary.labels.get(indices).items() if x}
    )
    labels = [found.get(index) for index in indices]
    chosen = torch.tensor(indices, dtype=torch.long)
    calibration = dictionary.calibration
    maxima = dictionary.published_maxima if calibration is None else calibration.maximum
    unknown = torch.full((len(indices),), torch.nan)
    return {
        "indices": pack(chosen, "uint32"),
        "labels": pack_lines("" if label is None else label.text for label in labels),
        "sources": pack_lines("" if label is None else label.source for label in labels),
        "scores": pack(torch.tensor([_number(None if label is None else label.score) for label in labels]), "float32"),
        # A maximum of 0 is that of a feature that never fired where it was measured: it is not known.
        "maxima": pack(
            unknown if maxima is None else maxima[chosen].float().where(maxima[chosen] > 0, torch.nan), "float32"
        ),
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
