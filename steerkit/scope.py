"""Where an edit acts, on the tokens of a batch.

Texts stand right-aligned in a batch: `rows` of the same length, padding on the left, each row's new tokens after its
prompt. Positions in a text count from its first real token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steerkit.where import Where, Window

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

ASSISTANT = "assistant"


@dataclass(frozen=True, eq=False)
class Layout:
    """What is known beforehand of the tokens of a batch.

    Attributes:
        real: Which places are no padding; those of tokens that are still to be written count as real.
        first_new: The place of each row's first new token.
        roles: For chat, the role of each token of the prompt, as an index into `role_names`; -1 for none.
        messages: For chat, the index of each such token's message; -1 for none.
        role_names: The roles.
    """

    real: Bool[Tensor, "rows length"]
    first_new: Int[Tensor, " rows"]
    roles: Int[Tensor, "rows length"] | None = None
    messages: Int[Tensor, "rows length"] | None = None
    role_names: tuple[str, ...] = ()

    def to(self, device: torch.device) -> Layout:
        """The same on a device."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return Layout(**{name: v.to(device) if isinstance(v, torch.Tensor) else v for name, v in values.items()})

    @property
    def new(self) -> Int[Tensor, "rows length"]:
        """Each token's position in the new text; negative in the prompt."""
        return torch.arange(self.real.shape[1], device=self.real.device) - self.first_new[:, None]

    @property
    def is_prompt(self) -> Bool[Tensor, "rows length"]:
        """The tokens of prompts."""
        return self.real & (self.new < 0)


def in_scope(wheres: Sequence[Where], layout: Layout) -> Bool[Tensor, "rows length edits"]:
    """The tokens that each `Where` chooses, before any is left out by its id."""
    new = layout.new
    positions = layout.real.cumsum(-1) - 1
    n_prompt = layout.is_prompt.sum(-1, keepdim=True)
    return torch.stack([_chosen(where, layout, new, positions, n_prompt) for where in wheres], dim=-1)


def _chosen(where: Where, layout: Layout, new: Tensor, positions: Tensor, n_prompt: Tensor) -> Tensor:
    generated = new >= 0
    chosen = (generated & where.generated) | (~generated & where.prompt)
    if where.last_prompt is not None:
        chosen = torch.where(new == -1, where.last_prompt, chosen)
    if where.positions is not None:
        chosen = chosen & _in_windows(positions, where.positions, n_prompt)
    if where.new_positions is not None:
        chosen = chosen & (~generated | _in_windows(new, where.new_positions, n_prompt))
    if where.roles is not None:
        asked = [layout.role_names.index(role) for role in where.roles if role in layout.role_names]
        of_prompt = torch.isin(layout.roles, torch.tensor(asked, dtype=torch.long, device=new.device))
        chosen = chosen & torch.where(generated, ASSISTANT in where.roles, of_prompt)
    if where.messages is not None:
        count = layout.messages.max(-1, keepdim=True).values + 1
        message = torch.where(generated, count, layout.messages)
        asked = [index if index >= 0 else count + index for index in where.messages]
        chosen = chosen & torch.stack([(message == index) & (message >= 0) for index in asked]).any(0)
    return chosen & layout.real


def _in_windows(positions: Tensor, windows: tuple[Window, ...], n_prompt: Tensor) -> Tensor:
    inside = torch.zeros_like(positions, dtype=torch.bool)
    for start, stop in windows:
        from_end = start is not None and start < 0
        low = n_prompt + start if from_end else (start or 0)
        within = positions >= low
        if stop is not None:
            within = within & (positions < (n_prompt + stop if stop < 0 or (stop == 0 and from_end) else stop))
        inside = inside | within
    return inside


def fading(wheres: Sequence[Where], layout: Layout) -> Float[Tensor, "rows length edits"] | None:
    """What each edit's change is multiplied by at each token; None where nothing fades."""
    if all(where.decay == 1 for where in wheres):
        return None
    decay = torch.tensor([where.decay for where in wheres], dtype=torch.float32, device=layout.real.device)
    return decay ** layout.new.clamp_min(0)[..., None]
