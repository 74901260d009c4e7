"""Choosing the next token: Gumbel-max over the warped logits, with common random numbers.

The noise is a function of (seed, position in the new text) alone and is drawn on the CPU, so rows of a batch that
share a seed share their noise, and a text that is resumed or steered midway goes on with the noise it would have had.
The argmax of logits plus Gumbel noise is a sample of their softmax (Gumbel 1954; Maddison et al. 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How new tokens are chosen, and how many.

    Attributes:
        max_new_tokens: Length of the new text, in tokens, unless it ends before.
        temperature: Logits are divided by it; 0 is greedy.
        top_p: Sample from the smallest set of tokens whose probability reaches it (Holtzman et al. 2020).
        seeds: One a row of the batch.
        end: Ids of the tokens that end a text.
        use_cache: Keep keys and values; without, every step runs over the whole text.
    """

    max_new_tokens: int
    temperature: float
    top_p: float
    seeds: tuple[int, ...]
    end: frozenset[int] = field(default_factory=frozenset)
    use_cache: bool = True


def choose(logits: Float[Tensor, "rows vocabulary"], sampling: Sampling, position: int) -> Int[Tensor, " rows"]:
    """The next token of each row."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    # from the maximum down, so that no temperature is too small to divide by
    warped = (logits - logits.amax(-1, keepdim=True)) / max(sampling.temperature, torch.finfo(torch.float32).tiny)
    if sampling.top_p < 1:
        from transformers import TopPLogitsWarper

        warped = TopPLogitsWarper(sampling.top_p)(None, warped)
    return (warped + gumbel(sampling.seeds, position, logits.shape[-1]).to(logits.device)).argmax(-1)


def gumbel(seeds: Sequence[int], position: int, n_vocabulary: int) -> Float[Tensor, "rows vocabulary"]:
    """Standard Gumbel noise for each seed at one position of the new text."""
    drawn = {seed: _gumbel_row(seed, position, n_vocabulary) for seed in set(seeds)}
    return torch.stack([drawn[seed] for seed in seeds])


def _gumbel_row(seed: int, position: int, n_vocabulary: int) -> Tensor:
    generator = np.random.Generator(np.random.Philox(key=[seed, position]))
    # float64: in float32 an exponential draw is 0 about once in 8 million, which would choose a token at random.
    return torch.from_numpy(-np.log(generator.standard_exponential(n_vocabulary))).float()
