"""Which tokens follow which in the stories.

A softmax leaves some probability to every token of the vocabulary (Hewitt, Manning & Liang 2022, "Truncation sampling
as language model desmoothing"). What is sampled from there is a slip of the tongue, and the rest of its sentence is
lost. The stories tell such tokens from rare ones: hardly a word of a story follows two others as no word did before.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steerkit.storybook.train.batches import Tokens


class Followers:
    """The tokens that follow any two in documents of one kind.

    Args:
        tokens: The documents.
        vocabulary: How many tokens there are.
        other: What the documents of the other kind begin with, after the beginning of the sequence.
    """

    def __init__(self, tokens: Tokens, vocabulary: int, other: int) -> None:
        self.vocabulary, self.other = vocabulary, other
        ids = tokens.ids.astype(np.int64)
        place = np.arange(len(ids)) - np.repeat(tokens.starts[:-1], np.diff(tokens.starts))
        read = np.repeat(ids[tokens.starts[:-1] + 1] != other, np.diff(tokens.starts)) & (place > 0)
        before = np.where(place > 1, np.roll(ids, 2), 0) * vocabulary + np.roll(ids, 1)
        self._before, at = np.unique(before[read], return_inverse=True)
        # Of what stands before for the first time nothing is known, so that anything may follow: the last row.
        seen = np.ones((len(self._before) + 1, vocabulary), bool)
        seen[:-1] = False
        seen[at, ids[read]] = True
        self._unseen = np.packbits(~seen, axis=1)

    def never(self, rows: Int[Tensor, "batch position"]) -> Bool[Tensor, "batch position vocabulary"]:
        """Which tokens never follow each token and the one before it; none where a row is of the other kind."""
        own = rows.numpy()
        before = np.pad(own, ((0, 0), (1, 0)))[:, :-1] * self.vocabulary + own
        at = np.minimum(np.searchsorted(self._before, before), len(self._before) - 1)
        known = (self._before[at] == before) & (own[:, 1:2] != self.other)
        found = self._unseen[np.where(known, at, len(self._before))]
        return torch.from_numpy(np.unpackbits(found, axis=-1, count=self.vocabulary).view(bool))
