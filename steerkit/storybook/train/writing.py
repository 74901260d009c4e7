"""Directions that write: added to the residual stream, each turns stories to its concept.

A request for a concept turns a story to it already. Each direction learns to do to a story without a request what the
request does: the model's predictions with the direction are to be those of the same model after the request (context
distillation, Snell et al. 2022, "Learning by distilling context", into a steering vector, Subramani et al. 2022,
"Extracting latent steering vectors from pretrained language models"). It begins at the mean difference that requests
make at its layer. All directions learn in one run.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from steerkit.storybook.language.instructions import request
from steerkit.storybook.language.stories import Story, concepts, story
from steerkit.storybook.train.batches import Tokens
from steerkit.storybook.train.documents import ASSISTANT, BOS, END, USER, Document

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

RATE = 0.003
STRENGTHS = 0.3, 0.5  # shares of each token's norm that are added
BATCH = 4096  # tokens
STORIES_TO_START = 12  # of a concept, whose mean difference a direction begins at
STEPS_A_STORY = 6  # steps for each story of a concept: every story is read once or twice


class Told(NamedTuple):
    """Stories that come to a concept after their first sentence, with and without a request for it before them.

    Attributes:
        asked: The stories after their requests; stressed is what stands after the first sentence.
        plain: The same stories by themselves; stressed is the same.
        concept: (n_stories,) which concept.
    """

    asked: Tokens
    plain: Tokens
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
    asked = [_document(f"{BOS}{USER}{request(rng, [name])}{END}{ASSISTANT}", one) for name, one in found]
    plain = [_document(BOS, one) for _, one in found]
    concept = torch.tensor([concepts().index(name) for name, _ in found])
    return Told(Tokens.of(asked, tokenizer), Tokens.of(plain, tokenizer), concept)


def _later(name: str, told: Story) -> bool:
    return name not in told.sentences[0].concepts


def _document(before: str, told: Story) -> Document:
    text = f"{before}{told.text}{END}"
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

    def log_probs(
        self, tokens: Tokens, documents: list[int], added: Float[Tensor, "story d_model"] | None = None
    ) -> Float[Tensor, "token vocabulary"]:
        """How likely every token is at the places of the stressed ones, row by row.

        Args:
            tokens: The stories.
            documents: Which of them are read.
            added: To the stressed tokens of each, in multiples of the norm of each token.
        """
        rows, stressed = self._laid_out(tokens, documents)
        with nullcontext() if added is None else self._added(added[:, None] * stressed[..., None]):
            hidden = self.model.model(input_ids=rows, use_cache=False).last_hidden_state
        return self.model.lm_head(hidden[:, :-1][stressed[:, 1:]]).log_softmax(-1)

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
        with torch.no_grad():
            aim = reader.log_probs(told.asked, some)
        found = reader.log_probs(told.plain, some, strengths.to(rows.device) * directions)
        loss = nn.functional.kl_div(found, aim, log_target=True, reduction="batchmean")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        falling.step()
        bar.set_postfix(loss=round(loss.item(), 4))
    return nn.functional.normalize(rows.detach(), dim=-1).cpu()
