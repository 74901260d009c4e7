"""Contrast: which features of a dictionary tell two sets of texts apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

import torch

from steerkit import pages
from steerkit.counts import at_most
from steerkit.dictionaries.feature import Feature
from steerkit.dictionaries.texts import as_trained
from steerkit.errors import PromptError
from steerkit.ranks import COLUMNS, auroc, best_by_luck

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float, Int
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model
    from steerkit.tokens import Prompt, PromptLike

SHOWN, PASSAGES, AROUND, LETTERS = 10, 3, 12, 30


@dataclass(frozen=True, eq=False)
class Contrast:
    """How well each feature of a dictionary tells positive texts from negative ones.

    A feature's score of a text is its largest activation at any token that is not special.

    Attributes:
        dictionary: The dictionary.
        auroc: (n_features,) the probability that a positive text scores higher than a negative one, ties counted half.
            Below .5 the feature marks the negatives.
        difference: (n_features,) mean score of the positives less that of the negatives, in the features' own units.
        frequency: (2, n_features) share of the positives, and of the negatives, in which a feature is active.
        prompts: The texts, positives first.
        n_positives: How many of them are positive.
        peaks: Where each feature is most active in each text.
    """

    dictionary: Dictionary
    auroc: Float[Tensor, " n_features"]
    difference: Float[Tensor, " n_features"]
    frequency: Float[Tensor, "2 n_features"]
    prompts: tuple[Prompt, ...]
    n_positives: int
    peaks: Peaks

    @property
    def chance(self) -> float:
        """The AUROC that no feature is likely to pass by luck; see `steerkit.ranks.best_by_luck`.

        The best of many features on few texts tells them well whatever it means. How good one is that is beyond this,
        other texts have to show.
        """
        return best_by_luck(self.n_positives, len(self.prompts) - self.n_positives, max(len(self._active()), 1))

    def best(self, limit: int = SHOWN, *, negative: bool = False) -> list[Feature]:
        """The features that mark the positives best, or the negatives: by AUROC, then by difference."""
        order = self._active()
        return [self.dictionary[index] for index in (order.flip(0) if negative else order)[: at_most(limit)].tolist()]

    def examples(self, feature: Feature | int, limit: int = 5) -> pd.DataFrame:
        """The texts that a feature scores highest.

        Columns: `positive` (whether the text is), `activation`, and the text `before`, the `token`, and `after`.

        Args:
            feature: The feature, or its index.
            limit: How many texts.
        """
        import pandas as pd

        return pd.DataFrame(
            self._passages(feature if isinstance(feature, int) else feature.index, limit),
            columns=["positive", "activation", "before", "token", "after"],
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a feature that was active in some text, the best marks of the positives first."""
        import pandas as pd

        order = self._active()
        return pd.DataFrame(
            {
                "feature": order.tolist(),
                "label": [self.dictionary[index].label for index in order.tolist()],
                "auroc": self.auroc[order].tolist(),
                "difference": self.difference[order].tolist(),
                "positives": self.frequency[0, order].tolist(),
                "negatives": self.frequency[1, order].tolist(),
            }
        )

    def plot(self) -> Figure:
        """AUROC of the best marks of either side, and what chance gives."""
        from steerkit.figures import bars

        shown = list(dict.fromkeys([*self.best(SHOWN), *reversed(self.best(SHOWN, negative=True))]))
        labels = [f"{shorten(feature.label, LETTERS, placeholder='…')} ({feature.index})" for feature in shown]
        values = [self.auroc[feature.index].item() - 0.5 for feature in shown]
        return bars(labels, values, f"AUROC - 0.5 (chance: {self.chance - 0.5:.2f})")

    def _active(self) -> Int[Tensor, " n_active"]:
        """Features that are active in some text, the best marks of the positives first."""
        active = self.frequency.sum(0).nonzero()[:, 0]
        active = active[self.difference[active].sort(descending=True, stable=True).indices]
        return active[self.auroc[active].sort(descending=True, stable=True).indices]

    def _passages(self, index: int, limit: int) -> list[tuple[bool, float, str, str, str]]:
        text, value, token = self.peaks.of(index)
        order = value.argsort(descending=True, stable=True)[: at_most(limit)]
        return [
            (i < self.n_positives, number, *self.prompts[i].around(place, AROUND))
            for i, number, place in zip(*(part[order].tolist() for part in (text, value, token)), strict=True)
        ]

    def _repr_html_(self) -> str:
        parts = [pages.heading(str(self))]
        for title, negative in (("Marks of the positives", False), ("Marks of the negatives", True)):
            best = self.best(SHOWN, negative=negative)
            rows = [
                (
                    f"{feature.label} ({feature.index})",
                    f"{self.auroc[feature.index]:.3f}",
                    f"{self.difference[feature.index]:+.3g}",
                    *(f"{share:.0%}" for share in self.frequency[:, feature.index].tolist()),
                )
                for feature in best
            ]
            parts += [
                pages.heading(title),
                pages.table(["feature", "AUROC", "difference", "in positives", "in negatives"], rows),
            ]
            for feature in best[:PASSAGES]:
                parts.append(pages.note(feature.label))
                for _, value, *passage in self._passages(feature.index, PASSAGES):
                    parts.append(pages.passage(*passage, value))
        return pages.fragment(*parts)

    def __repr__(self) -> str:
        negatives = len(self.prompts) - self.n_positives
        return (
            f"Contrast({self.n_positives} positive and {negatives} negative texts, {len(self._active())} features of "
            f"{self.dictionary.name}, chance up to AUROC {self.chance:.2f})"
        )


@dataclass(frozen=True, eq=False)
class Peaks:
    """The largest activation of each feature in each text in which it is active.

    Attributes:
        texts: The text of each entry.
        features: The feature; entries are in the order of features.
        values: The activation.
        tokens: The token.
    """

    texts: Int[Tensor, " n_entries"]
    features: Int[Tensor, " n_entries"]
    values: Float[Tensor, " n_entries"]
    tokens: Int[Tensor, " n_entries"]

    @classmethod
    def read(
        cls, model: Model, dictionary: Dictionary, sides: Sequence[Sequence[Prompt]]
    ) -> tuple[Peaks, list[Prompt]]:
        """Read texts, one set after another. Only what is active is kept.

        Returns:
            The peaks, and the texts in the order in which they are counted.
        """
        site, prompts = dictionary.reads_at(), []
        entries: list[tuple[Tensor, ...]] = []
        for texts in sides:
            for prompt, activations in model.activations(texts, [site]):
                plain = (~torch.tensor(prompt.special)).nonzero()[:, 0]
                values, tokens = dictionary.encode(activations[site][plain]).largest()
                active = values.nonzero()[:, 0]
                entries.append((torch.full_like(active, len(prompts)), active, values[active], plain[tokens[active]]))
                prompts.append(prompt)
        joined = [torch.cat(parts) for parts in zip(*entries, strict=True)]
        order = joined[1].argsort(stable=True)
        return cls(*(part[order] for part in joined)), prompts

    def of(self, feature: int) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"], Int[Tensor, " n"]]:
        """The texts in which one feature is active, with its activation and token."""
        found = self.features == feature
        return self.texts[found], self.values[found], self.tokens[found]

    def scores(self, features: Int[Tensor, " k"], n_texts: int) -> Float[Tensor, "n_texts k"]:
        """The scores of a few features, in ascending order, at all texts."""
        first = torch.searchsorted(self.features, features[0])
        end = torch.searchsorted(self.features, features[-1], right=True)
        found = torch.zeros(n_texts, len(features))
        found[self.texts[first:end], torch.searchsorted(features, self.features[first:end])] = self.values[first:end]
        return found


def contrast(
    model: Model,
    positives: Sequence[PromptLike],
    negatives: Sequence[PromptLike],
    features: Dictionary,
) -> Contrast:
    """Rank the features of a dictionary by how well they tell two sets of texts apart.

    Args:
        model: The model.
        positives: Texts, token ids or chat messages that have something in common; for a dictionary of chats, a text
            becomes a user's message.
        negatives: Texts that lack it.
        features: The dictionary.

    Raises:
        PromptError: One of the sides is empty, a text does not fit the model, or no feature is active in any.
        SteerkitError: The dictionary does not fit the model.

    Example:
        >>> found = contrast(model, ["It rained all day."], ["It was sunny all day."], features)  # doctest: +SKIP
        >>> found.best(3)  # doctest: +SKIP
    """
    if not positives or not negatives:
        raise PromptError(
            f"There are {len(positives)} positive and {len(negatives)} negative texts. Give at least one of each."
        )
    sides = [as_trained(model, texts, chat=features.parts.chat) for texts in (positives, negatives)]
    peaks, prompts = Peaks.read(model, features, sides)
    if not len(peaks.features):
        raise PromptError(f"No feature of {features.name} is active in any of the texts. Give other texts.")
    n = features.n_features
    positive = torch.arange(len(prompts)) < len(positives)
    area, difference, frequency = torch.full((n,), 0.5), torch.zeros(n), torch.zeros(2, n)
    for some in peaks.features.unique().split(COLUMNS):
        scores = peaks.scores(some, len(prompts))
        area[some] = auroc(scores, positive[:, None])[:, 0]
        for i, side in enumerate((positive, ~positive)):
            frequency[i, some] = (scores[side] != 0).float().mean(0)
        difference[some] = scores[positive].mean(0) - scores[~positive].mean(0)
    return Contrast(features, area, difference, frequency, tuple(prompts), len(positives), peaks)
