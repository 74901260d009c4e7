"""What else a text might have said: the likeliest tokens at each place, under the steered and the unsteered model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from steerkit import pages

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.runs import Run


class Alternative(NamedTuple):
    """A token that might have stood at a place, and its probability there at temperature 1 under both models."""

    token: str
    steered: float
    baseline: float


@dataclass(frozen=True, eq=False)
class Alternatives:
    """The likeliest tokens at each place of a steered text. Made by `Model.alternatives`.

    Attributes:
        run: The run, with its `unsteered_logprobs`.
        tokens: For each place the likeliest tokens of the steered model, then those of the unsteered one.
        logprobs: (n_tokens, 2, 2 * k) their log-probabilities in nats under the steered model and under the unsteered
            one, both given the prompt and the steered tokens before.
        kl: (n_tokens,) KL(steered ‖ baseline) in nats over the vocabulary at temperature 1, as in `Comparison`.
    """

    run: Run
    tokens: list[list[str]]
    logprobs: Float[Tensor, "n_tokens 2 twice_k"]
    kl: Float[Tensor, " n_tokens"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> list[Alternative]:
        """The tokens that either model finds likeliest at one place of the new text, by the steered model's order."""
        steered, baseline = self.logprobs[index].exp().tolist()
        found = {
            token: Alternative(token, p, q) for token, p, q in zip(self.tokens[index], steered, baseline, strict=True)
        }
        return sorted(found.values(), key=lambda one: (-one.steered, -one.baseline))

    def to_frame(self) -> pd.DataFrame:
        """One row a place and token."""
        import pandas as pd

        rows = [(i, self.run.tokens[i], *one) for i in range(len(self)) for one in self[i]]
        return pd.DataFrame(rows, columns=["position", "written", "token", "steered", "baseline"])

    def _repr_html_(self) -> str:
        rows = [
            (token, f"{kl:.2f}", ", ".join(f"{one.token!r} {one.steered:.2f} ({one.baseline:.2f})" for one in self[i]))
            for i, (token, kl) in enumerate(zip(self.run.tokens, self.kl.tolist(), strict=True))
        ]
        heads = ("token", "KL (nats)", "likeliest, steered (unsteered)")
        return pages.fragment(pages.heading("Alternatives"), pages.table(heads, rows))

    def __repr__(self) -> str:
        mean = self.kl.mean().item() if len(self) else math.nan
        return f"Alternatives({len(self)} tokens, mean KL {mean:.3g} nats)"
