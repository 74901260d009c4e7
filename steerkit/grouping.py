"""From edits whose coefficients are read together to the tensors of a group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit.conflicts import refuse_dependent, refuse_twice
from steerkit.dictionaries.feature import Feature
from steerkit.dictionaries.reconstruction import Varying
from steerkit.dictionaries.reweighing import Reweighing
from steerkit.edits import Edit, Target
from steerkit.errors import EditError, VectorError
from steerkit.group import Group
from steerkit.operators import OPERATORS, PAIRED, registered
from steerkit.sites import Site, SiteMap
from steerkit.units import maximum
from steerkit.whole import Whole

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.dictionaries.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Entry:
    """A target of an edit at one of its sites: a column of the program.

    Attributes:
        site: The site.
        index: Index of the edit among those of all rows.
        edit: The edit; rows may have it at other strengths.
        target: The edit's target, or its second one.
        reads_only: Whether it only reads.
    """

    site: Site
    index: int
    edit: Edit
    target: Target
    reads_only: bool

    @property
    def dictionary(self) -> Dictionary | None:
        """The dictionary whose feature it is; None for a vector."""
        return self.target.dictionary if isinstance(self.target, Feature) else None

    @property
    def whole(self) -> bool:
        """Whether it is about a dictionary as a whole."""
        return isinstance(self.target, Varying)

    @property
    def kin(self) -> object:
        """What it shares its group with: vectors go together, and what is of one dictionary."""
        return (self.target.dictionary or self.target) if isinstance(self.target, Varying) else self.dictionary

    @property
    def read_at(self) -> Site:
        """Where it is read.

        Raises:
            DictionaryError: The dictionary does not know.
        """
        if isinstance(self.target, Varying):
            return self.target.site_in
        return self.site if self.dictionary is None else self.dictionary.reads_at()

    @property
    def second(self) -> bool:
        """Whether it is the edit's second target."""
        return self.target is self.edit.other


def group_of(
    members: Sequence[Entry], start: int, rows: Sequence[dict[int, Edit]], site_map: SiteMap, model: torch.nn.Module
) -> Group:
    """The group of the vectors at a site, or of one dictionary's features there.

    Args:
        members: Them, in the order of their columns.
        start: Index of the first column.
        rows: For each row of the batch, its own edits by their index.
        site_map: The model's sites.
        model: The model, for widths.

    Raises:
        VectorError, EditError, DictionaryError: See `compile_plans`.
    """
    site, dictionary = members[0].site, members[0].dictionary
    directions = torch.stack([_direction(entry, site_map, model) for entry in members])
    norms = directions.double().norm(dim=-1)
    for present in {tuple(entry.index in row for entry in members): row for row in rows}.values():
        _refuse_conflicts(site, members, present, directions, dictionary)
    numbers = torch.zeros(4, len(rows), len(members))  # gain, shift, low, high
    numbers[2], numbers[3] = -math.inf, math.inf
    mix = torch.eye(len(members)).repeat(len(rows), 1, 1)
    for row, edits in enumerate(rows):
        for position, entry in enumerate(members):
            edit = edits.get(entry.index, entry.edit)
            if not entry.second:
                per_unit = _per_unit(edit, norms[position].item())
                numbers[:, row, position] = torch.tensor(_operator(edit, per_unit))
                mix[row, position, position] = numbers[0, row, position]
            elif edit.operator == "move_to":
                mix[row, position, position - 1] = 1.0
            else:
                pair = slice(position - 1, position + 1)
                mix[row, pair, pair] = rotation(*directions[pair], edit.strength)
    edits = [entry.edit for entry in members]
    names = [edit.operator for edit in edits]
    group = Group(
        columns=slice(start, start + len(members)),
        directions=directions,
        gain=numbers[0],
        shift=numbers[1],
        low=numbers[2],
        high=numbers[3],
        by_norm=torch.tensor([edit.unit == "norm" for edit in edits]),
        by_length=torch.tensor([edit.unit in ("norm", "residual") for edit in edits]),
        additive=torch.tensor([name == "add" for name in names]),
        passing=torch.tensor([not edit.direct for edit in edits]),
        mix=mix if any(name in PAIRED for name in names) else None,
        functions=tuple((i, registered(name)) for i, name in enumerate(names) if name not in OPERATORS),
    )
    if dictionary is None:
        readers = directions.double() / norms.square().clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        group.readers, group.gram = readers.float(), readers @ directions.double().T
        group.__post_init__()
        return group
    group.encoder = dictionary.encoder([entry.target.index for entry in members])
    group.elsewhere = None if dictionary.site_in == dictionary.site_out else start
    return group


def whole_of(
    members: Sequence[Entry], start: int, rows: Sequence[dict[int, Edit]], site_map: SiteMap, model: torch.nn.Module
) -> Whole:
    """The group of the edits of a whole dictionary at a site, and of its features inside. Arguments as in `group_of`.

    Raises:
        VectorError, EditError, DictionaryError: See `compile_plans`.
    """
    wholes = [entry for entry in members if entry.whole]
    features = members[len(wholes) :]
    amounts = torch.zeros(len(rows), len(wholes))
    for position, entry in enumerate(wholes):
        _check_whole(entry, bool(features), site_map, model)
        for row, edits in enumerate(rows):
            amounts[row, position] = _written(edits.get(entry.index, entry.edit), entry.target.standing)
    inside = group_of(features, start + len(wholes), rows, site_map, model) if features else None
    followed = [entry.target.index for entry in features]
    apart = wholes[0].read_at != wholes[0].site
    return Whole(
        columns=slice(start, start + len(members)),
        readers=[entry.target.reader(followed) for entry in wholes],
        standing=[entry.target.standing for entry in wholes],
        amounts=amounts,
        passing=[not entry.edit.direct for entry in wholes],
        inside=inside,
        elsewhere=[start + position for position in range(len(wholes))] if apart else None,
    )


def rotation(first: Float[Tensor, " width"], second: Float[Tensor, " width"], degrees: float) -> Float[Tensor, "2 2"]:
    """What turning in the plane of two directions, from the first towards the second, does to their coefficients."""
    a, b = first.double(), second.double()
    cosine = torch.dot(a, b) / (a.norm() * b.norm())
    sine = (1 - cosine.square()).clamp_min(0).sqrt()
    # from coordinates in an orthonormal basis of the plane, whose first axis is the first direction, to coefficients
    read = torch.tensor([[1.0, 0.0], [cosine.item(), sine.item()]], dtype=torch.float64)
    read = read / torch.stack([a.norm(), b.norm()])[:, None]
    angle = math.radians(degrees)
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return (read @ torch.tensor(turn, dtype=torch.float64) @ torch.linalg.inv(read)).float()


def check_width(label: str, width: int, site: Site, site_map: SiteMap, model: torch.nn.Module) -> None:
    """Refuse what does not fit a site.

    Raises:
        VectorError: The widths differ.
    """
    needed = site_map.width(model, site)
    if width != needed:
        raise VectorError(
            f"The vector {label!r} is {width} wide at '{site}', where {site_map.name} has {needed}. "
            "It was made for another model or another kind of site."
        )


def _operator(edit: Edit, per_unit: float) -> tuple[float, float, float, float]:
    """Gain, shift and bounds, in units of the coefficient (before the token's own norm comes in)."""
    amount = edit.strength * per_unit
    match edit.operator:
        case "at_least":
            return 1.0, 0.0, amount, math.inf
        case "at_most":
            return 1.0, 0.0, -math.inf, amount
        case "cap":
            return 1.0, 0.0, edit.low * per_unit, amount
        case "scale":
            return edit.strength, 0.0, -math.inf, math.inf
        case "ablate" | "move_to" | "rotate":
            return 0.0, 0.0, -math.inf, math.inf
        case _:
            return 0.0, amount, -math.inf, math.inf


def _check_whole(entry: Entry, inside: bool, site_map: SiteMap, model: torch.nn.Module) -> None:
    edit, target = entry.edit, entry.target
    if edit.unit != "raw" or edit.operator in PAIRED or edit.operator not in OPERATORS:
        raise EditError(
            f"'{edit}': what a whole dictionary makes has another direction at every token, so its strength is in the "
            f"unit 'raw', and its operator none of {', '.join(PAIRED)}, or of your own."
        )
    if inside and isinstance(target, Reweighing) and target.rescales:
        raise EditError(
            f"'{edit}' undoes the normalisation of its dictionary by other numbers, so that no edit of one of its "
            "features fits in. Leave as_published=True away."
        )
    check_width(target.label, len(target.reader(()).b_dec), entry.site, site_map, model)


def _written(edit: Edit, standing: float) -> float:
    """How much an edit of a whole dictionary changes its coefficient."""
    gain, shift, low, high = _operator(edit, 1.0)
    return shift if edit.operator == "add" else min(max(gain * standing + shift, low), high) - standing


def _direction(entry: Entry, site_map: SiteMap, model: torch.nn.Module) -> Float[Tensor, " width"]:
    edit, target, site = entry.edit, entry.target, entry.site
    if entry.second and isinstance(edit.target, Feature) and entry.dictionary != edit.target.dictionary:
        raise EditError(f"'{edit}' moves to what is no feature of the same dictionary. Move to another feature of it.")
    if entry.second and not isinstance(edit.target, Feature) and entry.dictionary is not None:
        raise EditError(f"'{edit}' goes from a vector to a feature. Choose a vector at the same site.")
    direction = target.direction_at(site)
    check_width(target.label, len(direction), site, site_map, model)
    if not direction.any() and (edit.operator != "add" or edit.unit != "raw"):
        raise VectorError(f"The vector {target.label!r} has length 0 at '{site}', so '{edit}' means nothing.")
    return direction


def _per_unit(edit: Edit, norm: float) -> float:
    """A strength of 1 in the edit's unit, as a change of the coefficient (before the token's own norm comes in)."""
    if edit.unit == "raw":
        return 1.0
    if edit.unit == "max":
        return maximum(edit.target)
    return 1 / norm  # a length in units of the activation


def _refuse_conflicts(
    site: Site,
    members: Sequence[Entry],
    row: dict[int, Edit],
    directions: Float[Tensor, "members width"],
    dictionary: Dictionary | None,
) -> None:
    joint = [i for i, entry in enumerate(members) if entry.index in row and entry.edit.operator != "add"]
    edits = [row[members[i].index] for i in joint]
    if dictionary is None:
        refuse_dependent(site, edits, directions[joint])
    else:
        refuse_twice(site, [members[i].target for i in joint], edits)
