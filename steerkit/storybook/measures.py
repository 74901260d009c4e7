"""How well features fit the answer key: a feature's score of a sentence is its largest activation in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from steerkit.sites import Site
from steerkit.storybook.language.stories import Story, concepts

if TYPE_CHECKING:
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model
    from steerkit.tokens import Prompt


@dataclass(frozen=True, eq=False)
class Sentences:
    """The sentences of some stories: what they express, and how active each feature is in them.

    Attributes:
        activations: (n_sentences, n_features) largest over the tokens of a sentence.
        expressed: (n_sentences, n_concepts) in the order of `storybook.concepts()`.
        held_out: (n_sentences,) whether a held-out lexeme stands in it.
        unseen: (n_sentences, n_concepts) whether held-out lexemes alone express the concept.
    """

    activations: Float[Tensor, "sentence feature"]
    expressed: Bool[Tensor, "sentence concept"]
    held_out: Bool[Tensor, " sentence"]
    unseen: Bool[Tensor, "sentence concept"]

    def shown(self) -> Sentences:
        """Those without held-out lexemes, for all that labels or chooses features."""
        kept = ~self.held_out
        return Sentences(self.activations[kept], self.expressed[kept], self.held_out[kept], self.unseen[kept])


def read_stories(model: Model, dictionary: Dictionary, stories: Sequence[Story]) -> Sentences:
    """Read stories, and take each feature's largest activation in each sentence.

    Args:
        model: The model.
        dictionary: A dictionary of the model's.
        stories: The stories; each is read whole, so a sentence is read after those before it.
    """
    activations, expressed, held_out, unseen = [], [], [], []
    for read in keyed_activations(model, dictionary.reads_at(), stories):
        dense = dictionary.encode(read.x).to_dense()
        largest = torch.zeros(len(read.expressed), dictionary.n_features)
        index = read.sentence[:, None].expand_as(dense)
        activations.append(largest.scatter_reduce_(0, index, dense, "amax", include_self=False))
        expressed.append(read.expressed)
        held_out.append(read.held_out)
        unseen.append(read.unseen)
    return Sentences(torch.cat(activations), torch.cat(expressed), torch.cat(held_out), torch.cat(unseen))


class Read(NamedTuple):
    """A story as the model reads it, without special tokens.

    Attributes:
        x: (n_tokens, d_model) activations.
        sentence: (n_tokens,) the sentence that each token stands in.
        expressed: (n_sentences, n_concepts) in the order of `storybook.concepts()`.
        held_out: (n_sentences,) whether a held-out lexeme stands in it.
        unseen: (n_sentences, n_concepts) whether held-out lexemes alone express the concept.
    """

    x: Float[Tensor, "token d_model"]
    sentence: Int[Tensor, " token"]
    expressed: Bool[Tensor, "sentence concept"]
    held_out: Bool[Tensor, " sentence"]
    unseen: Bool[Tensor, "sentence concept"]


def keyed_activations(model: Model, site: Site, stories: Sequence[Story]) -> Iterator[Read]:
    """Read stories whole, one after another (shorter ones first).

    Args:
        model: The model.
        site: Where to read.
        stories: The stories.
    """
    column = {name: i for i, name in enumerate(concepts())}
    # `activations` hands out short texts first and says which by its tokens alone.
    stories = sorted(stories, key=lambda story: len(model.encode(story.text)))
    for story, (prompt, found) in zip(
        stories, model.activations([story.text for story in stories], [site]), strict=True
    ):
        places = sentence_of(prompt, story)
        inside = places >= 0
        expressed, unseen = torch.zeros(2, len(story.sentences), len(column), dtype=torch.bool)
        for i, sentence in enumerate(story.sentences):
            expressed[i, [column[name] for name in sentence.concepts]] = True
            unseen[i, [column[name] for name in sentence.unseen]] = True
        held_out = torch.tensor([sentence.held_out for sentence in story.sentences])
        yield Read(found[site][inside], places[inside], expressed, held_out, unseen)


def sentence_of(prompt: Prompt, story: Story) -> Int[Tensor, " token"]:
    """Which sentence of a story each token of it stands in; -1 for special tokens."""
    places, at, sentence = [], 0, 0
    for token, special in zip(prompt.tokens, prompt.special, strict=True):
        if special:
            places.append(-1)
            continue
        at += len(token)
        while at > story.sentences[sentence].end:
            sentence += 1
        places.append(sentence)
    return torch.tensor(places)


@dataclass(frozen=True)
class Threshold:
    """The activation from which a feature tells a concept best, by F1.

    Attributes:
        value: The activation.
        precision: Share of the sentences from there on that express the concept.
        recall: Share of the sentences with the concept that reach it.
    """

    value: float
    precision: float
    recall: float


def best_threshold(scores: Float[Tensor, " sentence"], positive: Bool[Tensor, " sentence"]) -> Threshold:
    """The threshold with the highest F1.

    Example:
        >>> best_threshold(torch.tensor([0.0, 1.0, 3.0, 2.0]), torch.tensor([False, False, True, True]))
        Threshold(value=2.0, precision=1.0, recall=1.0)
    """
    values, order = scores.sort(descending=True)
    hits = positive[order].cumsum(0)
    taken = torch.arange(1, len(values) + 1)
    precision, recall = hits / taken, hits / hits[-1].clamp(min=1)
    f1 = 2 * hits / (taken + hits[-1])
    f1[:-1][values[:-1] == values[1:]] = -1.0  # equal scores are taken together
    best = int(f1.argmax())
    return Threshold(values[best].item(), precision[best].item(), recall[best].item())
