"""Conditions while a text is written: what was read at its tokens, and whether a condition holds.

A compiled condition, a gate, is a tree of tuples, so that it travels:
`("read", key)`, `("and", a, b)`, `("or", a, b)`, `("not", a)`, `("in_prompt", a)`, `("so_far", a, before)`, where
`before` leaves the token itself out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from steerkit.dictionaries.encoder import Encoder
from steerkit.scope import Layout

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

Gate: TypeAlias = tuple


@dataclass
class Watch:
    """A comparison at one site.

    Attributes:
        key: Under which its answers are kept, also when another program takes over midway.
        relation: `>`, `>=`, `<` or `<=`.
        threshold: What the reading is compared with.
        reader: For a vector, what its coefficient is read with: `x @ reader`; for `cast`, the direction itself.
        encoder: For a feature, what reads it.
        cast: Whether the prompt's mean is read as CAST does.
    """

    key: str
    relation: str
    threshold: float
    reader: Float[Tensor, " width"] | None = None
    encoder: Encoder | None = None
    cast: bool = False

    def to(self, device: torch.device) -> None:
        """Move every tensor to a device, in place."""
        if self.reader is not None:
            self.reader = self.reader.to(device)
        if self.encoder is not None:
            self.encoder = self.encoder.to(device)

    def compare(self, reading: Tensor) -> Tensor:
        """Where the comparison holds."""
        match self.relation:
            case ">":
                return reading > self.threshold
            case ">=":
                return reading >= self.threshold
            case "<":
                return reading < self.threshold
            case _:
                return reading <= self.threshold


def cast_similarity(mean: Float[Tensor, "rows width"], direction: Float[Tensor, " width"]) -> Float[Tensor, " rows"]:
    """The cosine of `h` and `tanh(P h)`, P the projection onto a direction; see `Cast`."""
    projected = (mean @ direction / direction.square().sum())[:, None] * direction
    return torch.nn.functional.cosine_similarity(mean, projected.tanh(), dim=-1)


class Watched:
    """What comparisons said at the tokens of a batch, pass by pass.

    A comparison that joins midway knows nothing of the tokens before.
    """

    def __init__(self) -> None:
        self._hits: dict[str, Tensor] = {}
        self._answers: dict[str, Tensor] = {}
        self._sums: dict[str, Tensor] = {}

    def begin(self, start: int, layout: Layout, plain: Bool[Tensor, "rows end"]) -> None:
        """Say which tokens the pass that starts now holds.

        Args:
            start: Place of the first of them.
            layout: The batch.
            plain: Which tokens of the text so far, those of the pass included, are not special.
        """
        self._start, self._end = start, plain.shape[1]
        self._prompt = layout.is_prompt[:, : self._end]
        self._readable = plain & layout.real[:, : self._end]

    def see(self, watch: Watch, x: Float[Tensor, "rows tokens width"]) -> None:
        """Read what a comparison is about."""
        watch.to(x.device)
        if watch.cast:
            prompt = self._prompt.to(x.device)
            total = (x * prompt[:, self._start :, None]).sum(1) + (self._sums.get(watch.key, 0) if self._start else 0)
            self._sums[watch.key] = total
            answer = watch.compare(cast_similarity(total / prompt.sum(-1, keepdim=True).clamp_min(1), watch.reader))
            self._answers[watch.key] = answer[:, None].to(self._readable.device)
            return
        reading = x @ watch.reader if watch.encoder is None else watch.encoder(x)[..., 0]
        before = self._known(watch.key)[:, : self._start]
        self._hits[watch.key] = torch.cat([before, watch.compare(reading).to(before.device)], dim=1)

    def holds(self, gate: Gate) -> Bool[Tensor, "rows tokens"]:
        """Where a condition holds among the tokens of the pass."""
        return self._everywhere(gate)[:, self._start :]

    def _everywhere(self, gate: Gate) -> Tensor:
        match gate:
            case ("and", first, second):
                return self._everywhere(first) & self._everywhere(second)
            case ("or", first, second):
                return self._everywhere(first) | self._everywhere(second)
            case ("not", inner):
                return ~self._everywhere(inner)
            case ("in_prompt", inner):
                hits = self._everywhere(inner) & self._readable & self._prompt
                return hits.any(1, keepdim=True).expand_as(hits)
            case ("so_far", inner, before):
                seen = (self._everywhere(inner) & self._readable).cummax(1).values
                return torch.nn.functional.pad(seen[:, :-1], (1, 0)) if before else seen
            case (_, key) if key in self._answers:
                return self._answers[key].expand(-1, self._end)
            case (_, key):
                return self._known(key)

    def _known(self, key: str) -> Tensor:
        """What was read at every token of the text; False where nothing has been read yet."""
        hits = self._hits.get(key, self._readable[:, :0])[:, : self._end]
        return torch.nn.functional.pad(hits, (0, self._end - hits.shape[1]))
