"""Token ids on disk, and batches of them.

A row of a batch is one document, so that every document is read as it will be: from the beginning of the sequence.
Documents of about the same length go together, so that little is padded.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from steerkit.storybook.train.documents import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

POOL = 64  # batches whose documents are sorted together by length
IGNORED = -100  # as a label: no loss


class Tokens(NamedTuple):
    """Documents as token ids, one after another.

    Attributes:
        ids: Of all documents (n_tokens,).
        starts: Where each begins, and where the last ends (n_documents + 1,).
        stressed: Which tokens matter most (n_tokens,).
        recalled: Which tokens are told again (n_tokens,).
    """

    ids: np.ndarray
    starts: np.ndarray
    stressed: np.ndarray
    recalled: np.ndarray

    @classmethod
    def of(cls, documents: Iterable[Document], tokenizer: PreTrainedTokenizerBase) -> Tokens:
        """Tokenize documents."""
        pieces, stressed, recalled = [np.zeros(0, np.uint16)], [np.zeros(0, bool)], [np.zeros(0, bool)]
        source = iter(documents)
        while some := list(islice(source, 1024)):
            encoded = tokenizer([one.text for one in some], add_special_tokens=False, return_offsets_mapping=True)
            pieces += [np.array(ids, np.uint16) for ids in encoded["input_ids"]]
            for spans, one in zip(encoded["offset_mapping"], some, strict=True):
                stressed.append(_inside(np.array(spans), one.stressed))
                recalled.append(_inside(np.array(spans), one.recalled))
        starts = np.cumsum([len(piece) for piece in pieces])
        return cls(np.concatenate(pieces), starts, np.concatenate(stressed), np.concatenate(recalled))

    def save(self, path: Path) -> None:
        """Write them as `.npz`."""
        np.savez(path, **self._asdict())

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**arrays)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, documents: Iterable[int], pad: int) -> Int[Tensor, "batch position"]:
        """Some documents, padded on the right."""
        return self.padded(self.ids, documents, pad).long()

    def stress(self, documents: Iterable[int]) -> Bool[Tensor, "batch position"]:
        """Which tokens of those rows matter most."""
        return self.padded(self.stressed, documents, False)

    def recall(self, documents: Iterable[int]) -> Bool[Tensor, "batch position"]:
        """Which tokens of those rows are told again."""
        return self.padded(self.recalled, documents, False)

    def padded(self, values: np.ndarray, documents: Iterable[int], padding: int) -> Tensor:
        """Values of every token (n_tokens,), laid out as `rows` is."""
        pieces = [torch.from_numpy(values[self.starts[i] : self.starts[i + 1]]) for i in documents]
        return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True, padding_value=padding)

    def batches(self, size: int, seed: int) -> list[list[int]]:
        """Every document once, in batches of at most `size` tokens with padding."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(self))
        lengths = np.diff(self.starts)
        pool = max(1, int(POOL * size / max(lengths.mean(), 1)))
        found = []
        for first in range(0, len(order), pool):
            some = order[first : first + pool]
            own = _cut(some[np.argsort(lengths[some], kind="stable")], lengths, size)
            found += [own[i] for i in random.permutation(len(own))]
        return found


def _inside(tokens: np.ndarray, spans: Iterable[tuple[int, int]]) -> np.ndarray:
    """Which tokens, given by their characters as (start, end), have a character in one of the spans."""
    found = np.zeros(len(tokens), bool)
    for start, end in spans:
        found |= (tokens[:, 0] < end) & (tokens[:, 1] > start)
    return found


def _cut(documents: np.ndarray, lengths: np.ndarray, size: int) -> list[list[int]]:
    """Documents in the order of their length, cut so that each batch has room for its longest."""
    found: list[list[int]] = [[]]
    for document in documents.tolist():
        if found[-1] and (len(found[-1]) + 1) * lengths[document] > size:
            found.append([])
        found[-1].append(document)
    return found


def labels(rows: Int[Tensor, "batch position"], given: Int[Tensor, " n"]) -> Int[Tensor, "batch position"]:
    """What is to be predicted: everything but the tokens that are always given, such as padding and markers."""
    return rows.masked_fill(torch.isin(rows, given), IGNORED)
