"""Texts by strength, beside what the strength brings and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import traitlets

from steerkit.operators import WITHOUT_UNIT
from steerkit.runs import Sweep
from steerkit_widgets._base import Widget, refuse_other, refuse_unknown
from steerkit_widgets._generation import json_row
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import steerkit as sk


class SweepView(Widget):
    """The texts of a sweep beside curves of effect and fluency; a click chooses a strength.

    Fluency is shown as nats a token under the unsteered model and as the share of repeated 4-grams, which loops raise
    while they lower the first. The page has all it needs: it works without a kernel too.

    Args:
        sweep: What `Model.sweep` gave back.
        effect: What the steering is to bring, as a number of a run; higher is more. No such curve without it. Its
            docstring stands beside the curve.

    Raises:
        TypeError: `sweep` is none, or an argument is unknown.

    Example:
        >>> sweep = model.sweep(prompt, rain.add(1), strengths=[0, 4, 8, 16])  # doctest: +SKIP
        >>> view = SweepView(sweep, effect=lambda run: run.text.count("rain"))  # doctest: +SKIP
        >>> view.strength, view.run  # chosen by hand  # doctest: +SKIP
        >>> skw.link(view, panel)  # a strength that is chosen steers there  # doctest: +SKIP
    """

    _esm = bundle("sweep_view.js")
    _css = bundle("sweep_view.css")

    _about = traitlets.Unicode().tag(sync=True)  # set by Python
    _effect = traitlets.Unicode().tag(sync=True)  # set by Python
    _prompt = traitlets.Unicode().tag(sync=True)  # set by Python
    _runs = traitlets.List(traitlets.Dict()).tag(sync=True)  # set by Python, in the order of strengths
    _chosen = traitlets.Int(allow_none=True).tag(sync=True, by_view=True)  # set by the view: the place of a run

    def __init__(self, sweep: sk.Sweep, effect: Callable[[sk.Run], float] | None = None, **unknown: Any) -> None:
        refuse_unknown("SweepView", unknown, ["effect"])
        self.effect = effect
        super().__init__(**self._take(sweep))

    @property
    def sweep(self) -> sk.Sweep:
        """The sweep that is shown; set it to show another, with the curve of `effect`."""
        return self._sweep

    @sweep.setter
    def sweep(self, sweep: sk.Sweep) -> None:
        with self._writing, self.hold_sync():
            for name, value in self._take(sweep).items():
                setattr(self, name, value)

    @property
    def strength(self) -> float | None:
        """The strength that is chosen; None where none is."""
        return None if self._chosen is None else self._strengths[self._chosen]

    @strength.setter
    def strength(self, strength: float | None) -> None:
        with self._writing:
            if strength is not None and strength not in self._strengths:
                raise ValueError(f"strength={strength!r} was not swept. Choose one of {self._strengths}.")
            self._chosen = None if strength is None else self._strengths.index(strength)

    @property
    def run(self) -> sk.Run | None:
        """The run of the strength that is chosen."""
        return None if self._chosen is None else self._ordered[self._chosen]

    @property
    def edit(self) -> sk.Edit | None:
        """The edit at the strength that is chosen, for a panel's plan; None where none is."""
        return None if self.strength is None or self._edit is None else self._edit.with_strength(self.strength)

    def still(self) -> str:
        """The sweep as it shows itself."""
        return self.sweep._repr_html_()

    def _take(self, sweep: sk.Sweep) -> dict[str, Any]:
        """The traits that show a sweep; none of its strengths is chosen."""
        refuse_other("SweepView", sweep, Sweep, "model.sweep(prompt, edit, strengths)")
        self._sweep = sweep
        order = sorted(range(len(sweep)), key=lambda place: sweep.strengths[place])
        self._strengths = [sweep.strengths[place] for place in order]
        self._ordered = [sweep[place] for place in order]
        self._edit = edit = next((run.plan[0] for run in self._ordered if len(run.plan)), None)
        return {
            "_chosen": None,
            "_about": "" if edit is None else _about(edit),
            "_effect": (self.effect and self.effect.__doc__) or "",
            "_prompt": self._ordered[0].prompt.text if self._ordered else "",
            "_runs": [self._row(*pair) for pair in zip(self._strengths, self._ordered, strict=True)],
        }

    def _row(self, strength: float, run: sk.Run) -> dict[str, Any]:
        effect = None if self.effect is None else float(self.effect(run))
        figures = dict(zip(("nats", "repetition", "effect"), json_row([run.nats, run.repetition, effect]), strict=True))
        return {"strength": strength, "text": run.text, "about": run.describe(), **figures}

    @traitlets.validate("_chosen")
    def _a_run(self, proposal: dict[str, Any]) -> int | None:
        chosen = proposal["value"]
        if chosen is not None and not 0 <= chosen < len(self._strengths):
            raise traitlets.TraitError(f"{chosen!r} is no run: there are {len(self._strengths)}.")
        return chosen


def _about(edit: sk.Edit) -> str:
    return edit.target.label if edit.operator in WITHOUT_UNIT else f"{edit.target.label}, in {edit.unit}"
