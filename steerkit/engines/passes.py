"""Forward passes: generating and scoring, as functions that run wherever the model is.

They take the nnsight model, move tokens through it, and tell the program's side (`Live`) what each pass holds. They
know nothing of edits.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from steerkit.engines.sampling import Sampling, choose

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor

    from steerkit.engines.live import Live


def generate(
    lm: Any,
    live: Live,
    input_ids: Int[Tensor, "rows tokens"],
    real: Bool[Tensor, "rows tokens"],
    sampling: Sampling,
    **_: object,
) -> None:
    """Generate new tokens for each row and leave them in `live.record`.

    The record gets `ids` and `logprobs` (a list a row; log-probabilities at temperature 1), `coefficients` (one row of
    numbers a new token, from the pass that the token is fed back in), and `stopped` (why each row ended).
    """
    with torch.inference_mode():  # as a decorator it would not travel: torch's own wrapper would
        rows = len(input_ids)
        ids: list[list[int]] = [[] for _ in range(rows)]
        logprobs: list[list[float]] = [[] for _ in range(rows)]
        stopped = ["length"] * rows
        alive = [True] * rows
        live.record.update(ids=ids, logprobs=logprobs, stopped=stopped, coefficients=[])
        text = _Text(lm._module, live, input_ids, real, sampling)
        for position in range(sampling.max_new_tokens):
            logits = text.step()
            if position:
                live.record["coefficients"].append(live.take())
            chosen = choose(logits, sampling, position)
            scores = logits.gather(-1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
            text.append(chosen)
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


class _Text:
    """A batch of texts that grow by one token a step."""

    def __init__(self, model: torch.nn.Module, live: Live, ids: Tensor, real: Tensor, sampling: Sampling) -> None:
        from transformers import DynamicCache

        self.model, self.live = model, live
        self.cache = DynamicCache(config=model.config) if sampling.use_cache else None
        device = ids.device
        rows, self.n_prompt = ids.shape
        length = self.n_prompt + sampling.max_new_tokens + 1
        self.ids = torch.zeros(rows, length, dtype=torch.long, device=device)
        self.ids[:, : self.n_prompt] = ids
        self.real = torch.ones(rows, length, dtype=torch.bool, device=device)
        self.real[:, : self.n_prompt] = real
        self.padded = not bool(real.all())
        self.generated = torch.arange(length, device=device).expand(rows, -1) >= self.n_prompt
        self.positions = (self.real.cumsum(-1) - 1).clamp_min(0)
        self.done, self.end = 0, self.n_prompt

    def append(self, chosen: Tensor) -> None:
        self.ids[:, self.end] = chosen
        self.end += 1

    def step(self) -> Tensor:
        """Run over what has not been run yet; returns the last position's logits in float32."""
        now = slice(self.done if self.cache is not None else 0, self.end)
        ids = self.ids[:, now]
        if self.done and self.cache is not None:
            self.live.begin_new(ids)
        else:
            self.live.begin(ids, self.generated[:, now], self.real[:, now])
        output = self.model(
            input_ids=ids,
            attention_mask=self.real[:, : self.end].long() if self.padded else None,
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
    real: Bool[Tensor, "rows tokens"],
    first_new: Int[Tensor, " rows"],
    last: int,
    pairs: bool,
    **_: object,
) -> None:
    """Score the last tokens of given texts and leave the figures in `live.record`.

    The record gets `logprobs` (rows, last), of each of the last `last` tokens given all before it, and with `pairs`
    also `kl` (rows // 2, last): KL(row 2i ‖ row 2i + 1) in nats over the vocabulary where each was predicted.
    """
    with torch.inference_mode():  # as a decorator it would not travel: torch's own wrapper would
        n_tokens = input_ids.shape[1]
        live.last = True
        generated = torch.arange(n_tokens, device=input_ids.device) >= first_new[:, None]
        live.begin(input_ids, generated, real)
        output = lm._module(
            input_ids=input_ids,
            attention_mask=None if bool(real.all()) else real.long(),
            position_ids=(real.cumsum(-1) - 1).clamp_min(0),
            use_cache=False,
            logits_to_keep=last + 1,
        )
        logprobs, kl = [], []
        previous = None
        for row, logits in enumerate(output.logits[:, -last - 1 : -1]):  # a row at a time: vocabularies are large
            scores = logits.float().log_softmax(-1)
            logprobs.append(scores.gather(-1, input_ids[row, -last:, None])[:, 0])
            if pairs and row % 2:
                kl.append((previous.exp() * (previous - scores)).sum(-1).clamp_min(0))
            previous = scores
        live.record.update(logprobs=torch.stack(logprobs), kl=torch.stack(kl) if kl else None)


def read(
    lm: Any, live: Live, input_ids: Int[Tensor, "rows tokens"], real: Bool[Tensor, "rows tokens"], **_: object
) -> None:
    """Run over given texts for the sake of what the program's side reads."""
    with torch.inference_mode():  # as a decorator it would not travel: torch's own wrapper would
        live.last = True
        live.begin(input_ids, torch.zeros_like(real), real)
        arguments: dict[str, Any] = {}
        if "logits_to_keep" in inspect.signature(lm._module.forward).parameters:
            arguments["logits_to_keep"] = 1
        lm._module(
            input_ids=input_ids,
            attention_mask=None if bool(real.all()) else real.long(),
            position_ids=(real.cumsum(-1) - 1).clamp_min(0),
            use_cache=False,
            **arguments,
        )
        live.record.update(coefficients=live.take_all(), captured=live.captured)
