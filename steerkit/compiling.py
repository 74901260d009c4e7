"""From plans to programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, cast

import torch

from steerkit.dictionaries.feature import Feature
from steerkit.dictionaries.reconstruction import ErrorTerm
from steerkit.edits import Edit, Plan, Target
from steerkit.errors import EditError, VectorError
from steerkit.program import Column, Group, Program, Read, SiteProgram, Stop
from steerkit.sites import Site, SiteMap
from steerkit.units import maximum
from steerkit.whole import Whole

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.dictionaries.encoder import Encoder
    from steerkit.dictionaries.reconstruction import Reconstruction

# Cosine Gram matrices with a smaller eigenvalue count as linearly dependent: float32 cannot tell them apart.
DEPENDENT = 1e-6


@dataclass(frozen=True, eq=False)
class _Entry:
    """One edit at one site of its target: a column of the program."""

    site: Site
    index: int
    edit: Edit
    reads_only: bool

    @property
    def dictionary(self) -> Dictionary | None:
        return self.edit.target.dictionary if isinstance(self.edit.target, Feature) else None

    @property
    def kin(self) -> object:
        """What it shares its group with: vectors go together, features of one dictionary, an error term alone."""
        return self.edit.target if isinstance(self.edit.target, ErrorTerm) else self.dictionary


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
        model: The model, for widths. Not kept.
        is_special: For each id of the vocabulary, whether it is special.
        strengths: For each row of the batch, the strength of each edit in place of the plan's own.
        enabled: For each row of the batch, whether the plan acts there.
        read: Targets to be read only, at each site after the plan's edits there. Their columns count on from the
            plan's last edit.
        capture: Sites whose activations are to be kept, as they leave the last edit at that place.

    Raises:
        SiteError: The model has no such site.
        VectorError: A direction's width does not fit the site, or it has no length where one is needed.
        EditError: Edits that ask for different values of one coefficient, or of dependent ones, on the same tokens.
        DictionaryError: A feature's dictionary does not say where it belongs, or cannot be read.
    """
    rows = len(enabled)
    strengths = [[edit.strength for edit in plan]] * rows if strengths is None else strengths
    readers = [Edit(target, "add", enabled=False) for target in read]
    strengths = [[*row, *(0.0 for _ in readers)] for row in strengths]
    entries = [
        _Entry(site_map.check(site), index, edit, reads_only=index >= len(plan))
        for index, edit in enumerate([*plan, *readers])
        for site in edit.target.sites
    ]
    order = {id(kin): rank for rank, kin in enumerate(entry.kin for entry in entries)}
    entries.sort(key=lambda entry: (entry.site.depth, entry.reads_only, order[id(entry.kin)]))

    stops = _Stops(site_map)
    start = 0
    for (site, _), here in groupby(entries, lambda entry: (entry.site, entry.reads_only)):
        program = SiteProgram(site_map.locate(site))
        stops.at(site).sites.append(program)
        for _, kin in groupby(here, lambda entry: id(entry.kin)):
            members = list(kin)
            make = _whole if isinstance(members[0].edit.target, ErrorTerm) else _group
            group, source = make(members, start, strengths, site_map, model)
            program.groups.append(group)
            if source is not None:
                stops.at(source.site).reads.append(Read(start, source.reader, site_map.locate(source.site)))
            start = group.columns.stop
        _refuse_two_wholes(program, [entry.edit for entry in entries])
    for site in map(site_map.check, capture):
        stops.at(site).captured.append((site, site_map.locate(site)))
    edits = [entry.edit for entry in entries]
    flags = [[on and edit.enabled for edit in edits] for on in enabled]
    return Program(
        stops=stops.in_order(),
        columns=tuple(Column(entry.index, entry.edit.target.label, entry.site) for entry in entries),
        enabled=torch.tensor(flags, dtype=torch.bool).reshape(rows, len(edits)),
        prompt=torch.tensor([edit.where.prompt for edit in edits], dtype=torch.bool),
        generated=torch.tensor([edit.where.generated for edit in edits], dtype=torch.bool),
        special=torch.tensor([edit.where.special for edit in edits], dtype=torch.bool),
        is_special=is_special,
    )


class _Stops:
    """The stops of a program, made as they are asked for."""

    def __init__(self, site_map: SiteMap) -> None:
        self._site_map = site_map
        self._stops: dict[tuple[str, str], Stop] = {}

    def at(self, site: Site) -> Stop:
        location = self._site_map.locate(site)
        if location.added_to is not None:
            self.at(Site(site.layer, "resid_pre")).kept = True
        stop = self._stops.setdefault((location.module, location.port), Stop(location, site.depth))
        stop.depth = min(stop.depth, site.depth)
        return stop

    def in_order(self) -> list[Stop]:
        return sorted(self._stops.values(), key=lambda stop: stop.depth)


@dataclass(frozen=True, eq=False)
class _Source:
    """Another site at which features are read."""

    site: Site
    reader: Encoder | Reconstruction


def _group(
    members: list[_Entry], start: int, strengths: Sequence[Sequence[float]], site_map: SiteMap, model: torch.nn.Module
) -> tuple[Group, _Source | None]:
    site, edits = members[0].site, [entry.edit for entry in members]
    directions = torch.stack([_direction(edit, site, site_map, model) for edit in edits])
    norms = directions.double().norm(dim=-1)
    gain, shift = torch.zeros(len(strengths), len(edits)), torch.zeros(len(strengths), len(edits))
    for row, values in enumerate(strengths):
        for position, entry in enumerate(members):
            if entry.edit.operator == "scale":
                gain[row, position] = values[entry.index]
            elif entry.edit.operator in ("add", "set"):
                shift[row, position] = values[entry.index] * _per_unit(entry.edit, norms[position].item())
    group = Group(
        columns=slice(start, start + len(members)),
        directions=directions,
        gain=gain,
        shift=shift,
        by_norm=torch.tensor([edit.unit == "norm" for edit in edits]),
        by_length=torch.tensor([edit.unit in ("norm", "residual") for edit in edits]),
        additive=torch.tensor([edit.operator == "add" for edit in edits]),
    )
    dictionary = members[0].dictionary
    if dictionary is None:
        _refuse_dependent(site, edits, directions)
        readers = directions.double() / norms.square().clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        group.readers, group.gram = readers.float(), readers @ directions.double().T
        group.__post_init__()
        return group, None
    _refuse_twice(site, edits)
    encoder = dictionary.encoder([edit.target.index for edit in edits])
    if dictionary.site_in == dictionary.site_out:
        group.encoder = encoder
        return group, None
    group.elsewhere = start
    return group, _Source(site_map.check(dictionary.reads_at()), encoder)


def _whole(
    members: list[_Entry], start: int, strengths: Sequence[Sequence[float]], site_map: SiteMap, model: torch.nn.Module
) -> tuple[Whole, _Source | None]:
    (entry, *others), edit, target = members, members[0].edit, cast("ErrorTerm", members[0].edit.target)
    if others or edit.unit != "raw":
        raise EditError(
            f"'{edit}': an error term takes one edit, in the unit 'raw', such as error_term.ablate() or .scale(0.5)."
        )
    reconstruction = target.reconstruction
    _check_width(target.label, len(reconstruction.b_dec), entry.site, site_map, model)
    # its coefficient is 1 as it stands
    added = {"add": lambda s: s, "set": lambda s: s - 1, "scale": lambda s: s - 1, "ablate": lambda _: -1.0}
    factor = torch.tensor([added[edit.operator](row[entry.index]) for row in strengths])
    whole = Whole(slice(start, start + 1), reconstruction, factor)
    if target.site_in == target.site_out:
        return whole, None
    whole.elsewhere = start
    return whole, _Source(site_map.check(target.site_in), reconstruction)


def _refuse_two_wholes(program: SiteProgram, edits: list[Edit]) -> None:
    wholes = [group for group in program.groups if isinstance(group, Whole)]
    if len(wholes) > 1:
        named = "; ".join(str(edits[whole.columns.start]) for whole in wholes)
        raise EditError(f"A site takes the error term of one dictionary; here are {named}. Keep one of them.")


def _check_width(label: str, width: int, site: Site, site_map: SiteMap, model: torch.nn.Module) -> None:
    needed = site_map.width(model, site)
    if width != needed:
        raise VectorError(
            f"The vector {label!r} is {width} wide at '{site}', where {site_map.name} has {needed}. "
            "It was made for another model or another kind of site."
        )


def _direction(edit: Edit, site: Site, site_map: SiteMap, model: torch.nn.Module) -> Float[Tensor, " width"]:
    direction = edit.target.direction(site)
    _check_width(edit.target.label, len(direction), site, site_map, model)
    if not direction.any() and (edit.operator != "add" or edit.unit != "raw"):
        raise VectorError(f"The vector {edit.target.label!r} has length 0 at '{site}', so '{edit}' means nothing.")
    return direction


def _per_unit(edit: Edit, norm: float) -> float:
    """A strength of 1 in the edit's unit, as a change of the coefficient (before the token's own norm comes in)."""
    if edit.unit == "raw":
        return 1.0
    if edit.unit == "max":
        return maximum(edit.target)
    return 1 / norm  # a length in units of the activation


def _refuse_twice(site: Site, edits: list[Edit]) -> None:
    for i, first in enumerate(edits):
        for second in edits[i + 1 :]:
            if first.target == second.target and _conflict(first, second):
                raise EditError(
                    f"At '{site}' two edits ask for different values of one feature on the same tokens: {first}; "
                    f"{second}. Keep one of them, or let them act on different tokens."
                )


def _conflict(first: Edit, second: Edit) -> bool:
    if "add" in (first.operator, second.operator) or not (first.enabled and second.enabled):
        return False
    return any(getattr(first.where, phase) and getattr(second.where, phase) for phase in ("prompt", "generated"))


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
