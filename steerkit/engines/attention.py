"""Attention weights, which most implementations of attention never hold: for one pass, the one that does is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def recorded(module: torch.nn.Module, place: str, weights: list[Tensor]) -> Iterator[None]:
    """Append the attention weights (rows, heads, tokens, tokens) of each pass inside the block to a list.

    Args:
        module: The transformers model; it is left as it was.
        place: Path of the module that attends.
        weights: Where they go.
    """
    attends = module.get_submodule(place)
    config = getattr(attends, "config", module.config)
    before = config._attn_implementation
    hook = attends.register_forward_hook(lambda _, arguments, output: weights.append(output[1]))
    try:
        config._attn_implementation = "eager"
        yield
    finally:
        config._attn_implementation = before
        hook.remove()
