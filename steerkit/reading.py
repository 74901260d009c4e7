"""What reading gives back: a number for each token and direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from steerkit import pages
from steerkit.errors import SiteError
from steerkit.program import Column
from steerkit.runs import names
from steerkit.sites import Site
from steerkit.tokens import Prompt

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.edits import Target


@dataclass(frozen=True, eq=False)
class Reading:
    """Coefficients of directions at every token of a text.

    Special tokens have numbers too, often far out of scale; views and `top` leave them out.

    Attributes:
        prompt: The text that was read.
        targets: What it was read along.
        coefficients: (n_tokens, n_columns) a number for each token, and each target and site.
        columns: What the columns belong to.
    """

    prompt: Prompt
    targets: tuple[Target, ...]
    coefficients: Float[Tensor, "n_tokens n_columns"]
    columns: tuple[Column, ...]

    @property
    def tokens(self) -> list[str]:
        """Text of each token; special tokens by name."""
        return list(self.prompt.tokens)

    def activations(self, target: Target, site: str | Site | None = None) -> Float[Tensor, " n_tokens"]:
        """The numbers along one target.

        Args:
            target: One of those that were read.
            site: Needed where it was read at more than one.

        Raises:
            SiteError: It was not read there, or at several sites and none is named.
        """
        wanted = None if site is None else Site.parse(site)
        found = [
            j
            for j, column in enumerate(self.columns)
            if self.targets[column.edit] == target and wanted in (None, column.site)
        ]
        if len(found) != 1:
            where = ", ".join(f"{column.label} at {column.site}" for column in self.columns)
            raise SiteError(f"{target.label!r} was read at {len(found)} such sites; this reading has: {where}.")
        return self.coefficients[:, found[0]]

    def top(self, limit: int = 10) -> pd.DataFrame:
        """The directions with the largest maxima over tokens that are not special."""
        import pandas as pd

        plain = [i for i, special in enumerate(self.prompt.special) if not special]
        rows = []
        for column, values in zip(self.columns, self.coefficients[plain].T, strict=True):
            if len(values):
                peak = int(values.argmax())
                rows.append(
                    {
                        "label": column.label,
                        "site": str(column.site),
                        "max": values[peak].item(),
                        "mean": values.mean().item(),
                        "token": self.prompt.tokens[plain[peak]],
                    }
                )
        frame = pd.DataFrame(rows, columns=["label", "site", "max", "mean", "token"])
        return frame.sort_values("max", ascending=False, ignore_index=True).head(limit)

    def to_frame(self) -> pd.DataFrame:
        """One row a token."""
        import pandas as pd

        frame = pd.DataFrame({"token": self.prompt.tokens, "special": self.prompt.special})
        for name, values in zip(names(self.columns), self.coefficients.T.tolist(), strict=True):
            frame[name] = values
        return frame

    def plot(self) -> Figure:
        """Coefficients along the text, special tokens left out."""
        from steerkit.figures import along_tokens

        plain = [i for i, special in enumerate(self.prompt.special) if not special]
        shown = [self.prompt.tokens[i] for i in plain]
        return along_tokens(shown, self.coefficients[plain].T.tolist(), names(self.columns), "coefficient")

    def block(self) -> str:
        """The reading as part of an HTML page."""
        return pages.heading(f"Reading along {', '.join(names(self.columns))}") + pages.tokens(
            self.prompt.tokens, self.prompt.special, self.coefficients.T.tolist(), names(self.columns)
        )

    def _repr_html_(self) -> str:
        return pages.fragment(self.block())

    def __repr__(self) -> str:
        return f"Reading({len(self.tokens)} tokens, {', '.join(names(self.columns))})"
