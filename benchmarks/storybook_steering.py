"""How well directions steer stories to the concepts of storybook's answer key.

For each concept a direction, a strength and how long it acts are chosen on one half of some beginnings of held-out
stories and tested on the other half, beside what the model does by itself and under a random direction of the same
length.
"""

from __future__ import annotations

import multiprocessing
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, product
from typing import NamedTuple

import pandas as pd
import torch
from tqdm import tqdm

import steerkit as sk
from steerkit import storybook

SEED = 8  # of the stories whose beginnings are prompts
TEMPERATURE = 0.8
PROMPTS, SEEDS, TOKENS = 32, 4, 250  # of the stories that are steered
SHARE, MARGIN, NATS, REPETITION = 0.8, 0.4, 1.0, 0.02
# Roughly the standard errors of a share, of nats and of repetition over the stories that choose.
SHARE_ERROR, NATS_ERROR, REPETITION_ERROR = 0.05, 0.06, 0.006
# Tokens that are steered, and strengths in the unit `norm`: shares of each token's activation norm. A story that has
# turned to its concept goes on by itself, and steered further it tells of the concept again and again; what comes late
# in a story, such as a feeling, takes longer.
WAYS = {
    f"first {n}": (sk.Where(prompt=False, new_positions=slice(n)), strengths)
    for n, strengths in {
        90: (0.42, 0.48, 0.54, 0.60),
        150: (0.42, 0.48, 0.54),
        60: (0.42, 0.48, 0.54, 0.60),
    }.items()
}
ENOUGH = 1.0  # standard errors from every bound: no other way is tried


def beginnings() -> list[str]:
    """First sentences of held-out stories."""
    stories = storybook.corpus(SEED, PROMPTS, split="held_out")
    return [told.text[: told.sentences[0].end] for told in stories]


class Steered:
    """Stories under the same edits.

    Args:
        model: The model.
        prompts: How each story begins, with its seed.
        edits: The edits.
    """

    def __init__(self, model: sk.Model, prompts: Sequence[tuple[str, int]], edits: Sequence = ()) -> None:
        runs = model.generate_many(
            [prompt for prompt, _ in prompts],
            edits,
            seeds=[seed for _, seed in prompts],
            max_new_tokens=TOKENS,
            temperature=TEMPERATURE,
        )
        runs = model.rescore(runs)
        self.found = [storybook.expressed(run.text) for run in runs]
        self.nats = sum(run.nats or 0.0 for run in runs) / len(runs)
        self.repetition = sum(run.repetition for run in runs) / len(runs)

    def share(self, concept: str) -> float:
        """The share of the stories that express a concept."""
        return sum(concept in found for found in self.found) / len(self.found)


class Try(NamedTuple):
    """What a feature and a strength did on the prompts that choose; nats and repetition beyond the baseline."""

    concept: str
    feature: int
    way: str
    strength: float
    share: float
    nats: float
    repetition: float

    def reach(self) -> float:
        """How far the share lies above what is asked for, in standard errors. It grows with strength."""
        return (self.share - SHARE) / SHARE_ERROR

    def room(self) -> float:
        """How far the text stays from being no longer good, in standard errors. It shrinks with strength."""
        return min((NATS - self.nats) / NATS_ERROR, (REPETITION - self.repetition) / REPETITION_ERROR)

    def worth(self) -> float:
        """Which of several is best: the one that is furthest from what may not be passed on either side."""
        return min(self.reach(), self.room())


def smooth(tries: Sequence[Try]) -> list[Try]:
    """What a feature did in one way at several strengths, each figure on a straight line, which is less noisy."""
    table = pd.DataFrame(tries)
    for figure in ("share", "nats", "repetition"):
        slope, level = statistics.linear_regression(table.strength, table[figure])
        table[figure] = level + slope * table.strength
    return [Try(*row) for row in table.itertuples(index=False)]


class Steering:
    """Prompts to choose on and prompts to test on, with how both go on by themselves.

    Args:
        path: The model.
        dictionary: A dictionary's folder or name; None for the model's default.
    """

    def __init__(self, path: str, dictionary: str | None) -> None:
        torch.set_num_threads(1)  # each concept has a process
        self.model = sk.load(path)
        self.features = sk.load_dictionary(dictionary) if dictionary else self.model.dictionary()
        # No two stories have a seed in common: it draws alike for every prompt, and would tell them much the same.
        told = [[(prompt, i * SEEDS + n) for n in range(SEEDS)] for i, prompt in enumerate(beginnings())]
        self.choosing, self.testing = (list(chain.from_iterable(half)) for half in (told[::2], told[1::2]))
        self.before = Steered(self.model, self.choosing)
        self.after = Steered(self.model, self.testing)

    def random(self, way: str, strength: float) -> Steered:
        """Stories steered by a direction that means nothing: they show how often any concept comes by chance."""
        direction = torch.randn(self.features.d_out, generator=torch.Generator().manual_seed(SEED))
        random = sk.Vector({str(self.features.writes_at()): direction}, "random")
        return Steered(self.model, self.testing, [random.add(strength, unit="norm", where=WAYS[way][0])])

    def steered(self, prompts: Sequence[tuple[str, int]], feature: int, way: str, strength: float) -> Steered:
        """Stories steered by a feature."""
        return Steered(self.model, prompts, [self.features[feature].add(strength, unit="norm", where=WAYS[way][0])])

    def tries(self, name: str, feature: int, way: str) -> list[Try]:
        """What a feature does in one way on the prompts that choose."""
        found: list[Try] = []
        for strength in WAYS[way][1]:
            run = self.steered(self.choosing, feature, way, strength)
            nats, repetition = run.nats - self.before.nats, run.repetition - self.before.repetition
            found.append(Try(name, feature, way, strength, run.share(name), nats, repetition))
            if len(found) > 1 and found[-1].room() < found[-1].reach():
                break  # more strength only takes from the room
        return found

    def concept(self, name: str, candidates: Sequence[int]) -> tuple[dict[str, object], list[Try]]:
        """The feature, the way and the strength that steer best to a concept, tested; and all that was tried."""
        tried: list[Try] = []
        smoothed: list[Try] = []
        for feature, way in product(candidates, WAYS):
            tries = self.tries(name, feature, way)
            tried += tries
            smoothed += smooth(tries)
            if max(smoothed, key=Try.worth).worth() >= ENOUGH:
                break
        chosen = max(smoothed, key=Try.worth)
        run = self.steered(self.testing, chosen.feature, chosen.way, chosen.strength)
        row = {
            "concept": name,
            "feature": chosen.feature,
            "way": chosen.way,
            "strength": chosen.strength,
            "share": run.share(name),
            "baseline": self.after.share(name),
            "nats": run.nats - self.after.nats,
            "repetition": run.repetition - self.after.repetition,
        }
        return row, tried


_steering: Steering | None = None


def _begin(path: str, dictionary: str | None) -> None:
    global _steering
    _steering = Steering(path, dictionary)


def _concept(name: str, candidates: Sequence[int]) -> tuple[dict[str, object], list[Try]]:
    return _steering.concept(name, candidates)


def _random(way: str, strength: float) -> Steered:
    return _steering.random(way, strength)


def steering(
    path: str, candidates: dict[str, Sequence[int]], workers: int, dictionary: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """For each concept what steers best on one half of the prompts, on the other half.

    Args:
        path: The model.
        candidates: For each concept the features to try, the most promising first.
        workers: Processes.
        dictionary: A dictionary's folder or name; None for the model's default.

    Returns:
        One row a concept; and one row for everything that was tried.
    """
    rows, curve = [], []
    spawning = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(workers, spawning, _begin, (path, dictionary)) as pool:
        pairs = [(way, strength) for way, (_, strengths) in WAYS.items() for strength in strengths]
        random = dict(zip(pairs, pool.map(_random, *zip(*pairs, strict=True)), strict=True))
        found = pool.map(_concept, candidates.keys(), candidates.values())
        for row, tried in tqdm(found, total=len(candidates), desc="steering", unit="concept"):
            row["random"] = random[row["way"], row["strength"]].share(row["concept"])
            above = row["share"] - max(row["baseline"], row["random"])
            row["steers"] = row["share"] >= SHARE and above >= MARGIN and row["repetition"] <= REPETITION
            rows.append(row)
            tqdm.write(", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
            curve += [one._asdict() for one in tried]
    return pd.DataFrame(rows), pd.DataFrame(curve)
