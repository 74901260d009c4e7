"""How well a learned vector tells its two sides apart at each site, and how its directions relate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit import figures, pages
from steerkit.errors import VectorError
from steerkit.ranks import auroc, auroc_interval

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Bool, Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.learn.samples import Fit, Samples
    from steerkit.sites import Site
    from steerkit.vectors.vector import Vector

AUROC, LOW, HIGH = "held-out AUROC", "held-out AUROC from", "held-out AUROC to"
HELD_OUT, EXPLAINED = "held-out texts", "explained variance"


@dataclass(frozen=True, eq=False)
class Quality:
    """The quality of a learned vector, site by site.

    Attributes:
        vector: The vector.

    Example:
        >>> Quality.of(joy).best_layer()  # doctest: +SKIP
        Site(layer=3, kind='resid_post')
    """

    vector: Vector

    @classmethod
    def of(cls, vector: Vector) -> Quality:
        """The quality that was measured when a vector was learned.

        Raises:
            VectorError: It was not learned, or has been combined with others since.
        """
        made = vector.provenance
        if made is None or EXPLAINED not in made.quality:
            raise VectorError(
                f"The quality of {vector.label!r} is not known: it is measured where a direction is fitted to "
                "activations (means, components, LAT, probes). Ask for that of the vectors it was made of, or fit it."
            )
        return cls(vector)

    def to_frame(self) -> pd.DataFrame:
        """One row a site.

        `auroc`: the probability that a held-out positive lies further along the direction than a held-out negative,
        when the direction is learned from the other texts; `auroc_low` and `auroc_high` bound it with 95% confidence;
        all three are NaN where none were held out. `held_out`: how many texts those are, of both sides.
        `explained_variance`: of the variance of all activations read, of both sides together, the share along the
        direction. `norm`: the direction's length.
        """
        import pandas as pd

        columns = {"auroc": AUROC, "auroc_low": LOW, "auroc_high": HIGH, "held_out": HELD_OUT}
        columns |= {"explained_variance": EXPLAINED}
        rows = [
            {"site": str(site)}
            | {column: self._measured(measure, site) for column, measure in columns.items()}
            | {"norm": self.vector.norm(site)}
            for site in self.vector.sites
        ]
        return pd.DataFrame(rows).astype({"held_out": int})

    def cosines(self) -> pd.DataFrame:
        """Cosines between the directions of every two sites; NaN between sites of different widths."""
        import pandas as pd

        sites = self.vector.sites
        units = [torch.nn.functional.normalize(self.vector[site], dim=0) for site in sites]
        names = [str(site) for site in sites]
        rows = [[(a @ b).item() if len(a) == len(b) else float("nan") for b in units] for a in units]
        return pd.DataFrame(rows, index=names, columns=names)

    def best_layer(self) -> Site:
        """The site whose direction tells held-out texts apart best; of equal ones, where it explains most variance.

        Raises:
            VectorError: No texts were held out.
        """
        if any(self._measured(HELD_OUT, site) == 0 for site in self.vector.sites):
            raise VectorError(f"No texts were held out when {self.vector.label!r} was learned. Learn it from more.")
        return max(self.vector.sites, key=lambda site: (self._measured(AUROC, site), self._measured(EXPLAINED, site)))

    def plot(self) -> Figure:
        """Separability and explained variance along the sites, and cosines between them."""
        frame = self.to_frame()
        return figures.along_sites(
            [str(site) for site in self.vector.sites],
            {"held-out AUROC": frame["auroc"].tolist(), "explained variance": frame["explained_variance"].tolist()},
            (frame["auroc_low"].tolist(), frame["auroc_high"].tolist()),
            torch.tensor(self.cosines().to_numpy(), dtype=torch.float32),
        )

    def _repr_html_(self) -> str:
        rows = []
        for row in self.to_frame().itertuples():
            bounds = f"{row.auroc_low:.3f}–{row.auroc_high:.3f}"
            rows.append([row.site, f"{row.auroc:.3f}", bounds, f"{row.explained_variance:.1%}", f"{row.norm:.4g}"])
        headings = ["site", "held-out AUROC", "95%", "explained variance", "norm"]
        made = self.vector.provenance.describe()
        return pages.fragment(pages.heading(self.vector.label), pages.note(made), pages.table(headings, rows))

    def _measured(self, measure: str, site: Site) -> float:
        return self.vector.provenance.quality.get(measure, {}).get(str(site), float("nan"))


def measure(samples: Samples, direction: Float[Tensor, " width"], fit: Fit, held_out: Bool[Tensor, " texts"]) -> dict:
    """Measures of a direction at a site, by name.

    Args:
        samples: What it was learned from.
        direction: The direction.
        fit: Learns it again from some of them.
        held_out: The texts that it is tested on.
    """
    rows = samples.rows - samples.rows.mean(0)
    along = rows @ (direction / direction.norm())
    found = {EXPLAINED: (along.square().sum() / rows.square().sum()).item(), HELD_OUT: float(held_out.sum())}
    if held_out.any():
        again, tested = fit(samples.of(~held_out)), samples.per_text().of(held_out)
        positive = tested.is_positive
        area = auroc((tested.rows @ again)[:, None], positive[:, None]).item()
        low, high = auroc_interval(area, int(positive.sum()), int((~positive).sum()))
        found |= {AUROC: area, LOW: low, HIGH: high}
    return found


def draw_held_out(
    n_positives: int, n_negatives: int, share: float, seed: int, *, paired: bool
) -> Bool[Tensor, " texts"]:
    """Which texts are held out, positives first: of each side the share, rounded down, and of pairs both."""
    noise = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(n_positives + n_negatives, dtype=torch.bool)
    sizes = (int(n_positives * share), int(n_negatives * share))
    if min(sizes):
        first = torch.randperm(n_positives, generator=noise)[: sizes[0]]
        second = first if paired else torch.randperm(n_negatives, generator=noise)[: sizes[1]]
        held_out[first] = held_out[n_positives + second] = True
    return held_out
