"""Alignment scores: how near each feature of a dictionary is to some texts, and steering by all of them at once.

Source: "Enabling Layer-Level Steering in Large Language Models using Sparse Autoencoders" (2025), as its code has it:
github.com/IBM/sae-steering.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from steerkit import pages
from steerkit.counts import at_most
from steerkit.dictionaries.reweighing import Reweighing
from steerkit.edits import EVERYWHERE, Edit, Where
from steerkit.errors import DictionaryError, EditError
from steerkit.whole_file import written_whole

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Bool, Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.conditions import Condition
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.dictionaries.feature import Feature

# The strength and the number of features of the published `clamp`.
CLAMP, BEST = 10.0, 5
SHOWN = 10


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
        return [self.dictionary[index] for index in order[: at_most(limit)].tolist()]

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
        """Write the scores as the publishers do: CSV, a row a feature, empty for those that never fired.

        Raises:
            DictionaryError: The file cannot be written.
        """
        try:
            with written_whole(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                rows.writerow(["", self.label])
                for index, (score, fired) in enumerate(zip(self.scores.tolist(), self.fired.tolist(), strict=True)):
                    rows.writerow([index, score if fired else ""])
        except OSError as error:
            raise DictionaryError(
                f"The scores cannot be saved as '{path}': {error.strerror}. Give another path."
            ) from error

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
