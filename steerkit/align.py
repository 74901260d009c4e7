"""Aligning a dictionary with target texts: which of its features fire in texts that mean something like them.

A feature is near the targets when the reference texts in which it fires mean something like them. No feature has to be
chosen and none needs a label; but features that no reference text makes fire are out of reach, which `coverage` says.

Source: "Enabling Layer-Level Steering in Large Language Models using Sparse Autoencoders" (2025), as its code has it:
github.com/IBM/sae-steering.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch

from steerkit.alignment import Alignment
from steerkit.embeddings import Embed, sentence_embedder
from steerkit.errors import DictionaryError, PromptError, VectorError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model
    from steerkit.sites import Site

# Shares of the largest: closer ones differ by rounding alone.
ROUNDING = 1e-12


class References:
    """Reference texts of many kinds: what they mean, and which features of a dictionary fire in them.

    Reading them takes a forward pass of each and happens once, when scores are first asked for; then any targets can be
    aligned with. An interrupt loses one batch, and asking again reads on from there.

    Args:
        model: The model that the dictionary belongs to.
        dictionary: The dictionary.
        texts: The texts. Where a text is longer than the model's context, it is read in pieces of that length.
        embed: Sentence embeddings; by default `sentence_embedder()` where sentence-transformers is installed, else
            `mean_pooled` of the model at the dictionary's site.
        batch_size: Texts a forward pass.

    Raises:
        PromptError: There is no text, or something else than texts.

    Example:
        >>> references = References(model, features, texts)  # doctest: +SKIP
        >>> medical = references.align(["Paracetamol is taken against pain."], label="medical")  # doctest: +SKIP
        >>> run = model.generate("Today I", [medical.swap()])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: Model,
        dictionary: Dictionary,
        texts: Sequence[str],
        *,
        embed: Embed | None = None,
        batch_size: int = 16,
    ) -> None:
        self.model, self.dictionary, self.batch_size = model, dictionary, batch_size
        self.texts = _checked("reference", texts)
        self.embed = embed or _embedder(model, dictionary.reads_at())
        self._read: dict[tuple[int, ...], Tensor] = {}

    def align(self, targets: Sequence[str], label: str = "target") -> Alignment:
        """Score every feature for its nearness to target texts.

        With `a_p` the activations of text `p`, summed over its tokens but the first and normalised to the sum 1, and
        `d_p` the distance of `p` to the nearest target, feature `i` lies at `s_i = Σ_p d_p² a_pi / Σ_p a_pi`. Its score
        is `1 - (s_i - min s) / (max s - min s)` over the features that fired. Texts in which nothing fires (empty ones,
        single tokens) say nothing. Where all features are equally far, all scores are 0.

        Args:
            targets: Texts that have what to steer towards.
            label: Name of the target, shown to people.

        Raises:
            PromptError: There is no target, or an empty one; or no reference text makes a feature fire.
            DictionaryError: The dictionary's activations may be negative.
            VectorError: The embeddings are not one vector of finite numbers a text.
        """
        targets = _checked("target", targets)
        if not all(targets):
            raise PromptError("One of the target texts is empty, and so means nothing. Leave it out.")
        summaries = self._summaries(self.texts)
        heard = [i for i, summary in enumerate(summaries) if summary.sum() > 0]
        if not heard:
            raise PromptError("No reference text makes a feature fire. Give texts of several words.")
        aims = _embedded(self.embed, targets)
        away = distances(_embedded(self.embed, [self.texts[i] for i in heard]), aims)
        scores, fired = score([summaries[i] for i in heard], away)
        in_targets = torch.stack([summary.to_dense() for summary in self._summaries(targets)]).sum(0) > 0
        texts = f"{len(heard)} of {len(self.texts)} reference texts, {len(targets)} targets"
        return Alignment(
            self.dictionary,
            scores.float(),
            fired,
            label,
            target_coverage=fired[in_targets].double().mean().item() if in_targets.any() else None,
            source=f"{texts}, embeddings by {getattr(self.embed, '__qualname__', type(self.embed).__qualname__)}",
        )

    def _summaries(self, texts: Sequence[str]) -> list[Float[Tensor, " n_features"]]:
        """For each text, the sum of each feature's activations over all tokens but the first, sparse."""
        n, site = self.dictionary.n_features, self.dictionary.reads_at()
        windows = [self.model.encode(text).windows(self.model.context) if text else [] for text in texts]
        pieces = [[piece for piece in of_text if len(piece) > 1] for of_text in windows]
        missing = {piece.ids: piece for of_text in pieces for piece in of_text if piece.ids not in self._read}
        for piece, activations in self.model.activations([*missing.values()], [site], batch_size=self.batch_size):
            codes = self.dictionary.encode(activations[site][1:])
            if (codes.values < 0).any():
                raise DictionaryError(
                    f"Activations of {self.dictionary.name} may be negative, so they cannot be summed up to say how "
                    "much a feature fires. Alignment needs a dictionary of sparse features."
                )
            summed = codes.features.long().bincount(codes.values.double(), minlength=n)
            self._read[piece.ids] = summed.to_sparse()
        nothing = torch.zeros(n, dtype=torch.double).to_sparse()
        return [sum((self._read[piece.ids] for piece in of_text), nothing) for of_text in pieces]

    def __repr__(self) -> str:
        return f"References({len(self.texts)} texts, {self.dictionary.name!r})"


def mean_pooled(model: Model, site: str | Site) -> Embed:
    """The model's own activations as sentence embeddings: of each text, the mean over its tokens.

    The first token, which has an outsized norm in most models, and special tokens are left out where there are others.
    Of a text longer than the model's context, the beginning is read. Coarser than a model trained for sentences.

    Args:
        model: The model.
        site: Where to read.
    """

    def embed(texts: list[str]) -> np.ndarray:
        prompts = [model.encode(text).windows(model.context)[0] for text in texts]
        found = {}
        for prompt, activations in model.activations(prompts, [site]):
            (x,) = activations.values()
            plain = [i for i, special in enumerate(prompt.special) if i and not special]
            found[prompt.ids] = x[plain or slice(None)].mean(0).numpy()
        return np.array([found[prompt.ids] for prompt in prompts])

    embed.__qualname__ = f"{model.name} at {site}, mean over tokens"
    return embed


def _embedder(model: Model, site: Site) -> Embed:
    return mean_pooled(model, site) if find_spec("sentence_transformers") is None else sentence_embedder()


def distances(
    references: Float[np.ndarray, "n_references d"], targets: Float[np.ndarray, "n_targets d"]
) -> Float[Tensor, " n_references"]:
    """Euclidean distance of each reference to the nearest target, both at unit length."""
    units = (torch.nn.functional.normalize(torch.from_numpy(rows).double(), dim=-1) for rows in (references, targets))
    return torch.cdist(*units, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1).values


def score(
    summaries: Iterable[Float[Tensor, " n_features"]], distances: Float[Tensor, " n_texts"]
) -> tuple[Float[Tensor, " n_features"], Bool[Tensor, " n_features"]]:
    """Scores of all features, and which of them fired; see `References.align`.

    Args:
        summaries: For each reference text, the summed activations of the features, of which some fired; may be sparse.
        distances: Its distance to the nearest target.
    """
    weighted = total = torch.zeros(())
    for summary, distance in zip(summaries, distances.double(), strict=True):
        share = summary.to_dense().double() / summary.double().sum()
        weighted, total = weighted + distance.square() * share, total + share
    fired = total > 0
    away = weighted[fired] / total[fired]
    width = away.max() - away.min()
    scores = torch.zeros_like(total)
    if width > ROUNDING * away.max():
        scores[fired] = 1 - (away - away.min()) / width
    return scores, fired


def _checked(kind: str, texts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
        raise PromptError(f"The {kind} texts must be a list of at least one text; got {texts!r}.")
    return tuple(texts)


def _embedded(embed: Embed, texts: Sequence[str]) -> Float[np.ndarray, "texts d"]:
    vectors = np.asarray(embed(list(texts)), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all() or not vectors.any(1).all():
        raise VectorError(
            f"The sentence embeddings of {len(texts)} texts have the shape {vectors.shape}; they must be one row of "
            "finite numbers a text, not all of them 0."
        )
    return vectors
