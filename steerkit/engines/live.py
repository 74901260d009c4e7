"""What a program and a run share while the model runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from steerkit.gates import Watched
from steerkit.group import Change
from steerkit.program import Program, SiteProgram, Stop
from steerkit.scope import Layout
from steerkit.selection import Selection
from steerkit.sites import Location

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


class Live:
    """The program in force, the tokens of the pass that is running, and what was read.

    Args:
        program: The program in force; may be replaced between two passes.
        anchor: A place to be held at in every pass even if the program has none there. It lets a program that is
            replaced midway add sites, and ends nnsight's loop over steps when a program is empty.
        emit: Called after each new token with its position; False ends the run. Local runs only.

    Attributes:
        record: What the run leaves behind.
        ran: The program of the pass that is running or has just run; `program` may be replaced meanwhile.
        last: Whether no pass follows the running one.
        text: Token ids so far of a text that somebody else passes through the model.
        n_prompt: How many of them are its prompt.
        selection: The tokens at which captured sites are kept; None for all, padding included.
        captured: Activation at each captured site: (rows, tokens, width), or what the selection leaves.
    """

    def __init__(
        self, program: Program, anchor: Location | None = None, emit: Callable[[int], bool] | None = None
    ) -> None:
        self.program, self.emit = program, emit
        self.anchor = anchor
        self.record: dict[str, Any] = {}
        self.last = False
        self.text: Tensor | None = None
        self.n_prompt = 0
        self.selection: Selection | None = None
        self.captured: dict[str, Tensor] = {}
        self.ran = program
        self._acts: Tensor | None = None
        self._fade: Tensor | None = None
        self._scope: Tensor | None = None
        self._fading: Tensor | None = None
        self._scoped: tuple[Program, Layout] | None = None
        self._watched = Watched()
        self._passing: Tensor | None = None
        self._elsewhere: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._seen: list[Tensor] = []
        self._shape = torch.Size()
        self._envoys: dict[str, Any] = {}

    def begin(self, ids: Int[Tensor, "rows end"], start: int, layout: Layout) -> None:
        """Say what the pass that starts now holds.

        Args:
            ids: The text so far, the tokens of the pass included.
            start: Place of the pass's first token.
            layout: What is known of the batch beforehand.
        """
        program = self.ran = self.program
        self._seen, self._passing, now = [], None, ids[:, start:]
        self._shape = now.shape
        if program.empty:
            return
        program.to(ids.device)
        if self._scoped is None or self._scoped[0] is not program or self._scoped[1] is not layout:
            self._scoped = program, layout
            self._scope, self._fading = program.scope(layout), program.fade(layout)
        place = slice(start, ids.shape[1])
        self._acts = self._scope[:, place] & program.reaches(now)
        self._fade = None if self._fading is None else self._fading[:, place]
        if program.conditional:
            self._watched.begin(start, layout, program.plain[ids])

    def forget(self) -> None:
        """Begin another text: what conditions said of the one before does not count."""
        self._watched = Watched()

    def fired(self) -> Bool[Tensor, "rows actions"]:
        """Which actions' conditions hold at the last token of the pass that has just run."""
        held = torch.stack([self._watched.holds(gate)[:, -1] for gate, _ in self.ran.actions], dim=-1)
        return held & self.ran.acting

    def take(self) -> Float[Tensor, "rows columns"]:
        """Coefficients read at the last token of the pass that has just run."""
        return self.take_all()[:, -1]

    def take_all(self) -> Float[Tensor, "rows tokens columns"]:
        """Coefficients read at every token of the pass that has just run."""
        seen = self._seen
        if not seen:
            return torch.zeros(*self._shape, 0)
        return seen[0] if len(seen) == 1 else torch.cat([part.to(seen[0].device) for part in seen], dim=-1)

    def serve(self, lm: Any) -> None:
        """Hold the running pass at each stop of the program and edit what stands there. Runs inside a trace."""
        if self.anchor is not None:
            _ = self._port(lm, self.anchor)
        kept: dict[str, Tensor] = {}
        for stop in self.ran.stops:
            value = self._port(lm, stop.location)
            hidden = value[0] if isinstance(value, tuple) else value  # attention returns its weights beside
            whole = hidden if hidden.ndim == 3 else hidden.unflatten(0, self._shape)  # OPT's MLP: tokens of all rows
            new = self._edit(lm, stop, whole, kept)
            if new is not whole:
                new = new.view_as(hidden)
                self._replace(lm, stop.location, (new, *value[1:]) if isinstance(value, tuple) else new)

    def _edit(self, lm: Any, stop: Stop, hidden: Tensor, kept: dict[str, Tensor]) -> Tensor:
        for site in stop.sites:
            stands = hidden.float()
            x = self._seen_from(lm, site.location, stands, kept)
            for watch in site.watches:
                self._watched.see(watch, x)
            if site.groups:
                delta = site.keep_norm(x, self._change(site, x))
                if site.location.norm is not None:
                    delta = delta * self._norm(lm, site.location)[0]
                hidden = (stands + delta).to(hidden.dtype)
            if site.takes_out and self._passing is not None:
                hidden = (hidden.float() - self._passing.to(hidden.device)).to(hidden.dtype)
        for read in stop.reads:
            read.reader = read.reader.to(hidden.device)
            self._elsewhere[read.key] = read.reader.read(self._seen_from(lm, read.location, hidden.float(), kept))
        for captured, location in stop.captured:
            taken = self.selection or torch.Tensor.float
            self.captured[str(captured)] = self._seen_from(lm, location, taken(hidden), kept, taken)
        if stop.kept:
            kept[stop.location.module] = hidden
        return hidden

    def _change(self, site: SiteProgram, x: Tensor) -> Tensor:
        """What the edits at a site add to its activation."""
        total = None
        for group in site.groups:
            group.to(x.device)
            acts = self._acts[..., group.columns].to(x.device)
            for column, gate in enumerate(self.ran.gates[group.columns]):
                if gate is not None:
                    acts[..., column] &= self._watched.holds(gate).to(x.device)
            fade = None if self._fade is None else self._fade[..., group.columns].to(x.device)
            change: Change = group.change(x, acts, fade, self._elsewhere)
            total = change.delta if total is None else total + change.delta
            self._seen.append(change.coefficients)
            if change.passing is not None:
                passing = self._passing
                self._passing = change.passing if passing is None else passing.to(x.device) + change.passing
        return total

    def _seen_from(
        self,
        lm: Any,
        location: Location,
        stands: Tensor,
        kept: dict[str, Tensor],
        taken: Callable[[Tensor], Tensor] = torch.Tensor.float,
    ) -> Tensor:
        """The site's activation, from what stands at its location; `taken` tells which part of a whole pass that is."""
        if location.added_to is not None:
            return stands + taken(kept[location.added_to]).to(stands)
        if location.norm is not None:
            gain, bias = self._norm(lm, location)
            return (stands - bias) / gain
        return stands

    def _norm(self, lm: Any, location: Location) -> tuple[Tensor, Tensor | float]:
        norm = self._envoy(lm, location.norm)._module
        bias = getattr(norm, "bias", None)
        return norm.weight.float() + location.gain_offset, 0.0 if bias is None else bias.float()

    def _port(self, lm: Any, location: Location) -> Any:
        return getattr(self._envoy(lm, location.module), location.port)

    def _replace(self, lm: Any, location: Location, value: Any) -> None:
        setattr(self._envoy(lm, location.module), location.port, value)

    def _envoy(self, lm: Any, path: str) -> Any:
        if path not in self._envoys:
            self._envoys[path] = lm.get(path)
        return self._envoys[path]
