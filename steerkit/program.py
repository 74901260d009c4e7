"""Programs: plans as tensors, for the rows of one batch.

Pure functions and tensors, no model inside, so that a program can be shipped to wherever the model runs.

Shapes: `rows` of a batch, `tokens` of one forward pass, `edits` as columns (one for each edit and site of its target,
and one for the second target of an edit that has two).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from steerkit.actions import Call
from steerkit.dictionaries.encoder import Encoder
from steerkit.dictionaries.reconstruction import Reader
from steerkit.gates import Gate, Watch
from steerkit.group import Group
from steerkit.scope import Layout, fading, in_scope
from steerkit.sites import Location, Site
from steerkit.where import Where
from steerkit.whole import Whole

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Column:
    """What a column of coefficients belongs to.

    Attributes:
        edit: Index of the edit in the plan, or of the vector that is read.
        label: The target's label.
        site: Where it is read.
    """

    edit: int
    label: str
    site: Site


@dataclass
class SiteProgram:
    """What happens at one site. All edits read the incoming activation; their differences add up.

    Attributes:
        location: Where the site's activation stands.
        groups: The edits.
        watches: The comparisons that are read there, before the edits.
        preserve_norm: (rows,) in which rows each token's activation gets back the norm that it had; None for none.
        takes_out: Whether what passing edits wrote is taken out there, after the edits.
    """

    location: Location
    groups: list[Group | Whole] = field(default_factory=list)
    watches: list[Watch] = field(default_factory=list)
    preserve_norm: Bool[Tensor, " rows"] | None = None
    takes_out: bool = False

    def keep_norm(
        self, x: Float[Tensor, "rows tokens width"], delta: Float[Tensor, "rows tokens width"]
    ) -> Float[Tensor, "rows tokens width"]:
        """The difference that leaves each changed token's activation with the norm that it had."""
        if self.preserve_norm is None:
            return delta
        moved = x + delta
        norm = moved.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        kept = moved * (x.norm(dim=-1, keepdim=True) / norm) - x
        changed = (delta != 0).any(-1, keepdim=True) & self.preserve_norm.to(x.device)[:, None, None]
        return torch.where(changed, kept, delta)


@dataclass
class Read:
    """What is read at one site and written at another.

    Attributes:
        key: Under which it is kept.
        reader: What reads it.
        location: Where the site's activation stands.
    """

    key: int
    reader: Encoder | Reader
    location: Location


@dataclass
class Stop:
    """A place among the modules at which a forward pass is held.

    Attributes:
        location: The place.
        depth: Sorts stops in the order in which a forward pass reaches them.
        sites: The sites edited there, in the order of depth.
        reads: What is read there to be written elsewhere, after the edits there.
        captured: Sites whose activations are kept, each after the edits there.
        kept: Whether what stands there is needed again later in the layer.
    """

    location: Location
    depth: tuple[int, int]
    sites: list[SiteProgram] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    captured: list[tuple[Site, Location]] = field(default_factory=list)
    kept: bool = False


@dataclass
class Program:
    """Plans for the rows of one batch.

    Attributes:
        stops: Where a forward pass is held, in the order in which it gets there.
        columns: What each column of coefficients belongs to; edits are numbered over all rows.
        index: For each row and column, the edit's index in that row's plan; -1 where it has none such.
        enabled: Which edit acts in which row.
        wheres: The tokens on which each edit acts.
        rule: Which rule about token ids each edit follows.
        allowed: For each id of the vocabulary, which rules let an edit act on it.
        plain: For each id of the vocabulary, whether it is not special.
        gates: For each edit, its condition; None for always.
        actions: Conditions with what they do: a function to call, or None to end the text.
        acting: Which action is of which row's plan.
        one_by_one: Whether new tokens have to be run one after another, because a condition on earlier tokens reads
            deeper than its edit writes.
    """

    stops: list[Stop]
    columns: tuple[Column, ...]
    index: tuple[tuple[int, ...], ...]
    enabled: Bool[Tensor, "rows edits"]
    wheres: tuple[Where, ...]
    rule: Int[Tensor, " edits"]
    allowed: Bool[Tensor, "vocabulary rules"]
    plain: Bool[Tensor, " vocabulary"]
    gates: tuple[Gate | None, ...]
    actions: tuple[tuple[Gate, Call | None], ...]
    acting: Bool[Tensor, "rows actions"]
    one_by_one: bool

    @property
    def rows(self) -> int:
        """Rows of the batch that it was made for; 1 serves any."""
        return len(self.enabled)

    @property
    def conditional(self) -> bool:
        """Whether anything hangs on a condition."""
        return bool(self.actions) or any(gate is not None for gate in self.gates)

    @property
    def chat(self) -> bool:
        """Whether an edit asks for chat messages."""
        return any(where.chat for where in self.wheres)

    @property
    def empty(self) -> bool:
        """Whether nothing is read or edited."""
        return not self.columns and not self.actions

    def of_row(self, row: int) -> tuple[list[int], tuple[Column, ...]]:
        """The columns that belong to a row's own plan, by depth and in the plan's order, and what they are there."""
        own = self.index[row % self.rows]
        kept = [i for i, edit in enumerate(own) if edit >= 0]
        kept.sort(key=lambda i: (self.columns[i].site.depth, own[i]))
        return kept, tuple(replace(self.columns[i], edit=own[i]) for i in kept)

    def reads_as(self, other: Program) -> bool:
        """Whether another program's columns are of the same directions."""
        mine, others = self._directions(), other._directions()
        return self is other or (
            self.columns == other.columns
            and len(mine) == len(others)
            and all(torch.equal(*pair) for pair in zip(mine, others, strict=True))
        )

    def _directions(self) -> list[Tensor]:
        return [group.directions.cpu() for stop in self.stops for site in stop.sites for group in site.groups]

    def to(self, device: torch.device) -> None:
        """Move what masks are made of to a device, in place; a site's tensors follow its activation."""
        if self.allowed.device != device:
            for name in ("enabled", "rule", "allowed", "plain", "acting"):
                setattr(self, name, getattr(self, name).to(device))

    def scope(self, layout: Layout) -> Bool[Tensor, "rows length edits"]:
        """The tokens of a batch on which each edit acts, before any is left out by its id or a condition."""
        return in_scope(self.wheres, layout) & self.enabled[:, None]

    def fade(self, layout: Layout) -> Float[Tensor, "rows length edits"] | None:
        """What each edit's change is multiplied by; None where nothing fades."""
        return fading(self.wheres, layout)

    def reaches(self, ids: Int[Tensor, "rows tokens"]) -> Bool[Tensor, "rows tokens edits"]:
        """Which edits may act on tokens by their ids."""
        return self.allowed[ids][..., self.rule]
