"""Labels a dictionary's features by what they measure as, on held-out stories.

A feature that tells the sentences with a concept from those without (AUROC of at least `ENOUGH`) bears the concept's
name; any other is described by the tokens and the context at which it is most active. Sentences with held-out lexemes
take no part in the scores and the names; descriptions, maxima and densities are of whole stories.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from steerkit.ranks import auroc
from steerkit.storybook.language.instructions import instruction
from steerkit.storybook.language.stories import Story, concepts, corpus
from steerkit.storybook.measures import Sentences, best_threshold, read_stories

if TYPE_CHECKING:
    from steerkit.dictionaries.calibration import Calibration
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model

ENOUGH = 0.9
SEED = 1  # of the stories; those of the benchmark have another
STORIES = 600
TOKENS, BEFORE, AFTER = 3, 25, 15  # of a description: tokens, and characters around the most active one
SOURCE = "storybook"


class Row(NamedTuple):
    """What is known of a feature.

    Attributes:
        index: The feature.
        label: A concept, or a description.
        source: Who says so.
        score: AUROC of the concept that it fits best, whether or not it bears its name.
        concept: That concept.
        precision: Share of the sentences over the threshold that express it.
        recall: Share of the sentences that express it that are over the threshold.
        threshold: Activation with the highest F1.
        maximum: Largest activation over the stories, and some with their requests.
        density: Share of tokens at which it is active.
    """

    index: int
    label: str
    source: str
    score: float
    concept: str
    precision: float
    recall: float
    threshold: float
    maximum: float
    density: float


def measure(model: Model, dictionary: Dictionary, stories: Sequence[Story] | None = None) -> list[Row]:
    """Label every feature.

    Args:
        model: The model.
        dictionary: A dictionary of the model's.
        stories: The stories to measure on; `STORIES` held-out ones by default.
    """
    calibration, sentences, scores = _measured(model, dictionary, stories)
    best, which = scores.max(dim=1)
    labels = named(best, which, [describe(calibration, index) for index in range(dictionary.n_features)])
    return _rows(calibration, sentences, scores, which.tolist(), labels)


def measure_concepts(model: Model, dictionary: Dictionary, stories: Sequence[Story] | None = None) -> list[Row]:
    """Measure a dictionary whose features are the concepts, in their order, and bear their names.

    Args:
        model: The model.
        dictionary: The dictionary.
        stories: The stories to measure on; `STORIES` held-out ones by default.
    """
    return _rows(*_measured(model, dictionary, stories), range(len(concepts())), concepts())


def _measured(
    model: Model, dictionary: Dictionary, stories: Sequence[Story] | None
) -> tuple[Calibration, Sentences, torch.Tensor]:
    """A calibration, the sentences without held-out lexemes, and the AUROC of each feature and concept in them."""
    stories = list(corpus(SEED, STORIES, split="held_out")) if stories is None else stories
    requests = [instruction(SEED * 10_000 + i, split="held_out")[0] for i in range(len(stories) // 4)]
    calibration = dictionary.calibrate(model, [*(story.text for story in stories), *requests])
    sentences = read_stories(model, dictionary, stories).shown()
    return calibration, sentences, auroc(sentences.activations, sentences.expressed).nan_to_num(0.0)


def _rows(
    calibration: Calibration,
    sentences: Sentences,
    scores: torch.Tensor,
    which: Sequence[int],
    labels: Sequence[str],
) -> list[Row]:
    rows = []
    for index, (concept, label) in enumerate(zip(which, labels, strict=True)):
        found = best_threshold(sentences.activations[:, index], sentences.expressed[:, concept])
        numbers = scores[index, concept].item(), found.precision, found.recall, found.value
        score, precision, recall, threshold = (round(number, 4) for number in numbers)
        maximum, density = (round(values[index].item(), 5) for values in (calibration.maximum, calibration.density))
        name = concepts()[concept]
        rows.append(Row(index, label, SOURCE, score, name, precision, recall, threshold, maximum, density))
    return rows


def named(best: torch.Tensor, which: torch.Tensor, descriptions: Sequence[str]) -> list[str]:
    """The label of each feature.

    Args:
        best: (n_features,) AUROC of the concept that each fits best.
        which: (n_features,) that concept, in the order of `storybook.concepts()`.
        descriptions: What those are called that fit no concept well enough.

    Returns:
        A concept's name for the feature that fits it best, `name (2)` for the next, and so on.
    """
    labels = list(descriptions)
    borne: Counter[str] = Counter()
    for index in best.argsort(descending=True, stable=True).tolist():
        if best[index] < ENOUGH:
            break
        name = concepts()[int(which[index])]
        borne[name] += 1
        labels[index] = name if borne[name] == 1 else f"{name} ({borne[name]})"
    return labels


def describe(calibration: Calibration, index: int) -> str:
    """A feature's most frequent top tokens, and the context at which it is most active."""
    contexts = calibration.contexts(index)
    if contexts.empty:
        return f"not active in {len(calibration.prompts):,} texts"
    tokens = Counter(token.strip() for token in contexts.token)
    shown = ", ".join(f"“{token}”" for token, _ in tokens.most_common(TOKENS) if token)
    top = contexts.iloc[0]
    around = f"…{top.before[-BEFORE:].lstrip()}{top.token}{top.after[:AFTER].rstrip()}…"
    return " ".join(f"{shown or 'line breaks'}, as in “{around}”".split())


def write(rows: Sequence[Row], path: Path) -> None:
    """Write labels and scores as a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        writer.writerows(rows)
