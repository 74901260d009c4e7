"""Programs: a plan as tensors, and what they do to an activation.

Pure functions and tensors, no model inside, so that a program can be shipped to wherever the model runs.

Shapes: `rows` of a batch, `tokens` of one forward pass, `edits` as columns (one for each edit and site of its target).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.encoder import Encoder
from steerkit.dictionaries.reconstruction import Reconstruction
from steerkit.sites import Location, Site
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
class Group:
    """Edits at one site whose coefficients are read together: vectors, or features of one dictionary.

    Attributes:
        columns: The program's columns that they are.
        directions: What is written, one row an edit.
        gain, shift: The operator as `c' = gain * c + shift`, a number for each row of the batch and edit.
        by_norm: Which shifts are multiples of the token's own norm.
        by_length: Which shifts are lengths in units of the activation.
        additive: Which edits write their shift whatever the coefficient is.
        readers: For vectors, what coefficients are read with: `x @ readers.T`.
        gram: For vectors, the coefficient of each direction along each reader, in float64.
        encoder: For features, what reads them where they are written.
        elsewhere: For features that are read at another site, the key under which their coefficients lie.
    """

    columns: slice
    directions: Float[Tensor, "edits width"]
    gain: Float[Tensor, "rows edits"]
    shift: Float[Tensor, "rows edits"]
    by_norm: Bool[Tensor, " edits"]
    by_length: Bool[Tensor, " edits"]
    additive: Bool[Tensor, " edits"]
    readers: Float[Tensor, "edits width"] | None = None
    gram: Float[Tensor, "edits edits"] | None = None
    encoder: Encoder | None = None
    elsewhere: int | None = None
    solved: bool = field(init=False)
    normed: bool = field(init=False)
    only_adds: bool = field(init=False)

    def __post_init__(self) -> None:
        self.only_adds = bool(self.additive.all())
        self.solved = self.gram is not None and int((~self.additive).sum()) > 1
        self.normed = bool(self.by_norm.any())

    def to(self, device: torch.device) -> None:
        """Move every tensor to a device, in place."""
        if self.directions.device != device:
            for name, value in vars(self).items():
                if isinstance(value, torch.Tensor | Encoder):
                    setattr(self, name, value.to(device))


@dataclass
class SiteProgram:
    """What happens at one site. All edits read the incoming activation; their differences add up.

    Attributes:
        location: Where the site's activation stands.
        groups: The edits.
    """

    location: Location
    groups: list[Group | Whole] = field(default_factory=list)


@dataclass
class Read:
    """Features, or a reconstruction, that are read at one site and written at another.

    Attributes:
        key: Under which what is read is kept.
        reader: What reads it.
        location: Where the site's activation stands.
    """

    key: int
    reader: Encoder | Reconstruction
    location: Location

    def __call__(self, x: Float[Tensor, "rows tokens width"]) -> tuple[Tensor, Tensor | None]:
        """Coefficients and the scale of their tokens; or the reconstruction."""
        reader = self.reader.to(x.device)
        if isinstance(reader, Reconstruction):
            return reader(x), None
        normalised, scale, _ = reader.normalise(x)
        return reader.activate(normalised), scale


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
    """A plan for the rows of one batch.

    Attributes:
        stops: Where a forward pass is held, in the order in which it gets there.
        columns: What each column of coefficients belongs to.
        enabled: Which edit acts in which row.
        prompt, generated, special: For each edit, whether it acts on such tokens.
        is_special: For each id of the vocabulary, whether it is special.
    """

    stops: list[Stop]
    columns: tuple[Column, ...]
    enabled: Bool[Tensor, "rows edits"]
    prompt: Bool[Tensor, " edits"]
    generated: Bool[Tensor, " edits"]
    special: Bool[Tensor, " edits"]
    is_special: Bool[Tensor, " vocabulary"]

    @property
    def rows(self) -> int:
        """Rows of the batch that it was made for; 1 serves any."""
        return len(self.enabled)

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
        if self.is_special.device != device:
            for name in ("enabled", "prompt", "generated", "special", "is_special"):
                setattr(self, name, getattr(self, name).to(device))


def mask(
    program: Program,
    ids: Int[Tensor, "rows tokens"],
    generated: Bool[Tensor, "rows tokens"],
    real: Bool[Tensor, "rows tokens"],
) -> Bool[Tensor, "rows tokens edits"]:
    """The tokens on which each edit acts.

    Args:
        program: The program.
        ids: Token ids of this forward pass.
        generated: Which of them are new tokens rather than the prompt's.
        real: Which of them are no padding.
    """
    in_scope = torch.where(generated[..., None], program.generated, program.prompt)
    return in_scope & real[..., None] & _reachable(program, ids)


def mask_new(program: Program, ids: Int[Tensor, "rows 1"]) -> Bool[Tensor, "rows 1 edits"]:
    """`mask` for a pass that holds one new token a row."""
    return program.generated & _reachable(program, ids)


def _reachable(program: Program, ids: Tensor) -> Tensor:
    return program.enabled[:, None] & (program.special | ~program.is_special[ids][..., None])


def change(
    group: Group | Whole,
    x: Float[Tensor, "rows tokens width"],
    acts: Bool[Tensor, "rows tokens edits"],
    elsewhere: Mapping[int, tuple[Tensor, Tensor | None]] = MappingProxyType({}),
) -> tuple[Float[Tensor, "rows tokens width"], Float[Tensor, "rows tokens edits"]]:
    """What the edits of a group add to a site's activation.

    Args:
        group: The edits.
        x: The incoming activation, in float32.
        acts: The tokens on which each of them acts.
        elsewhere: By key, what was read at another site; see `Read`.

    Returns:
        The difference, exactly 0 where no edit acts or each is at its identity, and the coefficients as read.
    """
    if isinstance(group, Whole):
        return group.change(x, acts, elsewhere)
    scale = None  # of the token, by which a normalising dictionary multiplies what it writes
    if group.readers is not None:
        coefficients = x @ group.readers.T
    elif group.encoder is not None:
        normalised, scale, _ = group.encoder.normalise(x)
        coefficients = group.encoder.activate(normalised)
    else:
        coefficients, scale = elsewhere[group.elsewhere]
    shift = group.shift[:, None]
    if group.normed:
        shift = torch.where(group.by_norm, shift * x.norm(dim=-1, keepdim=True), shift)
    if scale is not None:
        shift = torch.where(group.by_length, shift / scale, shift)
    if group.only_adds:
        wanted = shift
    else:
        wanted = torch.where(group.additive, shift, (group.gain[:, None] - 1) * coefficients + shift)
    amounts = torch.where(acts, wanted, 0.0)
    if group.solved:
        amounts = solve(group, amounts, acts)
    if scale is not None:
        amounts = amounts * scale
    return amounts @ group.directions, coefficients


def solve(
    group: Group,
    amounts: Float[Tensor, "rows tokens edits"],
    acts: Bool[Tensor, "rows tokens edits"],
) -> Float[Tensor, "rows tokens edits"]:
    """How much of each direction to write so that each non-additive coefficient changes by its amount.

    Directions are not orthogonal: writing along one moves the coefficients of the others. Additive edits go on top.
    """
    joint = acts & ~group.additive
    both = joint[..., :, None] & joint[..., None, :]
    system = torch.where(both, group.gram, 0.0) + torch.diag_embed((~joint).to(group.gram.dtype))
    return torch.linalg.solve(system, amounts.to(group.gram.dtype)[..., None])[..., 0].to(amounts.dtype)
