"""Random weights, a plain evaluation of `Parts` in double precision, and comparison with a publisher's equations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from steerkit.dictionaries.parts import Parts

D, N = 6, 10


class Numbers:
    """Random tensors that are the same at every run."""

    def __init__(self, seed: int = 0) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(*shape, generator=self.generator).to(dtype)

    def positive(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator) + 0.1


def activations(d: int = D) -> Tensor:
    return Numbers(99)(7, d).double()


def double(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.double() if isinstance(value, Tensor) else value for name, value in tensors.items()}


def top_k(p: Tensor, k: int) -> Tensor:
    """The k largest of each row as they are, the rest 0; by sorting, unlike the library."""
    smallest = p.sort(dim=-1, descending=True).values[..., k - 1 : k]
    return torch.where(p >= smallest, p, 0.0)


def evaluate(parts: Parts, x: Tensor) -> tuple[Tensor, Tensor]:
    """Activations of all features, and the reconstruction."""
    scale, shift = torch.ones(len(x), 1), torch.zeros(len(x), 1)
    if parts.normalisation == "layer_norm":
        scale, shift = x.std(-1, keepdim=True), x.mean(-1, keepdim=True)
        x = (x - shift) / (scale + 1e-5)
    elif parts.normalisation == "unit_rms":
        scale = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        x = x / scale
    centred = x if parts.b_pre is None else x - parts.b_pre.double()
    p = centred @ parts.W_enc.whole().double()
    f = parts.activation(p if parts.b_enc is None else p + parts.b_enc.double(), slice(None))
    y = f @ parts.W_dec.whole().double() + parts.b_dec.double()
    if parts.W_skip is not None:
        y = y + x @ parts.W_skip.double()
    return f, y * scale + shift


def check(parts: Parts, f: Tensor, y: Tensor, x: Tensor | None = None) -> None:
    """The publisher's `f` and `y` come out, and something fires and something does not."""
    got_f, got_y = evaluate(parts, activations() if x is None else x)
    assert (f != 0).any()
    assert got_f.ne(0).equal(f.ne(0))
    assert ((got_f - f).norm() / f.norm()).item() < 1e-5
    assert ((got_y - y).norm() / y.norm()).item() < 1e-5


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
