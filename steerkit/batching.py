"""Texts in batches of similar length that fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from steerkit.errors import EngineError

MOST_TOKENS = 1024  # of a batch, padding included; more are no faster on a processor, and cost memory

Result = TypeVar("Result")


def in_batches(
    lengths: Sequence[int], run: Callable[[list[int]], Result], batch_size: int | None = None
) -> Iterator[tuple[list[int], Result]]:
    """Run texts in batches, shorter ones first. A batch that does not fit the memory is tried again in halves.

    Args:
        lengths: Tokens of each text.
        run: What is done with a batch, given as indices of texts. It may be called again with a part of them, so what
            it changes outside has to come last.
        batch_size: Texts a batch; None for as many as have `MOST_TOKENS` together.

    Yields:
        The indices of a batch, and what `run` gave for it.

    Raises:
        EngineError: The memory does not suffice for one text alone.
    """
    waiting = _batches(lengths, batch_size)[::-1]
    while waiting:
        batch = waiting.pop()
        try:
            result = run(batch)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            if len(batch) == 1:
                raise EngineError(
                    f"The memory does not suffice for a text of {lengths[batch[0]]} tokens. Shorten it, or load the "
                    "model in another dtype."
                ) from error
            waiting += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
            continue
        yield batch, result


def _batches(lengths: Sequence[int], batch_size: int | None) -> list[list[int]]:
    """Indices of texts in batches of similar length, shorter ones first."""
    batches: list[list[int]] = [[]]
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        room = MOST_TOKENS // lengths[i] if batch_size is None else batch_size  # the longest of a batch comes last
        if batches[-1] and len(batches[-1]) >= room:
            batches.append([])
        batches[-1].append(i)
    return batches if batches[0] else []


def _out_of_memory(error: Exception) -> bool:
    # torch has no class of its own for the processor's memory
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)
