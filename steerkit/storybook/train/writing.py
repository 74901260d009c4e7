"""Directions that write: added to the residual stream, each turns stories to its concept.

A request for a concept turns a story to it already, and each direction begins at the mean difference that requests make
at its layer. From there they go on as steering vectors learned by gradient (Subramani et al. 2022, "Extracting latent
steering vectors from pretrained language models"), one a concept, all in one run: stories that come to a concept are to
become likely when its direction is added at every token after their first sentence, in a length that varies from story
to story. The words in which a story comes to the concept weigh more than others; those after it see to it that the text
stays good.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from steerkit.storybook.language.instructions import request
from steerkit.storybook.language.stories import Story, concepts, story
from steerkit.storybook.train.batches import Tokens
from steerkit.storybook.train.documents import BOS, END, Document, asked, taken_up

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

RATE = 0.005
STRENGTHS = 0.3, 0.5  # shares of each token's norm that are added
# How much more the words weigh in which a story comes to its concept; and what stands after them, where a direction
# that only pushes would have the story say it again and again.
COMING, AFTER = 12.0, 1.5
BATCH = 4096  # tokens
STORIES_TO_START = 12  # of a concept, whose mean difference a direction begins at
STEPS_A_STORY = 6  # steps for each story of a concept: every story is read once or twice


class Told(NamedTuple):
    """Stories that come to a concept after their first sentence, with and without a request for it before them.

    Attributes:
        asked: The stories after their requests; stressed is what stands after the first sentence.
        plain: The same stories by themselves; stressed is the same.
        weights: (n_tokens,) how much the tokens of `plain` weigh.
        concept: (n_stories,) which concept.
    """

    asked: Tokens
    plain: Tokens
    weights: np.ndarray
    concept: Int[Tensor, " story"]


def stories(seed: int, n: int, tokenizer: PreTrainedTokenizerBase) -> Told:
    """`n` stories of the training split for each concept.

    The concept stands beside another one, which the story is mainly about, so that it comes in later. Held-out lexemes
    are left out.
    """
    rng = random.Random(f"writing/{seed}")
    found: list[tuple[str, Story]] = []
    for name in concepts():
        others = [one for one in concepts() if one != name]
        told = (story(rng.randrange(2**31), [rng.choice(others), name], lexemes="shown") for _ in itertools.count())
        found += [(name, one) for one in itertools.islice((one for one in told if _later(name, one)), n)]
    asked = Tokens.of((_later_part(one, _asking(rng, name)) for name, one in found), tokenizer)
    plain = Tokens.of((_later_part(one) for _, one in found), tokenizer)
    coming = [taken_up(one, len(BOS), [name]) for name, one in found]
    there = Tokens.of((Document(_text(one), spans) for (_, one), spans in zip(found, coming, strict=True)), tokenizer)
    until = [Document(_text(one), ((0, spans[-1][-1]),)) for (_, one), spans in zip(found, coming, strict=True)]
    before = Tokens.of(until, tokenizer)
    weights = np.where(there.stressed, COMING, np.where(before.stressed, 1.0, AFTER)).astype(np.float32)
    return Told(asked, plain, weights, torch.tensor([concepts().index(name) for name, _ in found]))


def _later(name: str, told: Story) -> bool:
    return name not in told.sentences[0].concepts


def _asking(rng: random.Random, name: str) -> str:
    return asked(request(rng, [name]))


def _text(told: Story, before: str = BOS) -> str:
    return f"{before}{told.text}{END}"


def _later_part(told: Story, before: str = BOS) -> Document:
    text = _text(told, before)
    return Document(text, ((len(before) + told.sentences[0].end, len(text)),))


class Reader:
    """A model that reads stories, with or without directions.

    Args:
        model: The model.
        layer: At whose output directions are added, and activations are read.
        pad: Id of the token that fills up rows.
    """

    def __init__(self, model: LlamaForCausalLM, layer: int, pad: int) -> None:
        self.model, self.layer, self.pad = model, model.model.layers[layer], pad

    def nats(
        self, tokens: Tokens, documents: list[int], added: Float[Tensor, "story d_model"]
    ) -> Float[Tensor, " token"]:
        """Of the stressed tokens, row by row.

        Args:
            tokens: The stories.
            documents: Which of them are read.
            added: To the stressed tokens of each, in multiples of the norm of each token.
        """
        rows, stressed = self._laid_out(tokens, documents)
        with self._added(added[:, None] * stressed[..., None]):
            hidden = self.model.model(input_ids=rows, use_cache=False).last_hidden_state
        later = stressed[:, 1:]
        logits = self.model.lm_head(hidden[:, :-1][later])
        return nn.functional.cross_entropy(logits, rows[:, 1:][later], reduction="none")

    def activations(self, tokens: Tokens, documents: list[int]) -> Float[Tensor, "story d_model"]:
        """The mean over the stressed tokens of each story."""
        rows, stressed = self._laid_out(tokens, documents)
        found: list[Tensor] = []
        handle = self.layer.register_forward_hook(lambda _, __, x: found.append(x))
        try:
            self.model.model(input_ids=rows, use_cache=False)
        finally:
            handle.remove()
        return (found[0] * stressed[..., None]).sum(1) / stressed.sum(1, keepdim=True)

    def _laid_out(self, tokens: Tokens, documents: list[int]) -> tuple[Tensor, Tensor]:
        device = self.model.device
        return tokens.rows(documents, self.pad).to(device), tokens.stress(documents).to(device)

    @contextmanager
    def _added(self, what: Float[Tensor, "story position d_model"]) -> Iterator[None]:
        handle = self.layer.register_forward_hook(lambda _, __, x: x + x.norm(dim=-1, keepdim=True) * what)
        try:
            yield
        finally:
            handle.remove()


def differences(reader: Reader, told: Told) -> Float[Tensor, "concept d_model"]:
    """What requests change in the activations of the stories after them, on average, to unit length."""
    sums = torch.zeros(len(concepts()), reader.model.config.hidden_size, device=reader.model.device)
    with torch.no_grad():
        for some in told.asked.batches(BATCH, seed=0):
            change = reader.activations(told.asked, some) - reader.activations(told.plain, some)
            sums.index_add_(0, told.concept[some].to(sums.device), change)
    return nn.functional.normalize(sums, dim=-1)


def learn(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    layer: int,
    *,
    steps: int,
    seed: int = 0,
) -> Float[Tensor, "concept d_model"]:
    """Learn a direction for each concept.

    Args:
        model: The model. Its weights are no longer trained afterwards.
        tokenizer: Its tokenizer.
        layer: To whose output a direction is added.
        steps: How many batches to learn from.
        seed: Of the stories, their order and the strengths.

    Returns:
        Unit vectors, in the order of `storybook.concepts()`.
    """
    from tqdm import tqdm

    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    reader = Reader(model, layer, tokenizer.pad_token_id)
    rows = nn.Parameter(differences(reader, stories(seed + 1, STORIES_TO_START, tokenizer)))
    told = stories(seed, -(-steps // STEPS_A_STORY), tokenizer)
    optimizer = torch.optim.Adam([rows], lr=RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    batches = itertools.chain.from_iterable(told.plain.batches(BATCH, seed + again) for again in itertools.count())
    bar = tqdm(itertools.islice(batches, steps), total=steps, unit="step", mininterval=5, desc="writing")
    for some in bar:
        strengths = STRENGTHS[0] + (STRENGTHS[1] - STRENGTHS[0]) * torch.rand(len(some), 1, generator=generator)
        directions = nn.functional.normalize(rows, dim=-1)[told.concept[some].to(rows.device)]
        nats = reader.nats(told.plain, some, strengths.to(rows.device) * directions)
        weights = told.plain.padded(told.weights, some, 0)[told.plain.stress(some)].to(nats.device)
        loss = nats @ weights / weights.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        falling.step()
        bar.set_postfix(loss=round(loss.item(), 4))
    return nn.functional.normalize(rows.detach(), dim=-1).cpu()
