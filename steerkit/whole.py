"""Edits of a whole dictionary at one site, as tensors, and of its features inside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.encoder import Encoder
from steerkit.dictionaries.reconstruction import Reader
from steerkit.group import Change, Group

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


@dataclass
class Whole:
    """Edits of one dictionary as a whole, at most one of them in a row of the batch; and of its features inside.

    Attributes:
        columns: The program's columns that they are: the whole's edits, then those of its features.
        readers: For each edit of the whole, what its direction is made with.
        standing: The coefficient of each in an activation as it comes in.
        amounts: (rows, wholes) how much of its direction each writes.
        passing: Which of them are taken out of the stream again above.
        inside: The edits of features, if any.
        elsewhere: For transcoders, the keys under which lies what was read.
    """

    columns: slice
    readers: list[Reader]
    standing: list[float]
    amounts: Float[Tensor, "rows wholes"]
    passing: list[bool]
    inside: Group | None = None
    elsewhere: list[int] | None = None

    @property
    def directions(self) -> Float[Tensor, "edits width"]:
        """What tells them from others: the biases of the dictionaries, and the features' directions."""
        biases = torch.stack([reader.b_dec for reader in self.readers])
        return biases if self.inside is None else torch.cat([biases, self.inside.directions])

    @property
    def reads(self) -> list[tuple[int, Reader | Encoder]]:
        """What is to be read at another site, each with its key."""
        if self.elsewhere is None:
            return []
        inside = [] if self.inside is None else self.inside.reads
        return [*zip(self.elsewhere, self.readers, strict=True), *inside]

    def to(self, device: torch.device) -> None:
        """Move every tensor to a device, in place."""
        self.readers, self.amounts = [reader.to(device) for reader in self.readers], self.amounts.to(device)
        if self.inside is not None:
            self.inside.to(device)

    def change(
        self,
        x: Float[Tensor, "rows tokens width"],
        acts: Bool[Tensor, "rows tokens edits"],
        fade: Float[Tensor, "rows tokens edits"] | None = None,
        elsewhere: Mapping[int, tuple[Tensor, Tensor | None]] = MappingProxyType({}),
    ) -> Change:
        """What the edits add to a site's activation; see `Group.change`."""
        n = len(self.readers)
        amounts = torch.where(acts[..., :n], self.amounts[:, None], 0.0)
        if fade is not None:
            amounts = amounts * fade[..., :n]
        delta, passing, moved = torch.zeros_like(x), None, None
        for i, reader in enumerate(self.readers):
            read, shifted = reader.read(x) if self.elsewhere is None else elsewhere[self.elsewhere[i]]
            amount = amounts[..., i : i + 1]
            # not 0 * direction, which is NaN where a normalising dictionary meets an activation without length
            part = torch.where(amount != 0, amount * reader.direction(read, x), 0.0)
            delta = delta + part
            if self.passing[i]:
                passing = part if passing is None else passing + part
            if shifted is not None:
                shifted = torch.where(amount != 0, amount * shifted, 0.0)
                moved = shifted if moved is None else moved + shifted
        coefficients = torch.tensor(self.standing, device=x.device).expand_as(amounts)
        if self.inside is None:
            return Change(delta, passing, coefficients)
        fade = None if fade is None else fade[..., n:]
        inside = self.inside.change(x, acts[..., n:], fade, elsewhere, moved)
        if inside.passing is not None:
            passing = inside.passing if passing is None else passing + inside.passing
        return Change(delta + inside.delta, passing, torch.cat([coefficients, inside.coefficients], dim=-1))
