"""Stories as token ids, with the answer key of their sentences."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from steerkit.storybook.language.instructions import instruction
from steerkit.storybook.language.stories import Story, concepts, corpus
from steerkit.storybook.train.batches import Tokens
from steerkit.storybook.train.documents import ASKED_SHARE, BOS, END, asked

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOWHERE = -1


class Keyed(NamedTuple):
    """Stories and their answer key.

    Attributes:
        tokens: The stories.
        sentence: (n_tokens,) the sentence of each token; `NOWHERE` between sentences, in requests, and in sentences
            with held-out lexemes, whose key is not looked at.
        expressed: (n_sentences, n_concepts) what they express.
    """

    tokens: Tokens
    sentence: np.ndarray
    expressed: Bool[Tensor, "sentence concept"]


class Batch(NamedTuple):
    """Activations of tokens, and the answer key of their sentences.

    Attributes:
        x: (n_tokens, d_model).
        sentence: (n_tokens,) rows of `expressed`, or `NOWHERE`.
        expressed: (n_sentences, n_concepts).
    """

    x: Float[Tensor, "token d_model"]
    sentence: Int[Tensor, " token"]
    expressed: Bool[Tensor, "sentence concept"]


def keyed(seed: int, n: int, tokenizer: PreTrainedTokenizerBase) -> Keyed:
    """Stories from the training split, a share of them after a request."""
    rng = random.Random(f"keyed/{seed}")
    column = {name: i for i, name in enumerate(concepts())}
    plain, texts, places, expressed = corpus(seed, n), [], [], []
    for i in range(n):
        before, story = BOS, next(plain)
        if rng.random() < ASKED_SHARE:
            messages, story = instruction(seed * n + i)
            before = asked(messages[0]["content"])
        text = f"{before}{story.text}{END}"
        places.append(_letters(story, len(before), len(text), len(expressed)))
        expressed += [[column[name] for name in s.concepts] for s in story.sentences if not s.held_out]
        texts.append(text)
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    found = [
        letters[[end - 1 for _, end in spans]]  # a token belongs to the sentence that its last letter stands in
        for letters, spans in zip(places, encoded["offset_mapping"], strict=True)
    ]
    ids = np.concatenate([np.array(one, np.uint16) for one in encoded["input_ids"]])
    key = torch.zeros(len(expressed), len(column), dtype=torch.bool)
    for row, names in zip(key, expressed, strict=True):
        row[names] = True
    starts = np.cumsum([0, *map(len, encoded["input_ids"])])
    return Keyed(Tokens(ids, starts, *np.zeros((2, len(ids)), bool)), np.concatenate(found), key)


def _letters(story: Story, before: int, length: int, first: int) -> np.ndarray:
    """The sentence of each letter; those without held-out lexemes are numbered from `first` on."""
    letters = np.full(length, NOWHERE)
    for sentence in story.sentences:
        if not sentence.held_out:
            letters[before + sentence.start : before + sentence.end] = first
            first += 1
    return letters


def activations(body: nn.Module, stories: Keyed, special: list[int], size: int, seed: int) -> Iterator[Batch]:
    """What layers put out over stories, in batches of about `size` tokens, again and again; no special tokens.

    Args:
        body: The layers.
        stories: What they read.
        special: Ids of the special tokens, which are left out.
        size: Tokens in a batch, special tokens and padding included.
        seed: Of the order of the batches.
    """
    left_out, device = torch.tensor(special), next(body.parameters()).device
    tokens = stories.tokens
    while True:
        for documents in tokens.batches(size, seed):
            rows = tokens.rows(documents, special[0])
            with torch.no_grad():
                hidden = body(input_ids=rows.to(device), use_cache=False).last_hidden_state
            kept = ~torch.isin(rows, left_out)
            where = torch.full_like(rows, NOWHERE)
            for row, document in zip(where, documents, strict=True):
                start, end = tokens.starts[document : document + 2]
                row[: end - start] = torch.from_numpy(stories.sentence[start:end])
            sentence = where[kept]
            used, local = sentence.unique(return_inverse=True)
            n_nowhere = int((used == NOWHERE).sum())  # sorted first
            yield Batch(
                hidden[kept.to(device)], (local - n_nowhere).to(device), stories.expressed[used[n_nowhere:]].to(device)
            )
        seed += 1
