"""Sweeps over the strengths of one of several edits, the others as they stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import steerkit as sk
from steerkit.dictionaries.feature import Feature
from steerkit.operators import WITHOUT_STRENGTH
from steerkit.plans import Plan

if TYPE_CHECKING:
    from steerkit.edits import Edit, Target
    from steerkit.tokens import PromptLike

N_STRENGTHS = 9  # odd: what the edit has now is the one in the middle


def can_be_swept(operator: str) -> bool:
    """Whether edits with this operator have a strength."""
    return operator not in WITHOUT_STRENGTH


def strengths(edit: Edit, limit: float) -> list[float]:
    """From nothing, or the lower bound, to as far beyond the edit's strength; of one that is there, on to `limit`."""
    start = edit.low or 0.0
    length = 2 * (edit.strength - start) or limit
    steps = (round(start + length * step / (N_STRENGTHS - 1), 6) + 0.0 for step in range(N_STRENGTHS))  # no -0.0
    # The bound rounded down would be below itself.
    return [*steps] if edit.low is None else [max(step, edit.low) for step in steps]


def swept(
    model: sk.Model, prompt: PromptLike, plan: Plan, place: int, values: list[float], settings: Mapping[str, Any]
) -> sk.Sweep:
    """Write at several strengths of the edit at one place of a plan, in one batch with the noise of the first seed.

    Raises:
        SteerkitError: The prompt, a setting or an edit does not fit the model.
    """
    edit, others = plan[place], [other for at, other in enumerate(plan) if at != place]
    runs = model.generate_many(
        [prompt] * len(values),
        [Plan([edit.with_strength(value), *others], preserve_norm=plan.preserve_norm) for value in values],
        seeds=[settings["seeds"][0]] * len(values),
        **{name: value for name, value in settings.items() if name != "seeds"},
    )
    return sk.Sweep(values, model.rescore(runs))


def presence(model: sk.Model, target: Target) -> Callable[[sk.Run], float] | None:
    """How much of a target there is in a new text, as the unsteered model reads it: the mean over its tokens."""
    if not isinstance(target, Feature | sk.Vector):
        return None

    def mean(run: sk.Run) -> float:
        reading = model.read([*run.prompt.ids, *run.token_ids], [target])
        return reading.coefficients[len(run.prompt) :].mean().item()

    mean.__doc__ = f"mean of {target.label} over the new text, as the unsteered model reads it"
    return mean
