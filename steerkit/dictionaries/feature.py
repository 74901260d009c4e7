"""One feature of a dictionary, as a target of edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerkit import pages
from steerkit.dictionaries.card import card
from steerkit.edits import Steerable
from steerkit.errors import SiteError
from steerkit.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary


class Feature(Steerable):
    """One feature of a dictionary. Its coefficient is its activation, and it is written along its decoder row.

    Attributes:
        dictionary: The dictionary.
        index: Its index there.
    """

    def __init__(self, dictionary: Dictionary, index: int) -> None:
        self.dictionary, self.index = dictionary, index

    @property
    def label(self) -> str:
        """Its best label, or `feature 1234`."""
        return self.dictionary.label(self.index) or f"feature {self.index}"

    @property
    def site(self) -> Site:
        """Where it is written.

        Raises:
            DictionaryError: The dictionary does not know.
        """
        return self.dictionary.writes_at()

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where it is written, as edits want it."""
        return (self.site,)

    @property
    def direction(self) -> Float[Tensor, " d_out"]:
        """Its decoder row, at full length."""
        return self.dictionary.parts.W_dec.rows([self.index])[0]

    def direction_at(self, site: str | Site) -> Float[Tensor, " d_out"]:
        """Its decoder row, as edits want it.

        Raises:
            SiteError: It is not written at that site.
        """
        if Site.parse(site) != self.site:
            raise SiteError(f"{self.label!r} is written at '{self.site}', not at '{site}'.")
        return self.direction

    @property
    def decoder_norm(self) -> float:
        """Length of its decoder row, in units of the activation."""
        return self.direction.norm().item()

    @property
    def max_activation(self) -> float | None:
        """Its maximum activation, as published or calibrated; None where neither is known."""
        return self.dictionary.max_activation(self.index)

    @property
    def mean_norm(self) -> float | None:
        """Mean norm of the activations where it is written; None where not calibrated, and for transcoders."""
        calibration = self.dictionary.calibration
        here = self.dictionary.site_in == self.dictionary.site_out
        return calibration.mean_norm if calibration is not None and here else None

    @property
    def follows_scale(self) -> bool:
        """Whether what is written is multiplied by each token's own scale, as in dictionaries that normalise."""
        return self.dictionary.parts.normalisation != "none"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Feature) and other.index == self.index and other.dictionary == self.dictionary

    def __hash__(self) -> int:
        return hash((self.dictionary, self.index))

    def _repr_html_(self) -> str:
        return pages.fragment(card(self))

    def __repr__(self) -> str:
        return f"Feature({self.index}, {self.label!r}, {self.dictionary.name!r})"
