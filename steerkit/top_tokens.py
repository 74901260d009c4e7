"""Which tokens a direction in the residual stream makes likely and unlikely by itself."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from steerkit import pages
from steerkit.counts import at_most
from steerkit.errors import ModelError, SiteError
from steerkit.sites import ADDED_TO_STREAM, Family, Site
from steerkit.tokens import names_of

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float
    from matplotlib.figure import Figure
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from steerkit.edits import Target


@runtime_checkable
class Unembedding(Protocol):
    """What is needed of a model: `steerkit.Model` is one."""

    tokenizer: PreTrainedTokenizerBase

    def logit_effects(self, direction: Float[Tensor, " d_model"]) -> Float[Tensor, " vocabulary"]:
        """Direct effect on the logits of one direction added to the residual stream."""
        ...


def logit_effects(
    module: torch.nn.Module, family: Family, direction: Float[Tensor, " d_model"]
) -> Float[Tensor, " vocabulary"]:
    """Direct effect of a direction on the logits: through the final norm and the unembedding, past all later layers.

    `W_U (γ ⊙ u)`, with γ the final norm's gain, and for a LayerNorm `u` less its mean over dimensions. That is the
    change of the logits for one `u` added to the last layer's output, times the norm's denominator at that token, which
    is held; before a soft cap, where the model has one. (nostalgebraist 2020, "interpreting GPT: the logit lens".)

    Args:
        module: The transformers model.
        family: Its family.
        direction: The direction `u`.

    Raises:
        ModelError: What stands between the stream and the logits is not known.
    """
    unembedding, norm, projection = _ending(module, family)
    u = direction.to(unembedding.weight.device, torch.float32)
    with torch.inference_mode():
        if isinstance(norm, torch.nn.LayerNorm):
            u = u - u.mean()
        if norm is not None:
            u = u * (norm.weight.float() + family.gain_offset).to(u.device)
        if projection is not None:
            u = projection.weight.float().to(u.device) @ u
        return (unembedding.weight.float() @ u).cpu().clone()


def token_direction(module: torch.nn.Module, family: Family, token: int) -> Float[Tensor, " d_model"]:
    """The direction whose product with any other is that one's effect on a token's logit; see `logit_effects`.

    `γ ⊙ W_U[token]`, and for a LayerNorm this less its mean over dimensions: the adjoint of what `logit_effects` does.
    One product with a decoder then ranks all its features by how much they promote the token.

    Raises:
        ModelError: What stands between the stream and the logits is not known.
    """
    unembedding, norm, projection = _ending(module, family)
    with torch.inference_mode():
        w = unembedding.weight[token].float()
        if projection is not None:
            w = w @ projection.weight.float().to(w.device)
        if norm is not None:
            w = w * (norm.weight.float() + family.gain_offset).to(w.device)
        if isinstance(norm, torch.nn.LayerNorm):
            w = w - w.mean()
        return w.cpu().clone()


def _ending(
    module: torch.nn.Module, family: Family
) -> tuple[torch.nn.Module, torch.nn.Module | None, torch.nn.Module | None]:
    """What stands between the residual stream and the logits: unembedding, final norm, projection."""
    unembedding = module.get_output_embeddings()
    if family.ending is None or unembedding is None:
        raise ModelError(
            f"Models of the type '{module.config.model_type}' are steered, but their final norm is not known, "
            "so a direction has no known effect on the logits."
        )
    norm = None if family.ending.norm is None else attrgetter(family.ending.norm)(module)
    projection = None if family.ending.projection is None else attrgetter(family.ending.projection)(module)
    return unembedding, norm, projection


@dataclass(frozen=True)
class TopTokens:
    """The tokens whose logits a direction raises and lowers most by itself; see `logit_effects`.

    Attributes:
        label: The direction's label.
        site: Where it is written.
        promoted: The tokens that it raises most, the most first, and its effect on their logits.
        suppressed: The tokens that it lowers most, the most first, likewise.
    """

    label: str
    site: Site
    promoted: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]

    def to_frame(self) -> pd.DataFrame:
        """One row a rank."""
        import pandas as pd

        rows = [(*up, *down) for up, down in zip(self.promoted, self.suppressed, strict=True)]
        return pd.DataFrame(rows, columns=["promoted", "effect", "suppressed", "effect (suppressed)"])

    def plot(self) -> Figure:
        """A bar for each token."""
        from steerkit.figures import bars

        shown = [*self.promoted, *reversed(self.suppressed)]
        return bars([repr(token) for token, _ in shown], [effect for _, effect in shown], "effect on the logit")

    def __str__(self) -> str:
        def listed(tokens: tuple[tuple[str, float], ...]) -> str:
            return ", ".join(f"{token!r} {effect:+.3g}" for token, effect in tokens)

        return f"{self.label} at {self.site}\npromotes   {listed(self.promoted)}\nsuppresses {listed(self.suppressed)}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (up, f"{a:+.3g}", down, f"{b:+.3g}")
            for (up, a), (down, b) in zip(self.promoted, self.suppressed, strict=True)
        ]
        head = ("promotes", "effect", "suppresses", "effect")
        return pages.fragment(pages.heading(f"{self.label} at {self.site}"), pages.table(head, rows))


def top_tokens(target: Target, model: Unembedding, k: int, site: str | Site | None) -> TopTokens:
    """The `k` tokens that a target promotes and suppresses most; see `Steerable.top_tokens`."""
    sites = target.sites if site is None else (Site.parse(site),)
    if len(sites) != 1:
        raise SiteError(f"{target.label!r} is written at {', '.join(map(str, sites))}; say which with site=.")
    if sites[0].kind not in ADDED_TO_STREAM:
        raise SiteError(
            f"{target.label!r} is written at '{sites[0]}', from where it reaches the residual stream through other "
            f"weights only. Its top tokens are known for the kinds {', '.join(ADDED_TO_STREAM)}."
        )
    k = at_most(k, "k")
    effects = model.logit_effects(target.direction_at(sites[0]))
    effects = effects[: len(model.tokenizer)]  # vocabularies are often padded

    def listed(largest: bool) -> tuple[tuple[str, float], ...]:
        best = effects.topk(min(k, len(effects)), largest=largest)
        names = names_of(model.tokenizer, best.indices.tolist())
        return tuple(zip(names, best.values.tolist(), strict=True))

    return TopTokens(target.label, sites[0], listed(True), listed(False))
