"""Trains storybook's model.

A small Llama. Its matrices learn by Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural
networks"), the rest by AdamW. The learning rate warms up, stays, and falls at the end (Hu et al. 2024, "MiniCPM"), so
that a run can be made longer or shorter while it goes on.
"""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from steerkit.errors import SettingError
from steerkit.storybook.train.batches import IGNORED, Tokens, labels
from steerkit.storybook.train.documents import NATURAL
from steerkit.storybook.train.followers import Followers
from steerkit.storybook.train.log import add_row, keep_until

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

LAYERS, WIDTH, HEADS, HIDDEN, CONTEXT = 6, 192, 6, 512, 512
MATRIX_RATE, RATE = 0.02, 3e-3  # of Muon and of AdamW, at their highest
WEIGHT_DECAY = 0.01
WARMUP, DECAY = 0.02, 0.4  # shares of all steps
# How much more a token weighs in the end that matters most, and at first one that is told again; and the share of all
# steps over which one weight grows and the other falls. A language comes before its use: so a model copies names early,
# and heeds all of a request after a third of the steps.
STRESS, RECALL, WEIGHING = 8.0, 4.0, 0.4
# At the usual .02 names lie so close together that they are never told apart, and so never copied.
EMBEDDING_DEVIATION = 0.1
SHORTER = 32  # Muon makes the residual stream long; divided by this, a feature's strength of 8 is a clear push
CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
CHECK_EVERY = 100  # steps between two looks at the held-out loss, and between checkpoints


def build(tokenizer: PreTrainedTokenizerBase, seed: int, layers: int = LAYERS, width: int = WIDTH) -> LlamaForCausalLM:
    """A model that has learned nothing yet.

    Args:
        tokenizer: Its tokenizer.
        seed: Of its weights.
        layers: How many it has.
        width: `d_model`.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=HEADS,
            intermediate_size=HIDDEN * width // WIDTH,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    nn.init.normal_(model.get_input_embeddings().weight, std=EMBEDDING_DEVIATION)
    return model


def stress(step: int, steps: int) -> float:
    """How much a stressed token weighs at a step; others weigh 1.

    Example:
        >>> [round(stress(step, 1000), 1) for step in (0, 200, 400, 999)]
        [1.0, 2.8, 8.0, 8.0]
    """
    return STRESS ** min(1.0, step / (WEIGHING * steps))


def recall(step: int, steps: int) -> float:
    """How much a token weighs at a step that is told again.

    Example:
        >>> [round(recall(step, 1000), 1) for step in (0, 200, 400, 999)]
        [4.0, 2.0, 1.0, 1.0]
    """
    return RECALL ** max(0.0, 1 - step / (WEIGHING * steps))


def rate(step: int, steps: int) -> float:
    """The learning rate of a step as a share of the highest: up, level, and down to nothing.

    Example:
        >>> [round(rate(step, 1000), 2) for step in (0, 19, 500, 749, 875, 999)]
        [0.05, 1.0, 1.0, 0.63, 0.31, 0.0]
    """
    return min(1.0, (step + 1) / max(1.0, WARMUP * steps), (steps - step) / (DECAY * steps))


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        steps: How many batches to learn from.
        batch: Tokens in a batch.
        seed: Of the weights and of the order of the batches.
        every: Steps between two looks at the held-out loss, each followed by a checkpoint.
        until: A step to stop after; None for the last. The next run goes on.
        compiled: Whether the steps are compiled, which takes a minute or two and a C++ compiler, and makes each of them
            two fifths shorter on a processor.
        slips: How much weight, beside the nats, the probability has of tokens that never follow the two before them in
            the stories: see `followers`.
    """

    steps: int
    batch: int = 4096
    seed: int = 0
    every: int = CHECK_EVERY
    until: int | None = None
    compiled: bool = False
    slips: float = 0.0


class Training:
    """A model on its way, and all that is needed to go on from where it stands."""

    def __init__(
        self,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerBase,
        settings: Settings,
        followers: Followers | None = None,
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).train()
        self.model.set_attn_implementation("eager")  # the fastest for rows as short as stories, on a processor
        self.pad = tokenizer.pad_token_id
        # Markers are never told, so that a story can begin from nothing.
        self.given = torch.tensor([i for i in tokenizer.all_special_ids if i != tokenizer.eos_token_id])
        self.settings = settings
        self.followers = followers
        self.step = 0
        self._learned_from = torch.compile(self._losses, dynamic=True) if settings.compiled else self._losses
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        kept = {id(p) for p in matrices}
        others = [p for p in model.parameters() if id(p) not in kept]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=WEIGHT_DECAY),
            torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
        ]
        self._rates = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]

    def save(self, path: Path, run: dict[str, int]) -> None:
        """Write a checkpoint, whole or not at all; `run` says which training it belongs to."""
        state = {"model": self.model.state_dict(), "optimizers": [o.state_dict() for o in self.optimizers]}
        fresh = path.with_suffix(".new")
        torch.save({**state, "step": self.step, "run": run}, fresh)
        fresh.replace(path)

    def resume(self, path: Path, run: dict[str, int]) -> None:
        """Go on from a checkpoint.

        Raises:
            SettingError: It belongs to another training.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state.get("run") != run:
            raise SettingError(
                f"{str(path)!r} is of a training with {state.get('run')}, not with {run}. Give the same data and "
                "settings, or delete it to begin anew."
            )
        self.model.load_state_dict(state["model"])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        self.step = state["step"]

    def loss(self, tokens: Tokens, documents: list[int]) -> Tensor:
        """Loss a token of a batch, stressed tokens and those told again weighing more while the model learns."""
        total, weight = self._total(tokens, documents)
        return total / weight

    def _total(self, tokens: Tokens, documents: list[int]) -> tuple[Tensor, Tensor]:
        """Loss of a batch, and how much its tokens weigh together."""
        rows = tokens.rows(documents, self.pad)
        wanted = labels(rows, self.given).to(self.device)[:, 1:].flatten()
        weights = (wanted != IGNORED).float()
        if not self.model.training:
            return self._losses(rows.to(self.device), wanted, None) @ weights, weights.sum()
        for marked, weight in ((tokens.stress(documents), stress), (tokens.recall(documents), recall)):
            weights[marked[:, 1:].flatten().to(self.device)] *= weight(self.step, self.settings.steps)
        never = self.followers and self.followers.never(rows)[:, :-1].flatten(0, 1).to(self.device)
        return self._learned_from(rows.to(self.device), wanted, never) @ weights, weights.sum()

    def _losses(self, rows: Tensor, wanted: Tensor, never: Tensor | None) -> Tensor:
        """What is learned from: nats of every token that is wanted, of the rows laid end to end, and slips there."""
        logits = self._logits(rows)
        nats = nn.functional.cross_entropy(logits, wanted, reduction="none", ignore_index=IGNORED)
        return nats if never is None else nats + self.settings.slips * (logits.softmax(-1) * never).sum(-1)

    def _logits(self, rows: Tensor) -> Tensor:
        """What is predicted for every token but the first of each row (n_tokens, vocabulary)."""
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.model(input_ids=rows, use_cache=False).logits[:, :-1].flatten(0, 1).float()

    def learn(self, tokens: Tokens, documents: list[int]) -> float:
        """Take one step."""
        share = rate(self.step, self.settings.steps)
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, highest in zip(groups, self._rates, strict=True):
            group["lr"] = highest * share
        loss = self.loss(tokens, documents)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def held_out_loss(self, tokens: Tokens) -> float:
        """Nats a token of documents that are never learned from."""
        self.model.eval()
        found = [torch.stack(self._total(tokens, documents)) for documents in tokens.batches(self.settings.batch, 0)]
        self.model.train()
        total, weight = torch.stack(found).sum(0).tolist()
        return total / weight


def schedule(tokens: Tokens, settings: Settings) -> Iterator[list[int]]:
    """The batches of a run: all documents in one order, then in another."""
    for again in itertools.count():
        yield from tokens.batches(settings.batch, settings.seed + 1000 * again)


def train(
    tokenizer: PreTrainedTokenizerBase,
    tokens: Tokens,
    held_out: Tokens,
    folder: Path,
    settings: Settings,
    **shape: int,
) -> LlamaForCausalLM:
    """Train a model, or go on training it.

    A run that stopped goes on from the checkpoint in its folder, and learns from there as if it had not stopped. With
    another number of steps it is longer or shorter than planned.

    Args:
        tokenizer: Its tokenizer.
        tokens: What to learn from.
        held_out: Stories to look at on the way, never learned from.
        folder: Where the checkpoint and the log go.
        settings: How to train.
        shape: `layers` and `width`, where they are not the usual ones.

    Returns:
        The model.

    Raises:
        SettingError: The folder has a checkpoint of another training.
    """
    from tqdm import tqdm

    folder.mkdir(parents=True, exist_ok=True)
    other = tokenizer.convert_tokens_to_ids(NATURAL)
    followers = Followers(tokens, len(tokenizer), other) if settings.slips else None
    training = Training(build(tokenizer, settings.seed, **shape), tokenizer, settings, followers)
    checkpoint, last = folder / CHECKPOINT, min(settings.until or settings.steps, settings.steps)
    run = {"seed": settings.seed, "batch": settings.batch, "checksum": zlib.crc32(tokens.ids.tobytes())}
    if checkpoint.exists():
        training.resume(checkpoint, run)
    log = folder / LOG
    keep_until(log, training.step)
    batches = itertools.islice(schedule(tokens, settings), training.step, last)
    bar = tqdm(batches, total=settings.steps, initial=training.step, unit="step", mininterval=5)
    losses: list[float] = []
    start = time.perf_counter()
    for documents in bar:
        losses.append(training.learn(tokens, documents))
        if training.step % settings.every and training.step != last:
            continue
        mean, seconds = sum(losses) / len(losses), time.perf_counter() - start
        row = {
            "step": training.step,
            "loss": round(mean, 4),
            "held_out_loss": round(training.held_out_loss(held_out), 4),
            "rate": round(rate(training.step - 1, settings.steps), 4),
            "tokens_per_second": round(len(losses) * settings.batch / seconds),
        }
        bar.set_postfix(loss=row["loss"], held_out=row["held_out_loss"])
        add_row(log, row)
        training.save(checkpoint, run)
        losses, start = [], time.perf_counter()
    return training.model.eval()


@torch.no_grad()
def shorten(model: LlamaForCausalLM, factor: float) -> None:
    """Divide the residual stream by a factor. No prediction changes, because norms stand wherever it is read.

    With a power of two nothing is rounded either.
    """
    model.get_input_embeddings().weight.div_(factor)  # tied to the output's, which the last norm makes up for
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.div_(factor)
        layer.mlp.down_proj.weight.div_(factor)
    model.model.norm.weight.mul_(factor)
    model.config.rms_norm_eps /= factor**2
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = model.config.rms_norm_eps


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write Hugging Face files, the weights in 16 bits and the residual stream divided by `SHORTER`."""
    from transformers import GenerationConfig

    shorten(model, SHORTER)
    small = model.to(torch.bfloat16)
    small.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.8,
        max_new_tokens=300,
    )
    small.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
