"""Running passes through nnsight: here, or on NDIF.

Every `with` block that nnsight records stands in this file, because it reads the block's source from it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import nnsight
import torch

from steerkit.engines.live import Live
from steerkit.scope import Layout

if TYPE_CHECKING:
    from nnsight import TransformersModel

# Programs travel by value, so that nothing of ours has to be installed where the model runs.
nnsight.register("steerkit")


def run(
    lm: TransformersModel, live: Live, function: Callable[..., None], remote: bool | str = False, **inputs: Any
) -> dict[str, Any]:
    """Run a pass with a program in force.

    Args:
        lm: The model.
        live: The program.
        function: One of `passes`.
        remote: True for NDIF, `"local"` for nnsight's simulation of it.
        **inputs: Passed to the function; `input_ids` among them.

    Returns:
        The record that the function filled.
    """
    with lm.trace(fn=function, lm=lm, live=live, remote=remote or None, **inputs) as tracer:
        record = live.record = nnsight.save({})
        for _step in tracer.iter[:]:
            live.serve(lm)
            if live.last:
                break
    return record


@contextmanager
def attached(lm: TransformersModel, live: Live) -> Iterator[None]:
    """Keep a program in force for every trace and generate of the model inside the block."""
    before = list(lm._edits)
    with lm.edit(inplace=True) as tracer:
        for step in tracer.iter[:]:
            observe(lm, live, first=step == 0)
            live.serve(lm)
    added = [edit for edit in lm._edits if not any(edit is old for old in before)]
    try:
        with warnings.catch_warnings():
            # nnsight says so whenever a loop over all steps ends with the run; the user wrote no such loop
            warnings.filterwarnings("ignore", message=".*the loop asked for a step the run did not make")
            yield
    finally:
        # clear_edits() would take the user's own edits off too
        lm._edits[:] = [edit for edit in lm._edits if not any(edit is ours for ours in added)]


def observe(lm: TransformersModel, live: Live, first: bool) -> None:
    """Tell the program which tokens a pass that somebody else started holds. Runs inside a trace."""
    arguments, keywords = lm.inputs
    ids = keywords["input_ids"] if "input_ids" in keywords else arguments[0]
    n_tokens = ids.shape[1]
    if first:
        live.n_prompt = n_tokens
        live.forget()
    # later passes hold new tokens alone, or without a cache the whole text
    whole = first or n_tokens > live.n_prompt
    live.text = ids if whole else torch.cat([live.text, ids], dim=1)
    attention = keywords.get("attention_mask")
    real = torch.ones_like(live.text, dtype=torch.bool)
    if attention is not None and attention.shape == real.shape:
        real = attention.bool()
    first_new = torch.full((len(ids),), live.n_prompt, device=ids.device)
    live.begin(live.text, live.text.shape[1] - n_tokens, Layout(real, first_new))
