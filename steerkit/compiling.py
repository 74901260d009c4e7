"""From plans to programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from steerkit.actions import Call
from steerkit.conflicts import refuse_wholes
from steerkit.edits import Edit, Target
from steerkit.errors import EditError, PromptError
from steerkit.gating import Gating
from steerkit.grouping import Entry, group_of, whole_of
from steerkit.plans import Plan
from steerkit.program import Column, Program, Read, SiteProgram, Stop
from steerkit.sites import Site, SiteMap
from steerkit.where import Where

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor

# What is written there reaches the output through the residual stream alone, so it can be taken out of it again.
PASSING = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")


def compile_plans(
    plans: Sequence[Plan],
    site_map: SiteMap,
    model: torch.nn.Module,
    is_special: Bool[Tensor, " vocabulary"],
    read: Sequence[Target] = (),
    capture: Sequence[Site] = (),
) -> Program:
    """Turn plans into a program.

    Edits of several rows that differ in nothing but their strength share a column.

    Args:
        plans: A plan for each row of the batch, or one for all.
        site_map: The model's sites.
        model: The model, for widths. Not kept.
        is_special: For each id of the vocabulary, whether it is special.
        read: Targets to be read only, at each site after the edits there. Their columns count on from the last edit.
        capture: Sites whose activations are to be kept, as they leave the last edit at that place.

    Raises:
        SiteError: The model has no such site.
        VectorError: A direction's width does not fit the site, or it has no length where one is needed.
        EditError: Edits that ask for different values of one coefficient, or of dependent ones, on the same tokens; a
            condition that is known too late; a unit that needs what is not known.
        PromptError: A token id is not in the vocabulary.
        DictionaryError: A feature's dictionary does not say where it belongs, or cannot be read.
    """
    numbered = _Numbered(plans)
    reading = [Edit(target, "add", enabled=False) for target in read]
    entries = [
        Entry(site_map.check(site), index, edit, target, reads_only=index >= len(numbered.edits))
        for index, edit in enumerate([*numbered.edits, *reading])
        for site in edit.target.sites
        for target in (edit.target, edit.other)
        if target is not None
    ]
    order = {kin: rank for rank, kin in enumerate(entry.kin for entry in entries)}
    entries.sort(key=lambda entry: (entry.site.depth, entry.reads_only, order[entry.kin], not entry.whole))

    stops = _Stops(site_map)
    preserving = torch.tensor([plan.preserve_norm for plan in plans])
    start = 0
    for (site, reads_only), here in groupby(entries, lambda entry: (entry.site, entry.reads_only)):
        program = stops.program(site, reads_only)
        program.preserve_norm = preserving if preserving.any() else None
        for _, kin in groupby(here, lambda entry: entry.kin):
            members = list(kin)
            make = whole_of if members[0].whole else group_of
            group = make(members, start, numbered.rows, site_map, model)
            program.groups.append(group)
            for key, reader in group.reads:
                source = site_map.check(members[0].read_at)
                stops.at(source).reads.append(Read(key, reader, site_map.locate(source)))
            start = group.columns.stop
    for row in numbered.rows:
        refuse_wholes([(entry.site, row[entry.index]) for entry in entries if entry.whole and entry.index in row])
    if any(not entry.edit.direct for entry in entries):
        _check_passing(plans, [entry for entry in entries if not entry.edit.direct], site_map)
        stops.program(Site(site_map.n_layers - 1, "resid_post"), reads_only=False).takes_out = True
    gating = Gating(site_map, model, lambda site: stops.program(site, reads_only=False).watches)
    gates = tuple(gating.of_edit(entry.edit, entry.site) for entry in entries)
    actions = list(dict.fromkeys(action for plan in plans for action in plan.actions))
    for site in map(site_map.check, capture):
        stops.at(site).captured.append((site, site_map.locate(site)))
    wheres = tuple(entry.edit.where for entry in entries)
    rule, allowed = _rules(wheres, is_special)
    enabled = [[entry.index in row and row[entry.index].enabled for entry in entries] for row in numbered.rows]
    return Program(
        columns=tuple(Column(entry.index, entry.target.label, entry.site) for entry in entries),
        index=tuple(tuple(own.get(entry.index, -1) for entry in entries) for own in numbered.own),
        enabled=torch.tensor(enabled, dtype=torch.bool).reshape(len(plans), len(entries)),
        wheres=wheres,
        rule=rule,
        allowed=allowed,
        plain=~is_special,
        gates=gates,
        actions=tuple((gating.gate(a.when), a if isinstance(a, Call) else None) for a in actions),
        acting=torch.tensor([[action in plan.actions for action in actions] for plan in plans], dtype=torch.bool),
        one_by_one=gating.one_by_one,
        stops=stops.in_order(),
    )


class _Numbered:
    """The edits of all plans, numbered once each.

    Attributes:
        edits: The edits; rows may have them at other strengths.
        rows: For each plan, its own edits by their number.
        own: For each plan, their index in it.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.edits: list[Edit] = []
        self.rows: list[dict[int, Edit]] = []
        self.own: list[dict[int, int]] = []
        numbers: dict[tuple, int] = {}
        for plan in plans:
            seen: Counter[tuple] = Counter()
            row, own = {}, {}
            for position, edit in enumerate(plan):
                kind = (edit.target, edit.target.label, edit.operator, edit.unit, edit.where, edit.when)
                kind += (edit.direct, edit.other)
                number = numbers.setdefault((*kind, seen[kind]), len(self.edits))
                seen[kind] += 1
                if number == len(self.edits):
                    self.edits.append(edit)
                row[number], own[number] = edit, position
            self.rows.append(row)
            self.own.append(own)


@dataclass
class _Stops:
    """The stops of a program, made as they are asked for."""

    site_map: SiteMap
    stops: dict[tuple[str, str], Stop] = field(default_factory=dict)
    programs: dict[tuple[Site, bool], SiteProgram] = field(default_factory=dict)

    def at(self, site: Site) -> Stop:
        location = self.site_map.locate(site)
        if location.added_to is not None:
            self.at(Site(site.layer, "resid_pre")).kept = True
        stop = self.stops.setdefault((location.module, location.port), Stop(location, site.depth))
        stop.depth = min(stop.depth, site.depth)
        return stop

    def program(self, site: Site, reads_only: bool) -> SiteProgram:
        """What happens at a site; what is only read there comes after the edits."""
        self.at(site)
        return self.programs.setdefault((site, reads_only), SiteProgram(self.site_map.locate(site)))

    def in_order(self) -> list[Stop]:
        for site, reads_only in sorted(self.programs, key=lambda key: (key[0].depth, key[1])):
            self.at(site).sites.append(self.programs[site, reads_only])
        return sorted(self.stops.values(), key=lambda stop: stop.depth)


def _rules(
    wheres: Sequence[Where], is_special: Bool[Tensor, " vocabulary"]
) -> tuple[Int[Tensor, " edits"], Bool[Tensor, "vocabulary rules"]]:
    """Which rule about token ids each edit follows, and on which ids each rule lets it act."""
    asked = [(where.special, where.tokens, where.not_tokens) for where in wheres]
    rules = list(dict.fromkeys(asked))
    allowed = torch.ones(len(is_special), len(rules), dtype=torch.bool)
    for i, (special, tokens, not_tokens) in enumerate(rules):
        for ids in (tokens or (), not_tokens):
            wrong = [index for index in ids if not 0 <= index < len(is_special)]
            if wrong:
                raise PromptError(
                    f"Token id {wrong[0]} is out of range: this vocabulary has the ids 0 to {len(is_special) - 1}."
                )
        if tokens is not None:
            allowed[:, i] = False
            allowed[list(tokens), i] = True
        if not special:
            allowed[is_special, i] = False
        allowed[list(not_tokens), i] = False
    return torch.tensor([rules.index(rule) for rule in asked], dtype=torch.long), allowed


def _check_passing(plans: Sequence[Plan], entries: Sequence[Entry], site_map: SiteMap) -> None:
    """Refuse what cannot be taken out of the stream again."""
    last = Site(site_map.n_layers - 1, "resid_post")
    for entry in entries:
        if entry.site.kind not in PASSING:
            raise EditError(
                f"'{entry.edit}' with direct=False has to be written to the residual stream, which '{entry.site}' is "
                f"not. Sites that are: {', '.join(PASSING)}."
            )
        if entry.site == last:
            raise EditError(f"'{entry.edit}' with direct=False at '{last}' has nothing above it. Choose a lower layer.")
    for plan in plans:
        if plan.preserve_norm and any(not edit.direct for edit in plan):
            raise EditError(f"'{plan}': what keeps the norm cannot be taken out again. Leave direct=False away.")
