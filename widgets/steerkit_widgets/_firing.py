"""What fires over some tokens of a reading, ranked as the page ranks it.

The page's end is `js/src/host/reading.ts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from steerkit_widgets._features import maxima

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    import steerkit as sk
    from steerkit.dictionaries.codes import Codes
    from steerkit.dictionaries.dictionary import Dictionary

COLUMNS = ["feature", "label", "site", "mean", "size", "max", "count"]


def firing(reading: sk.Reading, first: int, last: int) -> pd.DataFrame:
    """Features and vectors by their mean from one token to another; see `TokenView.firing`."""
    import pandas as pd

    places = torch.arange(len(reading.tokens))
    here = (places >= first) & (places <= last) & ~torch.tensor(reading.prompt.special)
    rows = [row for dictionary, codes in reading.codes for row in _of_dictionary(dictionary, codes, here)]
    for column, values in zip(reading.columns, reading.coefficients.T, strict=True):
        if (found := values[here]).count_nonzero():
            rows.append((pd.NA, column.label, str(column.site), *_summary(found, len(found), 1.0)))
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"feature": "Int64"})
    return frame.sort_values("size", ascending=False, ignore_index=True, kind="stable")


def _of_dictionary(dictionary: Dictionary, codes: Codes, here: Tensor) -> Iterator[tuple[object, ...]]:
    known, site = maxima(dictionary), str(dictionary.reads_at())
    read, n_tokens = here[codes.tokens], int(here.sum())
    for index in codes.features[read].unique().tolist():
        found = codes.values[read & (codes.features == index)]
        unit = 1.0
        if known is not None:  # of a feature whose maximum is not known, its largest in the text
            unit = known[index].item() or codes.at(index).abs().max().item()
        yield index, dictionary[index].label, site, *_summary(found, n_tokens, unit)


def _summary(values: Tensor, n_tokens: int, unit: float) -> tuple[float, float, float, int]:
    mean = values.sum().item() / n_tokens
    return mean, abs(mean / unit), values[values.abs().argmax()].item(), int(values.count_nonzero())
