"""Programs: a plan as tensors, and what they do to an activation.

Pure functions and tensors, no model inside, so that a program can be shipped to wherever the model runs.

Shapes: `rows` of a batch, `tokens` of one forward pass, `edits` as columns (one for each edit and site of its target).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from steerkit.edits import Edit, Plan, Target
from steerkit.errors import EditError, VectorError
from steerkit.sites import Location, Site, SiteMap

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

# Cosine Gram matrices with a smaller eigenvalue count as linearly dependent: float32 cannot tell them apart.
DEPENDENT = 1e-6


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
        columns: The program's columns that stand at this site.
        directions: What is written, one row an edit.
        readers: What coefficients are read with: `x @ readers.T`.
        gain, shift: The operator as `c' = gain * c + shift`, a number for each row of the batch and edit.
        by_norm: Which shifts are multiples of the token's own norm.
        additive: Which edits write their shift whatever the coefficient is.
        gram: Coefficient of each direction along each reader, in float64.
        location: Where the site's activation stands.
    """

    columns: slice
    directions: Float[Tensor, "edits width"]
    readers: Float[Tensor, "edits width"]
    gain: Float[Tensor, "rows edits"]
    shift: Float[Tensor, "rows edits"]
    by_norm: Bool[Tensor, " edits"]
    additive: Bool[Tensor, " edits"]
    gram: Float[Tensor, "edits edits"]
    location: Location
    solved: bool = field(init=False)
    normed: bool = field(init=False)
    only_adds: bool = field(init=False)

    def __post_init__(self) -> None:
        self.only_adds = bool(self.additive.all())
        self.solved = int((~self.additive).sum()) > 1
        self.normed = bool(self.by_norm.any())

    def to(self, device: torch.device) -> None:
        """Move every tensor to a device, in place."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value.to(device))


@dataclass
class Stop:
    """A place among the modules at which a forward pass is held.

    Attributes:
        location: The place.
        depth: Sorts stops in the order in which a forward pass reaches them.
        sites: The sites edited there, in the order of depth.
        captured: Sites whose activations are kept, each after the edits there.
        kept: Whether what stands there is needed again later in the layer.
    """

    location: Location
    depth: tuple[int, int]
    sites: list[SiteProgram] = field(default_factory=list)
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
        return self is other or (
            self.columns == other.columns
            and all(torch.equal(*pair) for pair in zip(self._directions(), other._directions(), strict=True))
        )

    def _directions(self) -> list[Tensor]:
        return [site.directions.cpu() for stop in self.stops for site in stop.sites]

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
    site: SiteProgram,
    x: Float[Tensor, "rows tokens width"],
    acts: Bool[Tensor, "rows tokens edits"],
) -> tuple[Float[Tensor, "rows tokens width"], Float[Tensor, "rows tokens edits"]]:
    """What the edits at a site add to its activation.

    Args:
        site: The edits.
        x: The incoming activation, in float32.
        acts: The tokens on which each of them acts.

    Returns:
        The difference, exactly 0 where no edit acts or each is at its identity, and the coefficients as read.
    """
    coefficients = x @ site.readers.T
    shift = site.shift[:, None]
    if site.normed:
        shift = torch.where(site.by_norm, shift * x.norm(dim=-1, keepdim=True), shift)
    if site.only_adds:
        wanted = shift
    else:
        wanted = torch.where(site.additive, shift, (site.gain[:, None] - 1) * coefficients + shift)
    amounts = torch.where(acts, wanted, 0.0)
    if site.solved:
        amounts = solve(site, amounts, acts)
    return amounts @ site.directions, coefficients


def solve(
    site: SiteProgram,
    amounts: Float[Tensor, "rows tokens edits"],
    acts: Bool[Tensor, "rows tokens edits"],
) -> Float[Tensor, "rows tokens edits"]:
    """How much of each direction to write so that each non-additive coefficient changes by its amount.

    Directions are not orthogonal: writing along one moves the coefficients of the others. Additive edits go on top.
    """
    joint = acts & ~site.additive
    both = joint[..., :, None] & joint[..., None, :]
    system = torch.where(both, site.gram, 0.0) + torch.diag_embed((~joint).to(site.gram.dtype))
    return torch.linalg.solve(system, amounts.to(site.gram.dtype)[..., None])[..., 0].to(amounts.dtype)


def compile_plan(
    plan: Plan,
    site_map: SiteMap,
    model: torch.nn.Module,
    is_special: Bool[Tensor, " vocabulary"],
    strengths: Sequence[Sequence[float]] | None = None,
    enabled: Sequence[bool] = (True,),
    read: Sequence[Target] = (),
    capture: Sequence[Site] = (),
) -> Program:
    """Turn a plan into a program.

    Args:
        plan: The plan.
        site_map: The model's sites.
        model: The model, for widths and norms. Not kept.
        is_special: For each id of the vocabulary, whether it is special.
        strengths: For each row of the batch, the strength of each edit in place of the plan's own.
        enabled: For each row of the batch, whether the plan acts there.
        read: Targets to be read only, at each site after the plan's edits there. Their columns count on from the
            plan's last edit.
        capture: Sites whose activations are to be kept, as they leave the last edit at that place.

    Raises:
        SiteError: The model has no such site.
        VectorError: A direction's width does not fit the site, or it has no length where one is needed.
        EditError: Non-additive edits that depend linearly on each other act on the same tokens.
    """
    rows = len(enabled)
    strengths = [[edit.strength for edit in plan]] * rows if strengths is None else strengths
    readers = [Edit(target, "add", enabled=False) for target in read]
    strengths = [[*row, *(0.0 for _ in readers)] for row in strengths]
    entries = [
        (site_map.check(site), index, edit)
        for index, edit in enumerate([*plan, *readers])
        for site in edit.target.sites
    ]
    entries.sort(key=lambda entry: (entry[0].depth, entry[1] >= len(plan)))

    stops: dict[tuple[str, str], Stop] = {}
    for (site, _), members in groupby(enumerate(entries), lambda item: (item[1][0], item[1][1] >= len(plan))):
        here = list(members)
        columns = slice(here[0][0], here[-1][0] + 1)
        part = _site_program(site, [(index, edit) for _, (_, index, edit) in here], columns, strengths, site_map, model)
        _stop_at(stops, site, site_map).sites.append(part)
    for site in map(site_map.check, capture):
        _stop_at(stops, site, site_map).captured.append((site, site_map.locate(site)))
    edits = [entry[2] for entry in entries]
    return Program(
        stops=sorted(stops.values(), key=lambda stop: stop.depth),
        columns=tuple(Column(index, edit.target.label, site) for site, index, edit in entries),
        enabled=torch.tensor([[on and edit.enabled for edit in edits] for on in enabled], dtype=torch.bool).reshape(
            rows, len(edits)
        ),
        prompt=torch.tensor([edit.where.prompt for edit in edits], dtype=torch.bool),
        generated=torch.tensor([edit.where.generated for edit in edits], dtype=torch.bool),
        special=torch.tensor([edit.where.special for edit in edits], dtype=torch.bool),
        is_special=is_special,
    )


def _stop_at(stops: dict[tuple[str, str], Stop], site: Site, site_map: SiteMap) -> Stop:
    location = site_map.locate(site)
    if location.added_to is not None:
        _stop_at(stops, Site(site.layer, "resid_pre"), site_map).kept = True
    stop = stops.setdefault((location.module, location.port), Stop(location, site.depth))
    stop.depth = min(stop.depth, site.depth)
    return stop


def _site_program(
    site: Site,
    members: list[tuple[int, Edit]],
    columns: slice,
    strengths: Sequence[Sequence[float]],
    site_map: SiteMap,
    model: torch.nn.Module,
) -> SiteProgram:
    edits = [edit for _, edit in members]
    width = site_map.width(model, site)
    for edit in edits:
        length = len(edit.target.direction(site))
        if length != width:
            raise VectorError(
                f"The vector {edit.target.label!r} is {length} wide at '{site}', where {site_map.name} has {width}. "
                "It was made for another model or another kind of site."
            )
    directions = torch.stack([edit.target.direction(site) for edit in edits])
    norms = directions.double().norm(dim=-1)
    for edit, norm in zip(edits, norms.tolist(), strict=True):
        if norm == 0 and (edit.operator != "add" or edit.unit != "raw"):
            raise VectorError(f"The vector {edit.target.label!r} has length 0 at '{site}', so '{edit}' means nothing.")
    additive = torch.tensor([edit.operator == "add" for edit in edits])
    readers = directions.double() / norms.square().clamp_min(torch.finfo(torch.float64).tiny)[:, None]
    gram = readers @ directions.double().T
    _refuse_dependent(site, edits, directions)

    # raw strengths count directions; the other units count lengths, so they are divided by the direction's own
    per_unit = [1.0 if edit.unit == "raw" else 1 / norm for edit, norm in zip(edits, norms.tolist(), strict=True)]
    gain, shift = torch.zeros(len(strengths), len(edits)), torch.zeros(len(strengths), len(edits))
    for row, values in enumerate(strengths):
        for position, (index, edit) in enumerate(members):
            if edit.operator == "scale":
                gain[row, position] = values[index]
            elif edit.operator in ("add", "set"):
                shift[row, position] = values[index] * per_unit[position]
    return SiteProgram(
        columns=columns,
        directions=directions,
        readers=readers.float(),
        gain=gain,
        shift=shift,
        by_norm=torch.tensor([edit.unit == "norm" for edit in edits]),
        additive=additive,
        gram=gram,
        location=site_map.locate(site),
    )


def _refuse_dependent(site: Site, edits: list[Edit], directions: Float[Tensor, "edits width"]) -> None:
    for phase in ("prompt", "generated"):
        joint = [
            i for i, edit in enumerate(edits) if edit.operator != "add" and edit.enabled and getattr(edit.where, phase)
        ]
        if len(joint) < 2:
            continue
        units = torch.nn.functional.normalize(directions[joint].double(), dim=-1)
        smallest, vectors = torch.linalg.eigh(units @ units.T)
        if smallest[0] < DEPENDENT:
            share = vectors[:, 0].abs()
            named = [str(edits[i]) for i, part in zip(joint, share.tolist(), strict=True) if part > 0.1]
            raise EditError(
                f"At '{site}' these edits ask for different values of directions that depend on each other: "
                f"{'; '.join(named)}. Keep one of them, or let them act on different tokens."
            )
