"""A forward pass that carries gradients to whatever changes an activation, and to nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from steerkit.scope import Layout
from steerkit.sites import Location

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

# From the activation (rows, tokens, width), in float32, and which of its tokens are neither padding nor special.
Change: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"


def predictions(
    module: torch.nn.Module,
    location: Location,
    change: Callable[[Float[Tensor, "rows tokens width"]], Float[Tensor, "rows tokens width"]],
    ids: Int[Tensor, "rows tokens"],
    layout: Layout,
) -> Float[Tensor, "rows tokens vocabulary"]:
    """Logits of a model whose activation at one place is changed.

    The model's weights take part as constants: no gradient reaches them, and what is computed before the change keeps
    nothing for a backward pass.

    Args:
        module: The transformers model.
        location: A place with a port of its own.
        change: From the activation to what takes its place, in float32.
        ids: The texts.
        layout: Which places are no padding.
    """

    def changed(value: Any) -> Any:
        hidden = value[0] if isinstance(value, tuple) else value  # attention returns its weights beside
        whole = hidden if hidden.ndim == 3 else hidden.unflatten(0, ids.shape)  # OPT's MLP: tokens of all rows
        new = change(whole.float()).to(hidden.dtype).view_as(hidden)
        return (new, *value[1:]) if isinstance(value, tuple) else new

    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    place = module.get_submodule(location.module)
    if location.port == "output":
        handle = place.register_forward_hook(lambda _, arguments, output: changed(output))
    else:
        handle = place.register_forward_pre_hook(lambda _, arguments: (changed(arguments[0]), *arguments[1:]))
    try:
        output = torch.func.functional_call(
            module,
            weights,
            kwargs={
                "input_ids": ids,
                "attention_mask": None if bool(layout.real.all()) else layout.real.long(),
                "position_ids": (layout.real.cumsum(-1) - 1).clamp_min(0),
                "use_cache": False,
            },
        )
    finally:
        handle.remove()
    return output.logits
