"""Measuring a dictionary's features over texts: maxima, densities, histograms, top contexts, and activation norms."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit import pages
from steerkit.dictionaries.texts import as_trained
from steerkit.errors import PromptError

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float, Int
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model
    from steerkit.tokens import Prompt, PromptLike

# Activations span orders of magnitude: histogram bins are half powers of two from LOWEST on.
BINS, LOWEST = 48, 2.0**-10
CONTEXTS = 8
AROUND = 12


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was measured, of which dictionary, and on which corpus. Special tokens are left out.

    Attributes:
        dictionary: Name of the dictionary.
        revision: Revision it was resolved to, if any.
        corpus: Number of texts and tokens, and the start of the SHA-256 of the token ids.
        prompts: The texts.
        maximum: (n_features,) largest activation.
        density: (n_features,) share of tokens at which a feature is active.
        histogram: (n_features, BINS) number of tokens by activation; bin `b` begins at `LOWEST * 2**(b / 2)`.
        top_values: (n_features, CONTEXTS) largest activations, at most one a text; 0 where there are fewer.
        top_texts: (n_features, CONTEXTS) the text of each.
        top_tokens: (n_features, CONTEXTS) the token of each.
        mean_norm: Mean length of the activations that were read, in their own units.
        n_tokens: Number of tokens.
    """

    dictionary: str
    revision: str | None
    corpus: str
    prompts: tuple[Prompt, ...]
    maximum: Float[Tensor, " n_features"]
    density: Float[Tensor, " n_features"]
    histogram: Int[Tensor, "n_features bins"]
    top_values: Float[Tensor, "n_features contexts"]
    top_texts: Int[Tensor, "n_features contexts"]
    top_tokens: Int[Tensor, "n_features contexts"]
    mean_norm: float
    n_tokens: int

    def passages(self, feature: int) -> list[tuple[float, str, str, str]]:
        """The texts in which a feature is most active: its activation, what stands before, the token, and after."""
        found = []
        for value, text, token in zip(
            self.top_values[feature].tolist(),
            self.top_texts[feature].tolist(),
            self.top_tokens[feature].tolist(),
            strict=True,
        ):
            if value > 0:
                found.append((value, *self.prompts[text].around(token, AROUND)))
        return found

    def contexts(self, feature: int) -> pd.DataFrame:
        """The same as a frame."""
        import pandas as pd

        return pd.DataFrame(self.passages(feature), columns=["activation", "before", "token", "after"])

    def to_frame(self) -> pd.DataFrame:
        """One row a feature."""
        import pandas as pd

        measured = {"maximum": self.maximum.tolist(), "density": self.density.tolist()}
        return pd.DataFrame({"feature": range(len(self.maximum)), **measured})

    def plot(self) -> Figure:
        """How the maxima of the features that were active are spread."""
        from steerkit.figures import spread

        return spread(self.maximum[self.maximum > 0].tolist(), {}, "largest activation", "features")

    def _repr_html_(self) -> str:
        active = f"{int((self.density > 0).sum())} of {len(self.density)} features were active"
        told = f"{active}; at a token {self.density.sum().item():.3g} of them, on average."
        return pages.fragment(pages.heading(str(self)), pages.note(told))

    def __repr__(self) -> str:
        return f"Calibration({self.corpus}, mean norm {self.mean_norm:.4g})"


def calibrate(
    dictionary: Dictionary, model: Model, texts: Sequence[PromptLike], *, batch_size: int = 16
) -> Calibration:
    """Measure a dictionary's features over texts.

    Args:
        dictionary: The dictionary.
        model: The model that it belongs to.
        texts: Texts, token ids or chat messages; for a dictionary of chats, a text becomes a user's message.
        batch_size: Texts a forward pass.

    Raises:
        PromptError: The texts have no tokens that count.
        SteerkitError: A text or the dictionary does not fit the model.
    """
    n, site = dictionary.n_features, dictionary.reads_at()
    maximum, counts = torch.zeros(n), torch.zeros(n, dtype=torch.long)
    histogram = torch.zeros(n * BINS, dtype=torch.long)
    top = torch.zeros(n, CONTEXTS)
    places = torch.zeros(2, n, CONTEXTS, dtype=torch.long)
    prompts: list[Prompt] = []
    digest, norms, n_tokens = hashlib.sha256(), 0.0, 0
    wanted = as_trained(model, texts, chat=dictionary.parts.chat)
    for prompt, activations in model.activations(wanted, [site], batch_size=batch_size):
        plain = (~torch.tensor(prompt.special)).nonzero()[:, 0]
        x = activations[site][plain]
        codes = dictionary.encode(x)
        features, values = codes.features.long().cpu(), codes.values.cpu()
        counts += torch.bincount(features, minlength=n)
        bins = (2 * (values / LOWEST).log2()).floor().clamp(0, BINS - 1).long()
        histogram += torch.bincount(features * BINS + bins, minlength=n * BINS)
        here, peak = (found.cpu() for found in codes.largest())
        maximum = maximum.maximum(here)
        better = (here > top[:, -1]).nonzero()[:, 0]
        candidates = torch.cat([top[better], here[better, None]], dim=1)
        texts_here = torch.cat([places[0, better], torch.full((len(better), 1), len(prompts))], dim=1)
        tokens_here = torch.cat([places[1, better], plain[peak[better], None]], dim=1)
        top[better], order = candidates.topk(CONTEXTS)
        places[0, better], places[1, better] = texts_here.gather(1, order), tokens_here.gather(1, order)
        norms += x.norm(dim=-1).sum().item()
        n_tokens += len(plain)
        digest.update(repr(prompt.ids).encode())
        prompts.append(prompt)
    if not n_tokens:
        raise PromptError("The texts have no token that is not special, so nothing was measured. Give some sentences.")
    return Calibration(
        dictionary=dictionary.name,
        revision=dictionary.revision,
        corpus=f"{len(prompts)} texts, {n_tokens} tokens, sha256 {digest.hexdigest()[:12]}",
        prompts=tuple(prompts),
        maximum=maximum,
        density=counts / n_tokens,
        histogram=histogram.reshape(n, BINS),
        top_values=top,
        top_texts=places[0],
        top_tokens=places[1],
        mean_norm=norms / n_tokens,
        n_tokens=n_tokens,
    )
