"""Forward passes: generating and scoring, as functions that run wherever the model is.

They take the nnsight model, move tokens through it, and tell the program's side (`Live`) what each pass holds. They
know nothing of edits.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from steerkit.engines.sampling import Sampling, choose
from steerkit.scope import Layout

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from steerkit.engines.live import Live


# What `score` leaves in the record.
SCORED = ("logprobs", "kl", "top", "top_logprobs")


def generate(
    lm: Any,
    live: Live,
    input_ids: Int[Tensor, "rows tokens"],
    layout: Layout,
    sampling: Sampling,
    **_: object,
) -> None:
    """Generate new tokens for each row and leave them in `live.record`.

    The layout has room for the new tokens. The record gets `ids` and `logprobs` (a list a row; log-probabilities at
    temperature 1), `coefficients` (one row of numbers a new token, from the pass that the token is fed back in), and
    `stopped` (why each row ended).
    """
    with torch.inference_mode():  # as a decorator it would not travel: torch's own wrapper would
        rows = len(input_ids)
        ids: list[list[int]] = [[] for _ in range(rows)]
        logprobs: list[list[float]] = [[] for _ in range(rows)]
        stopped = ["length"] * rows
        alive = [True] * rows
        live.record.update(ids=ids, logprobs=logprobs, stopped=stopped, coefficients=[])
        text = _Text(lm._module, live, input_ids, layout, sampling)
        for position in range(sampling.max_new_tokens):
            logits = text.step()
            if position:
                live.record["coefficients"].append(live.take())
                for row in _act(live, position - 1, ids):
                    if alive[row]:
                        stopped[row], alive[row] = "condition", False
            chosen = choose(logits, sampling, position)
            scores = logits.gather(-1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
            text.append(chosen)
            if not any(alive):
                break
            for row, (index, score) in enumerate(zip(chosen.tolist(), scores.tolist(), strict=True)):
                if not alive[row]:
                    continue
                if score != score:  # NaN: the steered activations left the range of the model's numbers
                    stopped[row], alive[row] = "overflow", False
                    continue
                ids[row].append(index)
                logprobs[row].append(score)
                if index in sampling.end:
                    stopped[row], alive[row] = "end", False
            if live.emit is not None and not live.emit(position):
                stopped[:] = ["cancelled" if on else why for on, why in zip(alive, stopped, strict=True)]
                break
            if not any(alive):
                break
        live.last = True
        text.step()  # reads the last token, which nothing is predicted from
        live.record["coefficients"].append(live.take())
        _act(live, len(live.record["coefficients"]) - 1, ids)


def _act(live: Live, position: int, ids: list[list[int]]) -> list[int]:
    """Do what conditions ask for at the new token that the last pass read; returns the rows whose text is to end."""
    ended = []
    if live.ran.actions:
        for row, fired in enumerate(live.fired().tolist()):
            for (_, call), on in zip(live.ran.actions, fired, strict=True):
                if on and call is None:
                    ended.append(row)
                elif on and position < len(ids[row]):
                    call.function(row, position)
    return ended


class _Text:
    """A batch of texts that grow by one token a step."""

    def __init__(self, model: torch.nn.Module, live: Live, ids: Tensor, layout: Layout, sampling: Sampling) -> None:
        from transformers import DynamicCache

        self.model, self.live = model, live
        self.cache = DynamicCache(config=model.config) if sampling.use_cache else None
        rows, n_prompt = ids.shape
        self.layout = layout.to(ids.device)
        self.ids = torch.zeros(rows, layout.real.shape[1], dtype=torch.long, device=ids.device)
        self.ids[:, :n_prompt] = ids
        self.padded = not bool(layout.real.all())
        self.positions = (self.layout.real.cumsum(-1) - 1).clamp_min(0)
        self.done, self.end = 0, n_prompt

    def append(self, chosen: Tensor) -> None:
        self.ids[:, self.end] = chosen
        self.end += 1

    def step(self) -> Tensor:
        """Run over what has not been run yet; returns the last position's logits in float32."""
        start = self.done if self.cache is not None else 0
        now = slice(start, self.end)
        self.live.begin(self.ids[:, : self.end], start, self.layout)
        output = self.model(
            input_ids=self.ids[:, now],
            attention_mask=self.layout.real[:, : self.end].long() if self.padded else None,
            position_ids=self.positions[:, now],
            past_key_values=self.cache,
            use_cache=self.cache is not None,
            logits_to_keep=1,
        )
        self.done = self.end
        return output.logits[:, -1].float()


def score(
    lm: Any,
    live: Live,
    input_ids: Int[Tensor, "rows tokens"],
    layout: Layout,
    last: int,
    pairs: bool,
    top: int = 0,
    **_: object,
) -> None:
    """Score the last tokens of given texts and leave the figures in `live.record`.

    The record gets `logprobs` (rows, last), of each of the last `last` tokens given all before it, and with `pairs`
    also `kl` (rows // 2, last): KL(row 2i ‖ row 2i + 1) in nats over the vocabulary where each was predicted. With
    `top` it gets `top` (rows // 2, last, 2 * top), ids of the likeliest tokens of row 2i and then of row 2i + 1, and
    `top_logprobs` (rows // 2, last, 2, 2 * top), their log-probabilities by row 2i and by row 2i + 1.
    """
    with torch.inference_mode():  # as a decorator it would not travel: torch's own wrapper would
        n_tokens = input_ids.shape[1]
        layout = layout.to(input_ids.device)
        logprobs, kl, top_ids, top_logprobs = [], [], [], []
        done = n_tokens - last
        for logits in _predictions(lm._module, live, input_ids, layout, done):
            targets = input_ids[:, done : done + logits.shape[1]]
            done += logits.shape[1]
            previous, scores, divergences, best, found = None, [], [], [], []
            for row, own in enumerate(logits[:, : targets.shape[1]]):  # a row at a time: vocabularies are large
                predicted = own.float().log_softmax(-1)
                scores.append(predicted.gather(-1, targets[row, :, None])[:, 0])
                if pairs and row % 2:
                    divergences.append((previous.exp() * (previous - predicted)).sum(-1).clamp_min(0))
                if top and row % 2:  # of each of the pair, and how likely the other finds them
                    ids = torch.cat([side.topk(top).indices for side in (previous, predicted)], -1)
                    best.append(ids)
                    found.append(torch.stack([side.gather(-1, ids) for side in (previous, predicted)], 1))
                previous = predicted
            logprobs.append(torch.stack(scores))
            if pairs:
                kl.append(torch.stack(divergences))
            if top:
                top_ids.append(torch.stack(best))
                top_logprobs.append(torch.stack(found))
        lists = {"logprobs": logprobs, "kl": kl, "top": top_ids, "top_logprobs": top_logprobs}
        live.record.update({name: torch.cat(parts, 1) for name, parts in lists.items() if parts})


def _predictions(
    model: torch.nn.Module, live: Live, ids: Tensor, layout: Layout, first: int
) -> Iterator[Float[Tensor, "rows tokens vocabulary"]]:
    """Logits that predict the tokens from place `first` on, and one more; in one pass if the program lets it."""
    from transformers import DynamicCache

    n_tokens = ids.shape[1]
    ends = [n_tokens]
    if live.program.one_by_one:
        ends = [*range(min(int(layout.first_new.min()), n_tokens), n_tokens + 1)]
    cache = DynamicCache(config=model.config) if len(ends) > 1 else None
    start = 0
    for end in ends:
        live.last = end == n_tokens
        live.begin(ids[:, :end], start, layout)
        output = model(
            input_ids=ids[:, start:end],
            attention_mask=None if bool(layout.real[:, :end].all()) else layout.real[:, :end].long(),
            position_ids=(layout.real.cumsum(-1) - 1).clamp_min(0)[:, start:end],
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=max(end - max(start, first - 1), 1),
        )
        if end >= first:
            yield output.logits
        start = end


def read(lm: Any, live: Live, input_ids: Int[Tensor, "rows tokens"], layout: Layout, **_: object) -> None:
    """Run over given texts for the sake of what the program's side reads."""
    with torch.inference_mode():  # as a decorator it would not travel: torch's own wrapper would
        live.last = True
        layout = layout.to(input_ids.device)
        live.begin(input_ids, 0, layout)
        arguments: dict[str, Any] = {}
        if "logits_to_keep" in inspect.signature(lm._module.forward).parameters:
            arguments["logits_to_keep"] = 1
        lm._module(
            input_ids=input_ids,
            attention_mask=None if bool(layout.real.all()) else layout.real.long(),
            position_ids=(layout.real.cumsum(-1) - 1).clamp_min(0),
            use_cache=False,
            **arguments,
        )
        live.record.update(coefficients=live.take_all(), captured=live.captured)
