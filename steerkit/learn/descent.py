"""Learning directions by gradient descent: the model stays as it is, and one direction a concept is changed.

A step takes a batch of each concept's texts. Concepts share forward passes and nothing else: the loss, the clipping of
the gradient and the optimiser's state are each concept's own, so that one learned beside a thousand others is the same
as one learned alone.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from tqdm.auto import tqdm

from steerkit.batching import in_batches
from steerkit.errors import EngineError, PromptError, SettingError
from steerkit.learn.directions import digest
from steerkit.sites import Site
from steerkit.vectors.provenance import Provenance
from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

    from steerkit.learn.examples import Examples
    from steerkit.model import Model
    from steerkit.tokens import Encoded

EVERY = 20  # steps between two checkpoints
LAST = 10  # steps whose mean loss is told
TOLD = 8  # concepts whose first text tells one model from another


@dataclass(frozen=True)
class Settings:
    """How to learn.

    Attributes:
        epochs: How often each text is learned from.
        batch_size: Texts of a concept in a step.
        rate: The learning rate, which falls to 0 in a straight line.
        seed: Of the order of the texts.

    Raises:
        SettingError: One of them is out of range.
    """

    epochs: int
    batch_size: int
    rate: float
    seed: int

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.rate > 0:
            raise SettingError(
                f"epochs={self.epochs}, batch_size={self.batch_size}, rate={self.rate}: all three must be above 0."
            )


class Rule(NamedTuple):
    """What is learned.

    Attributes:
        change: How directions change an activation. From the activation (rows, tokens, width), the tokens to change
            (rows, tokens) and a direction a row (rows, width), to the changed activation and a penalty a row.
        penalty: Weight of the penalty at the end; it rises from 0 in a straight line.
        unit: Whether directions have length 1, restored after each step.
        longest: Length to which a direction's gradient is clipped.
    """

    change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    penalty: float = 0.0
    unit: bool = False
    longest: float = math.inf


class Row(NamedTuple):
    """A text in a step.

    Attributes:
        text: The text.
        concept: Whose it is.
        nats: Weight of its nats in the loss, which has their mean over the tokens of the concept's batch.
        penalty: Weight of its penalty, of which it has the mean over the texts of the concept's batch.
    """

    text: Encoded
    concept: int
    nats: float
    penalty: float


class Descent:
    """Directions on their way.

    Args:
        model: The model.
        site: Where they are learned.
        texts: The texts of each concept.
        rule: What is learned.
        settings: How.
        start: (n_concepts, width) what to begin with.

    Raises:
        PromptError: A text has no token that something predicts.

    Attributes:
        start: What it began with, of length 1 if that is the rule.
        step: How many steps have been taken.
        steps: How many there are.
        losses: The loss of each step taken, as a mean over its concepts.
    """

    def __init__(
        self,
        model: Model,
        site: str | Site,
        texts: Sequence[Sequence[Encoded]],
        rule: Rule,
        settings: Settings,
        start: Float[Tensor, "n_concepts width"],
    ) -> None:
        for text in (text for own in texts for text in own):
            if len(text.prompt) <= max(text.start, 1):
                raise PromptError(f"{text.prompt.text!r} has no token that something predicts. Give a longer text.")
        self.model, self.site, self.texts, self.rule, self.settings = model, site, texts, rule, settings
        self.ends = [settings.epochs * math.ceil(len(own) / settings.batch_size) for own in texts]
        self.step, self.steps = 0, max(self.ends)
        self.losses: list[float] = []
        self.start = torch.nn.functional.normalize(start.float(), dim=-1) if rule.unit else start
        self.rows = [torch.nn.Parameter(row.clone()) for row in self.start.to(model.device)]
        self.optimizer = torch.optim.AdamW([{"params": [row]} for row in self.rows], settings.rate, weight_decay=0.0)

    def run(self, checkpoint: str | os.PathLike[str] | None = None) -> Float[Tensor, "n_concepts width"]:
        """Learn to the end, or until an interrupt, which keeps what has been learned so far.

        Args:
            checkpoint: A file to write now and then, and to go on from where there is one.

        Returns:
            The directions, on the CPU.

        Raises:
            SettingError: The checkpoint is of another training.
            EngineError: The memory does not suffice for a text, or the loss is no number.
        """
        path = None if checkpoint is None else Path(checkpoint)
        if path is not None and path.exists():
            self._resume(path)
        bar = tqdm(total=self.steps, initial=self.step, desc="Learning", unit="step", delay=2)
        try:
            with bar:
                for rows in islice(self._schedule(), self.step, None):
                    self._learn(rows)
                    bar.set_postfix(loss=f"{self.losses[-1]:.3f}", refresh=False)
                    bar.update()
                    if path is not None and (self.step % EVERY == 0 or self.step == self.steps):
                        self._save(path)
        except KeyboardInterrupt:
            if path is not None:
                self._save(path)
            warnings.warn(
                f"Interrupted after {self.step} of {self.steps} steps; what was learned so far is kept.", stacklevel=3
            )
        learned = torch.stack([row.detach().cpu() for row in self.rows])
        unmoved = torch.isclose(learned, self.start).all(-1).nonzero()[:, 0].tolist()
        if unmoved and self.step:
            warnings.warn(
                f"{len(unmoved)} of {len(learned)} directions ({', '.join(map(str, unmoved[:5]))}) read nothing in any "
                "text at the beginning, so they were not changed. Give start=, such as a difference of means.",
                stacklevel=3,
            )
        return learned

    def _schedule(self) -> Iterator[list[Row]]:
        """The texts of every step."""
        batches = [self._batches(concept) for concept in range(len(self.texts))]
        for step in range(self.steps):
            rows: list[Row] = []
            for concept, own in enumerate(batches):
                batch = [self.texts[concept][i] for i in next(own, ())]
                tokens = sum(len(text.prompt) - max(text.start, 1) for text in batch)
                rising = self.rule.penalty * step / self.ends[concept]
                rows += [Row(text, concept, 1 / tokens, rising / len(batch)) for text in batch]
            yield rows

    def _batches(self, concept: int) -> Iterator[list[int]]:
        """The batches of one concept: all its texts in one order, then in another."""
        loader = torch.utils.data.DataLoader(
            range(len(self.texts[concept])),  # type: ignore[arg-type]  # has a length and items, which is all it takes
            batch_size=self.settings.batch_size,
            shuffle=True,
            generator=torch.Generator().manual_seed(self.settings.seed),
        )
        for _ in range(self.settings.epochs):
            yield from (batch.tolist() for batch in loader)

    def _learn(self, rows: Sequence[Row]) -> None:
        """Take one step."""
        total = 0.0
        concepts = sorted({row.concept for row in rows})
        for concept in concepts:
            self.rows[concept].grad = torch.zeros_like(self.rows[concept])
        parts = in_batches([len(row.text.prompt) for row in rows], lambda part: self._gradient([rows[i] for i in part]))
        for part, (loss, gradient) in parts:
            total += loss
            for i, own in zip(part, gradient, strict=True):
                self.rows[rows[i].concept].grad += own
        for concept in concepts:
            self._prepare(self.rows[concept])
            self.optimizer.param_groups[concept]["lr"] = self.settings.rate * (1 - self.step / self.ends[concept])
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.rule.unit:
            with torch.no_grad():
                for concept in concepts:
                    self.rows[concept].div_(self.rows[concept].norm())
        self.step += 1
        self.losses.append(total / len(concepts))

    def _gradient(self, rows: Sequence[Row]) -> tuple[float, Float[Tensor, "rows width"]]:
        """What some texts add to the loss, and its gradient by the direction of each."""
        own = torch.stack([self.rows[row.concept] for row in rows]).detach().requires_grad_()
        penalties: list[Tensor] = []

        def change(x: Float[Tensor, "rows tokens width"], plain: Bool[Tensor, "rows tokens"]) -> Tensor:
            changed, penalty = self.rule.change(x, plain, own.to(x.device))
            penalties.append(penalty)
            return changed

        nats = self.model.nats([row.text for row in rows], self.site, change)
        weights = torch.tensor([[row.nats, row.penalty] for row in rows], device=nats.device)
        loss = (weights * torch.stack([nats, penalties[0].to(nats.device)], dim=1)).sum()
        if not loss.isfinite():
            raise EngineError(f"The loss is {loss.item()} at step {self.step}. Lower the learning rate.")
        return loss.item(), torch.autograd.grad(loss, own)[0]

    def _prepare(self, row: torch.nn.Parameter) -> None:
        """Clip a gradient, and take out of it what would only make its direction longer."""
        torch.nn.utils.clip_grad_norm_([row], self.rule.longest)
        if self.rule.unit:
            row.grad -= (row.grad @ row.detach()) * row.detach()

    @cached_property
    def _identity(self) -> str:
        """What a checkpoint belongs to."""
        ids = [[(text.prompt.ids, text.start) for text in own] for own in self.texts]
        told = repr((ids, self.model.name, str(self.site), self.settings, self.rule[1:]))
        return hashlib.sha256(told.encode()).hexdigest()

    @cached_property
    def _begun(self) -> dict[str, Tensor]:
        """What a checkpoint also belongs to, but for rounding: a model that was trained further keeps its name."""
        few = [own[0] for own in self.texts[:TOLD]]
        nats = [self.model.nats([text], self.site, lambda x, _: x).detach().cpu() for text in few]
        return {"start": self.start.cpu(), "nats": torch.cat(nats)}

    def _save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        rows = torch.stack([row.detach() for row in self.rows])
        state = {"of": self._identity, "step": self.step, "losses": self.losses, "rows": rows, "begun": self._begun}
        fresh = path.with_name(f"{path.name}.new")
        torch.save({**state, "optimizer": self.optimizer.state_dict()}, fresh)
        fresh.replace(path)

    def _resume(self, path: Path) -> None:
        state = torch.load(path, map_location=self.model.device, weights_only=True)
        if state["of"] != self._identity or not all(
            torch.allclose(state["begun"][name], value, rtol=0.01, atol=1e-4) for name, value in self._begun.items()
        ):
            raise SettingError(
                f"'{path}' is the checkpoint of another training (texts, model, site, start or settings). "
                "Give another file."
            )
        for row, learned in zip(self.rows, state["rows"], strict=True):
            row.data.copy_(learned)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], state["losses"]


def described(
    model: Model, examples: Examples, descent: Descent, direction: Float[Tensor, " width"], method: str, label: str
) -> Vector:
    """A learned direction as a vector, with the offset for reading and how it was made.

    Args:
        model: The model.
        examples: The texts, as tokens.
        descent: The training, as it ended.
        direction: What it learned.
        method: Name for the provenance.
        label: Name of the vector.
    """
    site = Site.parse(descent.site)
    towards, away = (
        model.gather(side, [site], tokens="every").activations[site].mean(0)
        for side in (examples.positives, examples.negatives)
    )
    made = Provenance(
        method=method if descent.step == descent.steps else f"{method}, {descent.step} of {descent.steps} steps",
        model=model.name,
        revision=model.commit or model.revision,
        token="every",
        positives=len(examples.positives),
        negatives=len(examples.negatives),
        data=digest(examples),
        seed=descent.settings.seed,
        quality={"loss": {str(site): sum(descent.losses[-LAST:]) / max(len(descent.losses[-LAST:]), 1)}},
    )
    return Vector({site: direction}, label, {site: (direction @ (towards + away) / 2).item()}, made)
