"""The tokens of a batch at which an activation is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit.errors import SettingError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from steerkit.sites import Site
    from steerkit.tokens import Encoded

CHOICES = {
    "last": "the last token",
    "mean": "the mean over the tokens of the completion, special ones left out",
    "every": "every token of the completion, special ones left out",
    "all": "every token, those of the prompt and special ones too",
}


@dataclass(frozen=True, eq=False)
class Selection:
    """What is kept of the activation at each token of a batch.

    Attributes:
        tokens: The tokens; every row has one.
        mean: Whether their mean in each row is kept, not each.
    """

    tokens: Bool[Tensor, "rows tokens"]
    mean: bool

    def __call__(self, hidden: Float[Tensor, "rows tokens width"]) -> Float[Tensor, "kept width"]:
        """What is kept, one row after another."""
        tokens = self.tokens.to(hidden.device)
        chosen = hidden[tokens].float()
        if not self.mean:
            return chosen
        counts = tokens.sum(-1)
        row = torch.repeat_interleave(torch.arange(len(counts), device=hidden.device), counts)
        return chosen.new_zeros(len(counts), hidden.shape[-1]).index_add_(0, row, chosen) / counts[:, None]

    def counts(self) -> list[int]:
        """How much is kept of each row."""
        return [1] * len(self.tokens) if self.mean else self.tokens.sum(-1).tolist()


@dataclass(frozen=True, eq=False)
class Gathered:
    """Activations of several texts.

    Attributes:
        activations: At each site, a row for each token that was asked for (or for each text's mean), in the order of
            the texts.
        text: The text that each row is of.
    """

    activations: Mapping[Site, Float[Tensor, "rows width"]]
    text: Int[Tensor, " rows"]


def select(texts: Sequence[Encoded], choice: str) -> Selection:
    """The tokens that a choice means, of texts that are right-aligned in a batch.

    Args:
        texts: The texts.
        choice: One of `CHOICES`.
    """
    width = max(len(text.prompt) for text in texts)
    tokens = torch.zeros(len(texts), width, dtype=torch.bool)
    for row, (prompt, start) in enumerate(texts):
        if choice == "last":
            tokens[row, -1] = True
        elif choice == "all":
            tokens[row, width - len(prompt) :] = True
        else:
            tokens[row, width - len(prompt) + start :] = ~torch.tensor(prompt.special[start:])
    return Selection(tokens, mean=choice == "mean")


def check_choice(choice: str) -> str:
    """The choice, if there is such a one.

    Raises:
        SettingError: There is not.
    """
    if choice not in CHOICES:
        listed = "; ".join(f"'{name}': {meaning}" for name, meaning in CHOICES.items())
        raise SettingError(f"tokens={choice!r} is not known. Choose {listed}.")
    return choice
