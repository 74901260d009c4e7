"""Conditions from labelled prompts: where to read, and what to compare with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit import pages
from steerkit.conditions import Cast, Comparison, Condition
from steerkit.dictionaries.feature import Feature
from steerkit.errors import EditError, PromptError
from steerkit.gates import cast_similarity

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from steerkit.edits import Target
    from steerkit.model import Model
    from steerkit.sites import Site
    from steerkit.tokens import Prompt, PromptLike


@dataclass(frozen=True)
class FoundCondition:
    """A condition and how well it tells prompts apart.

    Attributes:
        condition: The condition, ready for `when=`.
        site: Where it reads.
        accuracy: Share of held-out prompts that it tells right.
        held_out: How many those are.
        searched: For each site that was tried: the site, the relation, the threshold, and the accuracy on the prompts
            that the choice was made on.
    """

    condition: Condition
    site: Site
    accuracy: float
    held_out: int
    searched: tuple[tuple[Site, str, float, float], ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a site that was tried."""
        import pandas as pd

        rows = [(str(site), *rest) for site, *rest in self.searched]
        return pd.DataFrame(rows, columns=["site", "relation", "threshold", "accuracy"])

    def _repr_html_(self) -> str:
        rows = [
            [str(site), f"{relation} {threshold:.4g}", f"{share:.0%}"]
            for site, relation, threshold, share in self.searched
        ]
        return pages.fragment(pages.note(str(self)), pages.table(["site", "condition", "accuracy where chosen"], rows))

    def __str__(self) -> str:
        return f"{self.condition}, right on {self.accuracy:.0%} of {self.held_out} held-out prompts"


def find_condition(
    model: Model,
    target: Target,
    positives: Sequence[PromptLike],
    negatives: Sequence[PromptLike],
    *,
    reading: str = "cast",
    seed: int = 0,
) -> FoundCondition:
    """Choose the site and the threshold at which a condition on the prompt tells two kinds of prompts apart.

    Half of the prompts of each kind, drawn by the seed, choose; the other half measures. The threshold lies midway
    between two neighbouring readings; of several that tell equally many right, the one with the widest gap.

    Args:
        model: The model.
        target: A vector, each of whose sites is tried, or a feature.
        positives: Prompts for which the condition should hold; at least two.
        negatives: Prompts for which it should not; at least two.
        reading: `cast`: CAST's reading of the prompt's mean, see `Cast`. `in_prompt`: the largest coefficient at any
            token of the prompt, special ones left out.
        seed: Draws the halves.

    Raises:
        EditError: Another reading.
        PromptError: Too few prompts, one that does not fit the model, or prompts that read alike.
        SiteError: The model has no such site.

    Source: Lee et al. (2024), "Programming Refusal with Conditional Activation Steering", for the search over layers,
    thresholds and relations.
    """
    if reading not in ("cast", "in_prompt"):
        raise EditError(f"reading={reading!r} is not known; it is 'cast' or 'in_prompt'.")
    positives, negatives = ([text.prompt for text in model.encode_all(side)] for side in (positives, negatives))
    if min(len(positives), len(negatives)) < 2:
        raise PromptError(
            f"There are {len(positives)} positive and {len(negatives)} negative prompts. Give at least two of each: "
            "one half chooses, the other measures."
        )
    prompts = [*positives, *negatives]
    wanted = torch.tensor([True] * len(positives) + [False] * len(negatives))
    draw = random.Random(seed)
    chosen = torch.zeros(len(prompts), dtype=torch.bool)
    for first, count in ((0, len(positives)), (len(positives), len(negatives))):
        chosen[[first + i for i in draw.sample(range(count), count // 2)]] = True
    readings = _readings(model, target, prompts, reading)
    found = {site: _split(values[chosen], wanted[chosen]) for site, values in readings.items()}
    site = max(found, key=lambda site: found[site][2:])
    relation, threshold, _, gap = found[site]
    if not gap:
        raise PromptError(
            f"No threshold on {target.label!r} tells these prompts apart better than what holds for all of them. Give "
            "more prompts, or another target."
        )
    holds = readings[site] > threshold if relation == ">" else readings[site] < threshold
    where = target if isinstance(target, Feature) else target.at(site)
    compared = Cast(where) if reading == "cast" else where
    condition: Comparison = compared > threshold if relation == ">" else compared < threshold
    return FoundCondition(
        condition=condition if reading == "cast" else condition.in_prompt(),
        site=site,
        accuracy=(holds == wanted)[~chosen].float().mean().item(),
        held_out=int((~chosen).sum()),
        searched=tuple((site, *found[site][:3]) for site in found),
    )


def _readings(model: Model, target: Target, prompts: Sequence[Prompt], reading: str) -> dict[Site, Tensor]:
    """One number a text at each site of the target."""
    feature = isinstance(target, Feature) and reading == "in_prompt"
    sites = [target.dictionary.reads_at()] if feature else target.sites
    place = {prompt: i for i, prompt in enumerate(prompts)}
    values = {site: torch.zeros(len(prompts)) for site in sites}
    for prompt, activations in model.activations(prompts, sites):
        for site, x in activations.items():
            values[site][place[prompt]] = _read(target, site, prompt, x, reading)
    same = [place[prompt] for prompt in prompts]  # equal prompts read the same
    return {site: numbers[same] for site, numbers in values.items()}


def _read(target: Target, site: Site, prompt: Prompt, x: Tensor, reading: str) -> Tensor:
    if reading == "cast":
        return cast_similarity(x.mean(0, keepdim=True), target.direction_at(site))[0]
    if isinstance(target, Feature):
        coefficients = target.dictionary.encode_features(x, [target.index])[:, 0]
    else:
        direction = target.direction_at(site)
        coefficients = x @ direction / direction.square().sum()
    plain = ~torch.tensor(prompt.special)
    return coefficients[plain].max() if plain.any() else torch.tensor(-torch.inf)


def _split(values: Tensor, wanted: Tensor) -> tuple[str, float, float, float]:
    """The relation and threshold that tell most right: with their accuracy, and the gap that the threshold halves."""
    ordered = values.double().unique()
    edges = (ordered[1:] + ordered[:-1]) / 2
    gaps = ordered[1:] - ordered[:-1]
    best = (">", values.double().min().item() - 1.0, wanted.float().mean().item(), 0.0)  # holds for all
    for edge, gap in zip(edges.tolist(), gaps.tolist(), strict=True):
        right = ((values > edge) == wanted).float().mean().item()
        for relation, share in ((">", right), ("<", 1 - right)):
            best = max(best, (relation, edge, share, gap), key=lambda found: found[2:])
    return best
