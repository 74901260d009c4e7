"""Directions ranked by what they do to the model's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from steerkit import figures, pages
from steerkit.edits import Edit, Target
from steerkit.errors import SettingError, VectorError
from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import TextLike

STEPS, NEAR = 12, 0.05  # of the search for the strength; how near to the asked-for divergence ends it
FURTHEST = 10.0  # that a step changes the strength


@dataclass(frozen=True)
class Effect:
    """What one target does at the strength that was found for it.

    Attributes:
        target: The target.
        strength: How often it is added at every token but special ones.
        gain: How much likelier the wanted texts get, in nats a token.
        kl: KL(steered ‖ unsteered) where their tokens are predicted, in nats a token.
    """

    target: Target
    strength: float
    gain: float
    kl: float

    @property
    def per_kl(self) -> float:
        """The gain for each nat of divergence."""
        return self.gain / self.kl if self.kl else 0.0


@dataclass(frozen=True)
class Effects:
    """Targets by their effect, the most effective first.

    Attributes:
        ranked: The effects.
        kl: The divergence that each was to have.
    """

    ranked: tuple[Effect, ...]
    kl: float

    def best_layer(self) -> Site:
        """The first site of the most effective target."""
        return self.ranked[0].target.sites[0]

    def to_frame(self) -> pd.DataFrame:
        """One row a target, the most effective first."""
        import pandas as pd

        columns = ["label", "site", "strength", "gain", "kl", "gain_per_kl"]
        return pd.DataFrame(
            [(*_named(one), one.strength, one.gain, one.kl, one.per_kl) for one in self.ranked], columns=columns
        )

    def plot(self) -> Figure:
        """The gain for each nat of divergence."""
        names = [" ".join(_named(one)) for one in self.ranked]
        return figures.bars(names, [one.per_kl for one in self.ranked], "nats gained for each nat of KL")

    def _repr_html_(self) -> str:
        rows = [
            [*_named(one), f"{one.strength:.4g}", f"{one.gain:+.4f}", f"{one.kl:.4f}", f"{one.per_kl:+.3f}"]
            for one in self.ranked
        ]
        headings = ["label", "site", "strength", "gain (nats a token)", "KL (nats a token)", "gain per KL"]
        return pages.fragment(pages.note(f"strengths at which KL is {self.kl:g}"), pages.table(headings, rows))


def by_effect(
    model: Model, targets: Target | Sequence[Target], wanted: Sequence[TextLike], *, kl: float = 0.1
) -> Effects:
    """Rank directions by how much likelier they make wanted texts for what they change.

    Each is added at the strength at which the predictions change by the same amount, since a gain grows with the
    strength, and the divergence with its square. So layers can be compared whose directions differ in length.

    Args:
        model: The model.
        targets: A vector, each of whose sites is tried alone; a feature; or features and vectors.
        wanted: Texts that are to get likelier: a `Completion`, whose text is scored after its prompt; of other texts,
            all tokens but the first.
        kl: The divergence, in nats a token. A target that never reaches it is measured where the search ends.

    Raises:
        SettingError: The divergence is not positive.
        VectorError: There is no target, or a vector was learned on another model.
        SteerkitError: A target or a text does not fit the model.

    Example:
        >>> wanted = [Completion("The girl was very", " happy")]  # doctest: +SKIP
        >>> by_effect(model, joy, wanted).best_layer()  # doctest: +SKIP
        Site(layer=3, kind='resid_post')
    """
    if not 0 < kl < math.inf:
        raise SettingError(f"kl={kl!r} must be a positive number of nats a token, such as 0.1.")
    listed = (
        [targets.at(site) for site in targets.sites]
        if isinstance(targets, Vector)
        else [targets]
        if isinstance(targets, Target)
        else list(targets)
    )
    if not listed or not wanted:
        raise VectorError("There is nothing to compare. Give a vector, or features, and texts that are wanted.")
    for target in listed:
        made = target.provenance if isinstance(target, Vector) else None
        if made is not None and made.model not in (None, model.name):
            raise VectorError(
                f"The vector {target.label!r} was learned on {made.model}; this model is {model.name}. Learn it here, "
                "or load the model it belongs to."
            )
    texts = model.encode_all(wanted)
    found = [_effect(model, target, texts, kl) for target in tqdm(listed, desc="By effect", delay=2)]
    return Effects(tuple(sorted(found, key=lambda one: -one.per_kl)), kl)


def _effect(model: Model, target: Target, texts: Sequence[TextLike], kl: float) -> Effect:
    """The effect at the strength at which the divergence is as asked for, as far as there is one."""
    strength = 1.0
    for _ in range(STEPS):
        gains, divergences = model.effects(Edit(target, "add", strength), texts)
        found = Effect(target, strength, gains.mean().item(), divergences.mean().item())
        if abs(found.kl / kl - 1) < NEAR:
            break
        # for small strengths the divergence grows with their square
        step = math.sqrt(kl / found.kl) if found.kl > 0 else FURTHEST
        strength *= min(max(step, 1 / FURTHEST), FURTHEST)
    return found


def _named(one: Effect) -> tuple[str, str]:
    return one.target.label, ", ".join(map(str, one.target.sites))
