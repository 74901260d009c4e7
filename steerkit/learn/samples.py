"""The activations at one site that a direction is fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from steerkit.errors import PromptError, VectorError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from steerkit.sites import Site


@dataclass(frozen=True, eq=False)
class Samples:
    """Activations at a site: a row for each token that was read, or for each text's mean.

    Attributes:
        site: The site.
        rows: Those of the positives, text by text, then those of the negatives.
        text: The text that each row is of; texts are numbered through, positives first.
        n_positives: How many texts are positives.
        paired: Whether the rows of both sides belong together one by one.
    """

    site: Site
    rows: Float[Tensor, "rows width"]
    text: Int[Tensor, " rows"]
    n_positives: int
    paired: bool

    @property
    def is_positive(self) -> Bool[Tensor, " rows"]:
        """Which rows are of positives."""
        return self.text < self.n_positives

    @property
    def means(self) -> tuple[Float[Tensor, " width"], Float[Tensor, " width"]]:
        """The mean of the positives and that of the negatives."""
        return self.rows[self.is_positive].mean(0), self.rows[~self.is_positive].mean(0)

    @property
    def mean_difference(self) -> Float[Tensor, " width"]:
        """The mean of the positives minus that of the negatives."""
        towards, away = self.means
        return towards - away

    def differences(self) -> Float[Tensor, "pairs width"]:
        """Each positive minus the negative that it is paired with.

        Raises:
            PromptError: They are not paired.
            VectorError: The two of a pair are the same.
        """
        if not self.paired:
            raise PromptError(
                "This method takes differences of pairs; these texts are not paired, or are read at every token. Give "
                "Examples.from_pairs or two lists of equal length, and tokens='last' or 'mean'; or choose "
                "mean_difference, lat or probe."
            )
        differences = self.rows[self.is_positive] - self.rows[~self.is_positive]
        same = int((differences == 0).all(-1).sum())
        if same:
            raise VectorError(
                f"{same} of {len(differences)} pairs have no difference at '{self.site}': the model does the same with "
                "both texts at what is read. Take them out, read other tokens, or a deeper site."
            )
        return differences

    def of(self, texts: Bool[Tensor, " texts"]) -> Samples:
        """Those of some texts."""
        taken = texts[self.text]
        return replace(self, rows=self.rows[taken], text=self.text[taken])

    def per_text(self) -> Samples:
        """One row a text: the mean of its rows."""
        texts, row, counts = self.text.unique(return_inverse=True, return_counts=True)
        sums = self.rows.new_zeros(len(texts), self.rows.shape[1]).index_add_(0, row, self.rows)
        return replace(self, rows=sums / counts[:, None], text=texts)


Fit: TypeAlias = Callable[[Samples], "Float[Tensor, ' width']"]
