"""From conditions to gates, and to what has to be read for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from steerkit.conditions import Both, Comparison, Condition, Either, InPrompt, Not, SoFar
from steerkit.dictionaries.feature import Feature
from steerkit.edits import Edit
from steerkit.errors import EditError
from steerkit.gates import Gate, Watch
from steerkit.grouping import check_width
from steerkit.sites import Site, SiteMap

if TYPE_CHECKING:
    from steerkit.edits import Target


class Gating:
    """Turns conditions into gates.

    Args:
        site_map: The model's sites.
        model: The model, for widths. Not kept.
        watches: Gives the list of what is compared at a site.

    Attributes:
        one_by_one: Whether a condition on earlier tokens reads deeper than its edit writes.
    """

    def __init__(self, site_map: SiteMap, model: torch.nn.Module, watches: Callable[[Site], list[Watch]]) -> None:
        self._site_map, self._model, self._watches = site_map, model, watches
        self._keys: dict[Comparison, str] = {}
        self.one_by_one = False

    def of_edit(self, edit: Edit, site: Site) -> Gate | None:
        """The gate of an edit at a site.

        Raises:
            EditError: Its condition is known too late, or reads at several sites.
        """
        if edit.when is None:
            return None
        late = [c for c in edit.when.comparisons() if self._site(c).depth > site.depth]
        if not late:
            return self.gate(edit.when)
        for comparison in _same_token(edit.when):
            if comparison in late:
                raise EditError(
                    f"'{edit}' acts at '{site}', but '{comparison}' is read at '{self._site(comparison)}', which comes "
                    "later. Ask about earlier tokens, (condition).so_far() or .in_prompt(), or steer deeper."
                )
        if edit.where.prompt or edit.where.last_prompt:
            raise EditError(
                f"'{edit}' acts at '{site}', but '{late[0]}' is read at '{self._site(late[0])}', which comes later, so "
                "that it is known for new tokens only. Add where=Where(prompt=False), or steer deeper."
            )
        self.one_by_one = True
        return self.gate(edit.when, site)

    def gate(self, condition: Condition, site: Site | None = None) -> Gate:
        """The gate of a condition, for what is written at a site (None: after all sites)."""
        match condition:
            case Both(first, second):
                return "and", self.gate(first, site), self.gate(second, site)
            case Either(first, second):
                return "or", self.gate(first, site), self.gate(second, site)
            case Not(inner):
                return "not", self.gate(inner, site)
            case InPrompt(inner):
                return "in_prompt", self.gate(inner, site)
            case SoFar(inner):
                before = site is not None and any(self._site(c).depth > site.depth for c in inner.comparisons())
                return "so_far", self.gate(inner, site), before
            case Comparison():
                return "read", self._kept(condition)
        raise EditError(f"{condition!r} is no condition. Make one by comparing, such as feature > 0.5.")

    def _kept(self, comparison: Comparison) -> str:
        """The key of a comparison, which is read from now on."""
        if comparison not in self._keys:
            site = self._site(comparison)
            self._keys[comparison] = key = _key(comparison, site)
            self._watches(site).append(self._watch(key, comparison))
        return self._keys[comparison]

    def _watch(self, key: str, comparison: Comparison) -> Watch:
        target, cast = comparison.target, comparison.reading == "cast"
        watch = Watch(key, comparison.relation, comparison.threshold, cast=cast)
        if isinstance(target, Feature) and not cast:
            watch.encoder = target.dictionary.encoder([target.index])
            return watch
        site = self._site(comparison)
        direction = target.direction_at(site)
        check_width(target.label, len(direction), site, self._site_map, self._model)
        if not direction.any():
            raise EditError(f"'{comparison}' reads along a direction of length 0.")
        watch.reader = direction if cast else direction / direction.square().sum()
        return watch

    def _site(self, comparison: Comparison) -> Site:
        """Where a comparison reads."""
        target: Target = comparison.target
        if isinstance(target, Feature) and comparison.reading != "cast":
            return self._site_map.check(target.dictionary.reads_at())
        if len(target.sites) > 1:
            raise EditError(
                f"'{comparison}' could be read at {', '.join(map(str, target.sites))}. Choose one: "
                f"vector.at('{target.sites[0]}')."
            )
        return self._site_map.check(target.sites[0])


def _key(comparison: Comparison, site: Site) -> str:
    """What no other question has, in a program that takes over midway either: labels may be the same."""
    target = comparison.target
    what = f"{target.dictionary.name}/{target.index}" if isinstance(target, Feature) else "vector"
    direction = target.direction_at(target.sites[0]).detach().float().cpu()
    told = hashlib.sha256(direction.numpy().tobytes()).hexdigest()
    return f"{comparison.reading} of {what} {told} {comparison.relation} {comparison.threshold!r} at {site}"


def _same_token(condition: Condition) -> list[Comparison]:
    """The comparisons that speak of the token itself."""
    if isinstance(condition, InPrompt | SoFar):
        return []
    if isinstance(condition, Comparison):
        return [condition] if condition.reading == "coefficient" else []
    return [comparison for part in condition.parts for comparison in _same_token(part)]
