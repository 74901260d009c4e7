"""Plain transformers and torch: what steerkit's numbers are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def first(value):
    """The activation in what a module returns or is given."""
    return value[0] if isinstance(value, tuple) else value


@torch.no_grad()
def record(model: nn.Module, ids: list[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Input and output of every module in a forward pass over one text."""
    inputs, outputs, handles = {}, {}, []

    def hook(name):
        def keep(_, args, kwargs, output):
            given = args[0] if args else kwargs.get("hidden_states")
            if isinstance(given, Tensor):
                inputs[name] = given.reshape(-1, given.shape[-1])
            if isinstance(first(output), Tensor):
                outputs[name] = first(output).reshape(-1, first(output).shape[-1])

        return keep

    for name, module in model.named_modules():
        handles.append(module.register_forward_hook(hook(name), with_kwargs=True))
    try:
        model(input_ids=torch.tensor([ids]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return inputs, outputs


@contextmanager
def output_changed(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    def hook(_, args, output):
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def input_changed(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    def hook(_, args, kwargs):
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.no_grad()
def logprobs(model: nn.Module, ids: list[int]) -> Tensor:
    """(n_tokens, vocabulary) log-probabilities after each token."""
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)


def chosen(scores: Tensor, ids: list[int]) -> Tensor:
    """Log-probability of each token given all before it."""
    return scores[:-1].gather(-1, torch.tensor(ids)[1:, None])[:, 0]


@torch.no_grad()
def greedy(model: nn.Module, ids: list[int], n: int) -> list[int]:
    written = list(ids)
    for _ in range(n):
        written.append(int(model(input_ids=torch.tensor([written]), use_cache=False).logits[0, -1].argmax()))
    return written[len(ids) :]
