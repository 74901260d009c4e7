"""Directions that write: added to the residual stream, each turns stories to its concept.

Steering vectors learned by gradient (Subramani et al. 2022, "Extracting latent steering vectors from pretrained
language models"), one a concept, all in one run: stories that come to a concept are to become likely when its
direction is added at every token after their first sentence, in a length that varies from story to story. The words in
which a story comes to the concept weigh more than others; those after it see to it that the text stays good.
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

from steerkit.storybook.language.stories import Story, concepts, story
from steerkit.storybook.train.batches import IGNORED, Tokens
from steerkit.storybook.train.documents import BOS, END, Document, taken_up

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

RATE = 0.02
STRENGTHS = 0.15, 0.45  # shares of each token's norm that are added
STRESS = 12.0  # how much more the words weigh in which a story comes to its concept
BATCH = 4096  # tokens
STEPS_A_STORY = 6  # steps for each story of a concept: every story is read once or twice


class Told(NamedTuple):
    """Stories that come to a concept after their first sentence.

    Attributes:
        tokens: The stories; stressed are the words in which they come to it.
        concept: (n_stories,) which concept.
        later: (n_tokens,) what stands after the first sentence.
    """

    tokens: Tokens
    concept: Int[Tensor, " story"]
    later: np.ndarray


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
    texts = [f"{BOS}{one.text}{END}" for _, one in found]
    coming = [taken_up(one, len(BOS), [name]) for name, one in found]
    begun = [((0, len(BOS) + one.sentences[0].end),) for _, one in found]
    tokens, first = (Tokens.of(map(Document, texts, spans), tokenizer) for spans in (coming, begun))
    return Told(tokens, torch.tensor([concepts().index(name) for name, _ in found]), ~first.stressed)


def _later(name: str, told: Story) -> bool:
    return name not in told.sentences[0].concepts


@contextmanager
def _added(layer: nn.Module, what: Float[Tensor, "row position d_model"]) -> Iterator[None]:
    """Add to a layer's output, in multiples of the norm of each token."""
    handle = layer.register_forward_hook(lambda _, __, x: x + x.norm(dim=-1, keepdim=True) * what)
    try:
        yield
    finally:
        handle.remove()


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
    told, device, pad = stories(seed, -(-steps // STEPS_A_STORY), tokenizer), model.device, tokenizer.pad_token_id
    # So short that the first steps decide where it points: what does nothing to the text stays small.
    rows = nn.Parameter(1e-3 * torch.randn(len(concepts()), model.config.hidden_size, generator=generator).to(device))
    optimizer = torch.optim.Adam([rows], lr=RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    model.requires_grad_(False)
    batches = itertools.chain.from_iterable(told.tokens.batches(BATCH, seed + again) for again in itertools.count())
    bar = tqdm(itertools.islice(batches, steps), total=steps, unit="step", mininterval=5, desc="writing")
    for documents in bar:
        ids = told.tokens.rows(documents, pad).to(device)
        later, coming = (told.tokens.padded(x, documents, False).to(device) for x in (told.later, told.tokens.stressed))
        strengths = STRENGTHS[0] + (STRENGTHS[1] - STRENGTHS[0]) * torch.rand(len(documents), generator=generator)
        directions = nn.functional.normalize(rows, dim=-1)[told.concept[documents].to(device)]
        directions = directions * strengths.to(device)[:, None]
        with _added(model.model.layers[layer], directions[:, None] * later[..., None]):
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1)
        wanted = ids.masked_fill(~later | (ids == pad), IGNORED)[:, 1:].flatten()
        nats = nn.functional.cross_entropy(logits, wanted, reduction="none", ignore_index=IGNORED)
        weights = (wanted != IGNORED).float() * torch.where(coming[:, 1:].flatten(), STRESS, 1.0)
        loss = nats @ weights / weights.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        falling.step()
        bar.set_postfix(loss=round(loss.item(), 4))
    return nn.functional.normalize(rows.detach(), dim=-1).cpu()
