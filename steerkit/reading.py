"""What reading gives back: a number for each token and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit import pages
from steerkit.counts import at_most
from steerkit.dictionaries.feature import Feature
from steerkit.errors import SiteError
from steerkit.program import Column
from steerkit.runs import names
from steerkit.sites import Site
from steerkit.tokens import Prompt
from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.dictionaries.codes import Codes
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.edits import Target


@dataclass(frozen=True, eq=False)
class Reading:
    """Coefficients of directions at every token of a text.

    A vector's are counted from its midpoint: `(x·v − t)/‖v‖²` with its offset `t`.

    Special tokens have numbers too, often far out of scale; views and `top` leave them out.

    Attributes:
        prompt: The text that was read.
        targets: What it was read along.
        coefficients: (n_tokens, n_columns) a number for each token, and each target and site.
        columns: What the columns belong to.
        codes: For each whole dictionary that was read, its features' activations at the tokens.
    """

    prompt: Prompt
    targets: tuple[Target, ...]
    coefficients: Float[Tensor, "n_tokens n_columns"]
    columns: tuple[Column, ...]
    codes: tuple[tuple[Dictionary, Codes], ...] = ()

    @property
    def tokens(self) -> list[str]:
        """Text of each token; special tokens by name."""
        return list(self.prompt.tokens)

    def activations(self, target: Target | str, site: str | Site | None = None) -> Float[Tensor, " n_tokens"]:
        """The numbers along one target.

        Args:
            target: One of those that were read, or its label.
            site: Needed where it was read at more than one.

        Raises:
            SiteError: It was not read there, or at several sites and none is named.
        """
        if isinstance(target, Feature):
            for dictionary, codes in self.codes:
                if dictionary == target.dictionary:
                    return codes.at(target.index)
        wanted = None if site is None else Site.parse(site)
        found = [
            j
            for j, column in enumerate(self.columns)
            if target in (self.targets[column.edit], column.label) and wanted in (None, column.site)
        ]
        if len(found) != 1:
            columns = [f"{column.label} at {column.site}" for column in self.columns]
            read = ", ".join([*columns, *(f"the features of {dictionary.name}" for dictionary, _ in self.codes)])
            label = getattr(target, "label", target)
            raise SiteError(f"{label!r} was read at {len(found)} such sites; this reading has: {read}.")
        return self.coefficients[:, found[0]]

    def top(self, limit: int = 10) -> pd.DataFrame:
        """What has the largest maxima over tokens that are not special: features of dictionaries, and directions.

        Columns: `feature` (its index; none for a direction), `label`, `site`, `max` and `mean` over those tokens,
        `count` (of those where it is above 0) and `token` (where the maximum is).
        """
        import pandas as pd

        limit = at_most(limit)
        plain = torch.tensor([not special for special in self.prompt.special])
        rows = [
            _summary(None, column.label, column.site, values, plain, self.prompt.tokens)
            for column, values in zip(self.columns, self.coefficients.T, strict=True)
        ]
        for dictionary, codes in self.codes:
            for index in _strongest(codes, plain, limit):
                site = dictionary.reads_at()
                rows.append(_summary(index, dictionary[index].label, site, codes.at(index), plain, self.prompt.tokens))
        frame = pd.DataFrame(rows, columns=["feature", "label", "site", "max", "mean", "count", "token"])
        frame["feature"] = frame["feature"].astype("Int64")
        return frame.sort_values("max", ascending=False, ignore_index=True).head(limit)

    def to_frame(self) -> pd.DataFrame:
        """One row a token."""
        import pandas as pd

        frame = pd.DataFrame({"token": self.prompt.tokens, "special": self.prompt.special})
        for name, values in zip(names(self.columns), self.coefficients.T.tolist(), strict=True):
            frame[name] = values
        return frame

    def plot(self) -> Figure:
        """What is shown along the text, special tokens left out; of whole dictionaries the strongest features."""
        from steerkit.figures import along_tokens

        plain = [i for i, special in enumerate(self.prompt.special) if not special]
        shown = self._shown()
        series = [[values[i] for i in plain] for values in shown.values()]
        return along_tokens([self.prompt.tokens[i] for i in plain], series, list(shown), "coefficient")

    def block(self) -> str:
        """The reading as part of an HTML page."""
        shown = self._shown()
        strongest = [f"{name} {max(values):.3g}" for name, values in shown.items()] if self.codes else []
        return "".join(
            [
                pages.heading(f"Reading along {self._what()}"),
                pages.tokens(self.prompt.tokens, self.prompt.special, list(shown.values()), list(shown)),
                pages.note("Strongest: " + "; ".join(strongest)) if strongest else "",
            ]
        )

    def _shown(self) -> dict[str, list[float]]:
        """All columns; and of whole dictionaries the strongest features, as many as there are colours to tell apart."""
        shown = dict(zip(names(self.columns), self.coefficients.T.tolist(), strict=True))
        plain = torch.tensor([not special for special in self.prompt.special])
        found = [
            (codes.at(index), dictionary[index])
            for dictionary, codes in self.codes
            for index in _strongest(codes, plain, len(pages.HUES))
        ]
        found.sort(key=lambda item: item[0][plain].max().item(), reverse=True)
        for values, feature in found[: max(0, len(pages.HUES) - len(shown))]:
            name = f"{feature.label} ({feature.index})"
            shown[name if name not in shown else f"{name} of {feature.dictionary.name}"] = values.tolist()
        return shown

    def _what(self) -> str:
        return ", ".join([*names(self.columns), *(dictionary.name for dictionary, _ in self.codes)])

    def _repr_html_(self) -> str:
        return pages.fragment(self.block())

    def __repr__(self) -> str:
        return f"Reading({len(self.tokens)} tokens, {self._what()})"


def midpoint(target: Target, site: Site) -> float:
    """The coefficient that is shown as 0; of features that is 0 itself."""
    return target.midpoint(site) if isinstance(target, Vector) else 0.0


def _strongest(codes: Codes, plain: Tensor, limit: int) -> list[int]:
    """The features with the largest activation at any plain token."""
    here = plain[codes.tokens]
    features, values = codes.features[here].long(), codes.values[here]
    maxima = torch.zeros(codes.shape[-1]).scatter_reduce_(0, features, values, "amax")
    best = maxima.topk(min(limit, len(maxima)))
    return [index for index, value in zip(best.indices.tolist(), best.values.tolist(), strict=True) if value > 0]


def _summary(
    feature: int | None, label: str, site: Site, values: Tensor, plain: Tensor, tokens: tuple[str, ...]
) -> dict[str, object]:
    shown = torch.where(plain, values, -torch.inf)
    peak = int(shown.argmax())
    return {
        "feature": feature,
        "label": label,
        "site": str(site),
        "max": values[peak].item(),
        "mean": values[plain].mean().item(),
        "count": int((shown > 0).sum()),
        "token": tokens[peak],
    }
