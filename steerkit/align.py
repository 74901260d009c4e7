"""Alignment: how near each feature of a dictionary is to target texts, and steering by all of them at once.

A feature is near the targets when the reference texts in which it fires mean something like them. No feature has to be
chosen and none needs a label; but features that no reference text makes fire are out of reach, which `coverage` says.

Source: "Enabling Layer-Level Steering in Large Language Models using Sparse Autoencoders" (2025), as its code has it:
github.com/IBM/sae-steering.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from steerkit import pages
from steerkit.dictionaries.reweighing import Reweighing
from steerkit.edits import EVERYWHERE, Edit, Where
from steerkit.embeddings import Embed, sentence_embedder
from steerkit.errors import DictionaryError, EditError, PromptError, VectorError

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Bool, Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.conditions import Condition
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.dictionaries.feature import Feature
    from steerkit.model import Model
    from steerkit.sites import Site

# The strength and the number of features of the published `clamp`.
CLAMP, BEST = 10.0, 5
SHOWN = 10
# Shares of the largest: closer ones differ by rounding alone.
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Alignment:
    """How near each feature of a dictionary is to target texts.

    Attributes:
        dictionary: The dictionary.
        scores: (n_features,) from 0 to 1 for the nearest; 0 for those that never fired.
        fired: (n_features,) which features fired in the reference texts.
        label: Name of the target, shown to people.
        target_coverage: Of the features that fire in the target texts, the share that fired in the references; None
            where it was not measured or none fires.
        source: The texts and the embeddings that the scores come from, in words.

    Raises:
        EditError: There is not one score a feature, or one is negative or no number.
    """

    dictionary: Dictionary
    scores: Float[Tensor, " n_scores"]
    fired: Bool[Tensor, " n_scores"]
    label: str = "target"
    target_coverage: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if len(self.scores) != self.dictionary.n_features:
            raise EditError(
                f"There are {len(self.scores)} scores for the {self.dictionary.n_features} features of "
                f"{self.dictionary.name}. They were made for another dictionary."
            )
        if not (self.scores.isfinite() & (self.scores >= 0)).all():
            raise EditError(f"The scores of {self.label!r} must be numbers from 0 on; give 0 where there is none.")

    @property
    def coverage(self) -> float:
        """The share of all features that fired in the reference texts: the method's measure of its own uncertainty."""
        return self.fired.float().mean().item()

    def best(self, limit: int = BEST) -> list[Feature]:
        """The features with the highest scores, highest first; of equals the lower index."""
        order = self.scores.sort(descending=True, stable=True).indices
        return [self.dictionary[index] for index in order[:limit].tolist()]

    def swap(
        self,
        strength: float = 1.0,
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        as_published: bool = False,
    ) -> Edit:
        """Edit: which features are active is decided with their pre-activations weighted by score; values stay.

        Args:
            strength: Share of the change that is written; 1 is all of it.
            where: The tokens on which it acts.
            when: The condition under which it acts.
            as_published: Put the bare reconstruction in the activation's place, dropping the error term.

        Raises:
            EditError: No feature has a score above 0, so none would be left.
        """
        return self._reweighed("swap", strength, where, when, as_published)

    def weight(
        self,
        strength: float = 1.0,
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        as_published: bool = False,
    ) -> Edit:
        """Edit: features take the activations that their pre-activations give when weighted by score.

        Args:
            strength: Share of the change that is written; 1 is all of it.
            where: The tokens on which it acts.
            when: The condition under which it acts.
            as_published: Put the bare reconstruction in the activation's place; and undo a normalisation by the mean
                score `m` as the token's mean, and `m²` as its spread, which is what the published code does.

        Raises:
            EditError: No feature has a score above 0, so none would be left.
        """
        return self._reweighed("weight", strength, where, when, as_published)

    def clamp(
        self,
        strength: float = CLAMP,
        n: int = BEST,
        where: Where = EVERYWHERE,
        when: Condition | None = None,
        *,
        as_published: bool = False,
    ) -> tuple[Edit, ...]:
        """Edits: more of each of the best features, whatever their activations are.

        Args:
            strength: What is added to each, in units of its activation.
            n: How many features.
            where: The tokens on which they act.
            when: The condition under which they act.
            as_published: Put the bare reconstruction in the activation's place, dropping the error term.

        Raises:
            EditError: No feature has a score above 0.
        """
        self._refuse_nothing()
        edits = tuple(feature.add(strength, "raw", where, when) for feature in self.best(n))
        return (self.dictionary.error_term.ablate(where, when), *edits) if as_published else edits

    def to_frame(self) -> pd.DataFrame:
        """One row a feature, the nearest first."""
        import pandas as pd

        order = self.scores.sort(descending=True, stable=True).indices
        return pd.DataFrame(
            {
                "feature": order.tolist(),
                "label": [self.dictionary.label(index) for index in order.tolist()],
                "score": self.scores[order].tolist(),
                "fired": self.fired[order].tolist(),
            }
        )

    def plot(self) -> Figure:
        """How the scores of the features that fired are spread, with the best by name."""
        from steerkit.figures import spread

        best = {feature.label: self.scores[feature.index].item() for feature in self.best()}
        return spread(self.scores[self.fired].tolist(), best, f"score for {self.label}", "features")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the scores as the publishers do: CSV, a row a feature, empty for those that never fired."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["", self.label])
            for index, (score, fired) in enumerate(zip(self.scores.tolist(), self.fired.tolist(), strict=True)):
                rows.writerow([index, score if fired else ""])

    @classmethod
    def load(cls, path: str | os.PathLike[str], dictionary: Dictionary) -> Alignment:
        """Read scores from a file that `save` or the publishers wrote.

        What has no score counts as 0, unlike in the published code: there it ranks above all others when steering.

        Raises:
            DictionaryError: The file is missing or no such file.
            EditError: It has another number of features than the dictionary.
        """
        try:
            (_, label), *rows = csv.reader(Path(path).read_text(encoding="utf-8").splitlines())
            scores = torch.tensor([float(score) if score else torch.nan for _, score in rows])
            ordered = [int(index) for index, _ in rows] == list(range(len(rows)))
        except (OSError, ValueError) as error:
            raise DictionaryError(f"{path} has no scores: {error}.") from None
        if not ordered:
            raise DictionaryError(f"{path} has no scores: its first column must count the features from 0.")
        return cls(dictionary, scores.nan_to_num(0), ~scores.isnan(), label, source=str(path))

    def block(self) -> str:
        """The scores as part of an HTML page."""
        best = [[str(f.index), f.label, f"{self.scores[f.index].item():.3f}"] for f in self.best(SHOWN)]
        return (
            pages.heading(f"Alignment with {self.label}")
            + pages.table(["feature", "label", "score"], best)
            + pages.note(f"{self._covered()}. {self.source}".strip())
        )

    def _repr_html_(self) -> str:
        return pages.fragment(self.block())

    def __repr__(self) -> str:
        return f"Alignment({self.label!r}, {self.dictionary.name!r}, {self._covered()})"

    def _covered(self) -> str:
        target = "" if self.target_coverage is None else f", {self.target_coverage:.1%} of those of the targets"
        return f"coverage {self.coverage:.1%} of all features{target}"

    def _reweighed(self, how: str, strength: float, where: Where, when: Condition | None, as_published: bool) -> Edit:
        self._refuse_nothing()
        target = Reweighing(self.dictionary, self.scores, how, self.label, as_published=as_published)
        return Edit(target, "add", strength, where=where, when=when)

    def _refuse_nothing(self) -> None:
        if not self.scores.any():
            raise EditError(
                f"All scores of {self.label!r} are 0, so there is nothing to steer by. All features are equally far "
                "from the targets when there is one reference text; give more, of many kinds."
            )


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
