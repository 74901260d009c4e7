"""Grids: what several edits do and cost at several strengths, beside random directions of the same length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from steerkit import pages
from steerkit.controls import random_control
from steerkit.edits import Edit
from steerkit.errors import EditError, PromptError, SettingError
from steerkit.operators import PAIRED, WITHOUT_STRENGTH
from steerkit.plans import Plan
from steerkit.strengths import as_strengths

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch import Tensor

    from steerkit.model import Model
    from steerkit.runs import Run
    from steerkit.tokens import PromptLike


@dataclass(frozen=True, eq=False)
class Grid:
    """Edits by strengths, each cell an average over prompts.

    Attributes:
        edits: The edits, one a row.
        strengths: The strengths, one a column.
        baseline: The unsteered effect.
        effect: (n_edits, n_strengths) the effect.
        cost: (n_edits, n_strengths) nats a token under the unsteered model, more than the baseline's own text.
        repetition: (n_edits, n_strengths) share of repeated 4-grams, more than the baseline's.
        control: (n_edits, n_strengths) the effect of a random direction of the same length in place of the edit's.
        control_cost: (n_edits, n_strengths) its cost.
        runs: The steered runs: `runs[edit][strength]` has one for each prompt.
    """

    edits: tuple[Edit, ...]
    strengths: tuple[float, ...]
    baseline: float
    effect: Float[Tensor, "n_edits n_strengths"]
    cost: Float[Tensor, "n_edits n_strengths"]
    repetition: Float[Tensor, "n_edits n_strengths"]
    control: Float[Tensor, "n_edits n_strengths"]
    control_cost: Float[Tensor, "n_edits n_strengths"]
    runs: tuple[tuple[tuple[Run, ...], ...], ...]

    @property
    def names(self) -> list[str]:
        """A heading for each edit: its operator, target and sites."""
        return [f"{e.operator} {e.target.label} @ {', '.join(map(str, e.target.sites))}" for e in self.edits]

    def to_frame(self) -> pd.DataFrame:
        """One row a cell."""
        import pandas as pd

        columns = ("effect", "cost", "repetition", "control", "control_cost")
        rows = [
            {"edit": name, "strength": strength, **{column: getattr(self, column)[i, j].item() for column in columns}}
            for i, name in enumerate(self.names)
            for j, strength in enumerate(self.strengths)
        ]
        return pd.DataFrame(rows)

    def plot(self) -> Figure:
        """Effect, the control's effect and the cost, each as a map of edits by strengths."""
        from steerkit.figures import maps

        panels = {"effect": self.effect, "random direction": self.control, "cost (nats a token)": self.cost}
        return maps(panels, self.names, [f"{strength:g}" for strength in self.strengths], alike=2)

    def _repr_html_(self) -> str:
        cells = [
            [f"{effect:.3g} at {cost:+.2f}, random {control:.3g}" for effect, cost, control in zip(*row, strict=True)]
            for row in zip(self.effect.tolist(), self.cost.tolist(), self.control.tolist(), strict=True)
        ]
        rows = [[name, *cell] for name, cell in zip(self.names, cells, strict=True)]
        heads = ["edit", *(f"{strength:+g}" for strength in self.strengths)]
        return pages.fragment(
            pages.table(heads, rows), pages.note(f"Effect at its cost in nats a token; unsteered {self.baseline:.3g}")
        )

    def __repr__(self) -> str:
        return f"Grid({len(self.edits)} edits, {len(self.strengths)} strengths, baseline effect {self.baseline:.3g})"


def grid(
    model: Model,
    prompts: Sequence[PromptLike],
    edits: Sequence[Edit],
    strengths: Sequence[float],
    effect: Callable[[Run], float],
    *,
    seed: int = 0,
    max_new_tokens: int = 60,
    temperature: float = 0.8,
    top_p: float = 1.0,
    batch_size: int = 64,
) -> Grid:
    """Measure what edits do and cost at several strengths.

    Every text of a prompt is written with the same noise. A progress bar shows where it takes long.

    Args:
        model: The model.
        prompts: Texts to write on from, each with a seed of its own.
        edits: The edits; their strengths are replaced. For a grid over layers, one vector at several sites:
            `[vector.at(site).add(1) for site in vector.sites]`.
        strengths: The strengths, in each edit's unit.
        effect: What is wanted of a text, as a number: a concept's share, a probe, the count of words on a list.
        seed: Of the first prompt, and of the random directions.
        max_new_tokens: As in `Model.generate`, like the rest.
        temperature: 0 is greedy.
        top_p: Sample from the smallest set of tokens whose probability reaches it.
        batch_size: Texts a batch.

    Raises:
        EditError: No edits or strengths, or an edit that has none to replace.
        SettingError: What measures the effect is no function, or gives no number.
        SteerkitError: A prompt, a setting or an edit does not fit the model.

    Example:
        >>> grid(model, ["One day"], [joy.add(1)], [0, 0.5, 1], lambda run: "happy" in run.text)  # doctest: +SKIP
    """
    if isinstance(prompts, str) or not prompts:
        raise PromptError(f"prompts={prompts!r} is no list of prompts. Put one or more into brackets.")
    if (
        isinstance(edits, Edit)
        or not edits
        or any(not isinstance(e, Edit) or e.operator in (*WITHOUT_STRENGTH, *PAIRED) for e in edits)
    ):
        raise EditError(
            "A grid runs over edits whose strength can be replaced, such as [vector.add(1), feature.set(1)]."
        )
    if not callable(effect):
        raise SettingError(f"effect={effect!r} is no function. Give one that makes a number of a run.")
    values = as_strengths(strengths)
    controls = [random_control(edit, seed + i) for i, edit in enumerate(edits)]
    plans = [Plan(), *(Plan(edit.with_strength(v)) for edit in (*edits, *controls) for v in values)]
    rows = [(plan, prompt, seed + i) for plan in plans for i, prompt in enumerate(prompts)]
    runs: list[Run] = []
    effects: list[float] = []
    with tqdm(total=len(rows), desc="Writing", unit="text", delay=2) as bar:
        for start in range(0, len(rows), batch_size):
            own_plans, own_prompts, seeds = zip(*rows[start : start + batch_size], strict=True)
            written = model.generate_many(
                own_prompts, own_plans, seeds=seeds, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p
            )
            written = model.rescore(written)
            effects += [_number(effect(run)) for run in written]
            runs += written
            bar.update(len(own_plans))
    n = len(prompts)
    cells = [tuple(runs[start : start + n]) for start in range(0, len(runs), n)]
    numbers = [effects, [_nats(run) for run in runs], [run.repetition for run in runs]]
    measured = torch.tensor(numbers, dtype=torch.float64).reshape(3, -1, n).mean(-1).float()
    baseline, rest = measured[:, 0], measured[:, 1:].reshape(3, 2, len(edits), len(values))
    found = [cells[1 + i * len(values) : 1 + (i + 1) * len(values)] for i in range(len(edits))]
    return Grid(
        edits=tuple(edits),
        strengths=tuple(values),
        baseline=baseline[0].item(),
        effect=rest[0, 0],
        cost=rest[1, 0] - baseline[1],
        repetition=rest[2, 0] - baseline[2],
        control=rest[0, 1],
        control_cost=rest[1, 1] - baseline[1],
        runs=tuple(map(tuple, found)),
    )


def _nats(run: Run) -> float:
    return float("nan") if run.nats is None else run.nats


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise SettingError(f"effect gives {value!r} for a run, where a number belongs. Let it return one.") from None
