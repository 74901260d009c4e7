"""What a page shows of features wherever it lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from steerkit_widgets._arrays import pack, pack_lines

if TYPE_CHECKING:
    from torch import Tensor

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
    most = maxima(dictionary)
    unknown = torch.full((len(indices),), torch.nan)
    return {
        "indices": pack(chosen, "uint32"),
        "labels": pack_lines("" if label is None else label.text for label in labels),
        "sources": pack_lines("" if label is None else label.source for label in labels),
        "scores": pack(torch.tensor([_number(None if label is None else label.score) for label in labels]), "float32"),
        "maxima": pack(unknown if most is None else most[chosen].where(most[chosen] > 0, torch.nan), "float32"),
    }


def maxima(dictionary: Dictionary) -> Tensor | None:
    """The largest activation of every feature, as measured or published; 0 where it is not known, None for all."""
    calibration = dictionary.calibration
    found = dictionary.published_maxima if calibration is None else calibration.maximum
    # A maximum of 0 is that of a feature that never fired where it was measured: it is not known.
    return None if found is None or not (found > 0).any() else found.float().clamp_min(0).nan_to_num(0.0)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
