"""Trains a sparse autoencoder on the residual stream of storybook's model, and writes it as SAELens does.

A batch keeps its largest activations, `k` a token on average (Bussmann et al. 2024, "BatchTopK Sparse Autoencoders").
Features that have not fired for long learn from what is left over (Gao et al. 2024, "Scaling and evaluating sparse
autoencoders", A.2).

The first features, one a concept, are anchored. They read: beside reconstructing, their encoders learn to tell the
sentences that express the concept, by the answer key of the training stories. They write: their decoder rows are the
directions that `writing.py` learns. All others are left to themselves.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from steerkit.storybook.train import writing
from steerkit.storybook.train.keyed import NOWHERE, Batch, activations, keyed
from steerkit.storybook.train.log import add_row, keep_until

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

RATE, DECAY = 3e-3, 0.3  # the highest learning rate, and the share of the steps over which it falls
BETAS = (0.0, 0.999)
AUXILIARY = 1 / 32  # weight of the loss of dead features
AUXILIARY_K = 128  # of them that learn at a token
DEAD_AFTER = 100_000  # tokens without firing
THRESHOLD_MEMORY = 0.99
ANCHOR = 1.0  # weight of the loss of anchored features
SHARPNESS, RARE = 20.0, 8.0  # of their logits; and how much more a sentence with the concept counts
CROWD = 2.5  # times the mean number of active features that a token may have
BATCHES_TO_START = 40  # whose differences of means the encoders of anchored features begin at
EVERY = 50  # steps between two rows of the log


@dataclass(frozen=True)
class Shape:
    """What is trained.

    Attributes:
        layer: Whose output is read.
        n_features: How many features there are.
        k: How many are active at a token, on average.
    """

    layer: int
    n_features: int = 4096
    k: float = 22.0


class Autoencoder(nn.Module):
    """A sparse autoencoder with unit decoder rows.

    Args:
        shape: Its size and sparsity.
        anchors: (n_concepts, d_model) decoder rows of the anchored features, of length 1.
        reading: (n_concepts, d_model) where their encoders begin, of length 1.
        mean: (d_model,) of the activations.
        length: Root of their mean square length: inside, activations are divided by it.
    """

    def __init__(
        self,
        shape: Shape,
        anchors: Float[Tensor, "concept d_model"],
        reading: Float[Tensor, "concept d_model"],
        mean: Float[Tensor, " d_model"],
        length: float,
    ) -> None:
        super().__init__()
        self.shape, self.length = shape, length
        rows = nn.functional.normalize(torch.randn(shape.n_features, len(mean)), dim=-1)
        rows[: len(anchors)] = anchors
        self.W_dec = nn.Parameter(rows)
        self.W_enc = nn.Parameter(torch.cat([reading, rows[len(reading) :]]))  # transposed: a row a feature
        self.b_enc = nn.Parameter(torch.zeros(shape.n_features))
        self.b_dec = nn.Parameter(mean / length)
        self.threshold: Tensor
        self.silent: Tensor
        self.anchors: Tensor
        self.register_buffer("anchors", anchors)
        self.register_buffer("threshold", torch.tensor(0.0))
        self.register_buffer("silent", torch.zeros(shape.n_features))  # tokens since it last fired

    @torch.no_grad()
    def active(self, x: Float[Tensor, "token d_model"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Tokens and features of the largest activations of a batch. Moves the threshold towards the smallest of them.

        Args:
            x: Activations of the model, `b_dec` subtracted.
        """
        # In half precision, because they only choose; what is chosen is computed anew.
        p = (x.bfloat16() @ self.W_enc.T.bfloat16()).float() + self.b_enc
        # No token takes more than CROWD times its share, so that not all numbers have to be sorted.
        values, features = p.topk(round(CROWD * self.shape.k), dim=-1)
        lowest = values.flatten().topk(round(self.shape.k * len(x))).values[-1].clamp(min=1e-6)
        self.threshold.lerp_(lowest, 1 - THRESHOLD_MEMORY if self.threshold > 0 else 1.0)
        tokens, places = (values >= lowest).nonzero(as_tuple=True)
        return tokens, features[tokens, places]

    def loss(self, batch: Batch) -> Float[Tensor, ""]:
        """Unexplained share of the variance, of what is left for dead features, and the loss of anchored features."""
        x = batch.x / self.length
        centred = x - self.b_dec
        tokens, features = self.active(centred)
        f = ((centred[tokens] * self.W_enc[features]).sum(-1) + self.b_enc[features]).relu()
        left = centred.index_add(0, tokens, -f[:, None] * self.W_dec[features])
        self.silent += len(x)
        self.silent[features] = 0
        unexplained = left.square().sum() / (x - x.mean(0)).square().sum()
        return (
            unexplained
            + AUXILIARY * self._auxiliary(left.detach(), centred)
            + ANCHOR * self._anchored(centred, batch.sentence, batch.expressed)
        )

    def _anchored(
        self,
        centred: Float[Tensor, "token d_model"],
        sentence: Int[Tensor, " token"],
        expressed: Bool[Tensor, "sentence concept"],
    ) -> Float[Tensor, ""]:
        """How badly each concept's feature, at its largest in a sentence, tells whether the concept is expressed."""
        n = expressed.shape[1]
        inside = sentence != NOWHERE
        p = centred[inside] @ self.W_enc[:n].T + self.b_enc[:n]
        lowest = p.new_full((len(expressed), n), -torch.inf)
        largest = lowest.scatter_reduce(0, sentence[inside, None].expand_as(p), p, "amax")
        logits = SHARPNESS * (largest - 2 * self.threshold)
        rare = torch.tensor(RARE, device=p.device)
        return nn.functional.binary_cross_entropy_with_logits(logits, expressed.float(), pos_weight=rare)

    def _auxiliary(
        self, left: Float[Tensor, "token d_model"], centred: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, ""]:
        dead: Bool[Tensor, " feature"] = self.silent >= DEAD_AFTER
        if not dead.any():
            return left.new_zeros(())
        p = centred.detach() @ self.W_enc[dead].T + self.b_enc[dead]
        values, which = p.topk(min(AUXILIARY_K, p.shape[1]))
        f = torch.zeros_like(p).scatter(1, which, values.relu())
        return (left - f @ self.W_dec[dead]).square().sum() / left.square().sum()

    @torch.no_grad()
    def keep_unit_rows(self) -> None:
        """Bring the decoder's rows back to length 1, and those of the anchored features to where they were."""
        self.W_dec.copy_(nn.functional.normalize(self.W_dec, dim=-1))
        self.W_dec[: len(self.anchors)] = self.anchors

    @torch.no_grad()
    def drop_lengthening(self) -> None:
        """Take out of the decoder's gradient what would only make rows longer."""
        assert self.W_dec.grad is not None
        self.W_dec.grad -= (self.W_dec.grad * self.W_dec).sum(-1, keepdim=True) * self.W_dec

    def tensors(self) -> dict[str, Tensor]:
        """The weights as SAELens names them, for activations as the model has them."""
        return {
            "W_enc": self.W_enc.detach().T.half().contiguous(),
            "W_dec": self.W_dec.detach().half().contiguous(),
            "b_enc": self.b_enc.detach() * self.length,
            "b_dec": self.b_dec.detach() * self.length,
            "threshold": (self.threshold * self.length).expand(self.shape.n_features).contiguous(),
        }


def cut_after(model: LlamaForCausalLM, layer: int) -> nn.Module:
    """The model's layers up to one, whose output it puts out. The model itself is cut."""
    body = model.model
    body.layers = body.layers[: layer + 1]
    body.norm = nn.Identity()
    return body


def differences(batches: Iterable[Batch]) -> Float[Tensor, "concept d_model"]:
    """What the tokens of sentences with a concept have that all others have not, on average, to unit length."""
    sums: Tensor | float = 0.0
    counts: Tensor | float = 0.0
    for x, sentence, expressed in batches:
        inside = sentence != NOWHERE
        with_it = expressed[sentence[inside]].float()
        with_and_without = torch.stack([with_it, 1 - with_it])
        sums = sums + with_and_without.transpose(1, 2) @ x[inside]
        counts = counts + with_and_without.sum(1)
    means = sums / counts.clamp(min=1)[..., None]
    return nn.functional.normalize(means[0] - means[1], dim=-1)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    shape: Shape,
    *,
    steps: int,
    stories: int = 20_000,
    writing_steps: int = 400,
    batch: int = 2048,
    seed: int = 0,
    log: Path | None = None,
) -> Autoencoder:
    """Train an autoencoder.

    Args:
        model: The model; it is cut after the layer that is read.
        tokenizer: Its tokenizer.
        shape: What is trained.
        steps: How many batches to learn from.
        stories: How many stories the model reads meanwhile.
        writing_steps: How many batches the directions that write are learned from.
        batch: Tokens in a batch.
        seed: Of the weights and of the order of the batches.
        log: A CSV file for the course of training.

    Returns:
        The autoencoder.
    """
    from tqdm import tqdm

    if log:
        keep_until(log, 0)
    torch.manual_seed(seed)
    anchors = writing.learn(model, tokenizer, shape.layer, steps=writing_steps, seed=seed)
    body = cut_after(model, shape.layer)
    source = activations(body, keyed(seed + 1, stories, tokenizer), tokenizer.all_special_ids, batch, seed)
    first = next(source).x
    length = (first - first.mean(0)).square().sum(-1).mean().sqrt().item()
    reading = differences(itertools.islice(source, BATCHES_TO_START)).cpu()
    learned = Autoencoder(shape, anchors, reading, first.mean(0).cpu(), length).to(first.device)
    optimizer = torch.optim.Adam(learned.parameters(), lr=RATE, betas=BETAS, fused=True)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (steps - step) / (DECAY * steps)))
    bar = tqdm(itertools.islice(source, steps), total=steps, unit="step", mininterval=5)
    for step, found in enumerate(bar, 1):
        loss = learned.loss(found)
        loss.backward()
        learned.drop_lengthening()
        nn.utils.clip_grad_norm_(learned.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        falling.step()
        learned.keep_unit_rows()
        if step % EVERY == 0 or step == steps:
            dead = (learned.silent >= DEAD_AFTER).float().mean().item()
            bar.set_postfix(loss=round(loss.item(), 4), dead=round(dead, 4))
            if log:
                add_row(log, {"step": step, "loss": round(loss.item(), 4), "dead": round(dead, 4)})
    return learned.eval()


def save(learned: Autoencoder, folder: Path, model: str) -> None:
    """Write `cfg.json` and `sae_weights.safetensors`, as SAELens does.

    Args:
        learned: The autoencoder.
        folder: Where they go.
        model: Name of the model that it belongs to.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = learned.tensors()
    d_model, n_features = tensors["W_enc"].shape
    config = {
        "architecture": "jumprelu",
        "d_in": d_model,
        "d_sae": n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": model,
            "hook_name": f"blocks.{learned.shape.layer}.hook_resid_post",
            "prepend_bos": True,
            "exclude_special_tokens": True,
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: tensor.cpu() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
