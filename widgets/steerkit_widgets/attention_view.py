"""How much each token attends to each, head by head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerkit import pages
from steerkit.model import Model
from steerkit_widgets._base import refuse_other, refuse_unknown
from steerkit_widgets._circuitsvis import Drawing, needed, shown

if TYPE_CHECKING:
    from typing import Any

    from jaxtyping import Float
    from torch import Tensor

    import steerkit as sk
    from steerkit.plans import EditsLike


class AttentionView(Drawing):
    """The attention patterns of one layer, drawn by CircuitsVis: a row for each token, a column for each that it sees.

    It is a picture, with no kernel behind it. It needs CircuitsVis, which comes with `pip install "steerkit-lab[lab]"`.

    Args:
        model: The model.
        text: Text, token ids or chat messages.
        layer: The layer.
        edits: Show the steered model instead.

    Attributes:
        prompt: The text, in tokens.
        weights: (n_heads, n_tokens, n_tokens) what is shown.

    Raises:
        TypeError: `model` is no model, or an argument is unknown.
        SiteError: The model has no such layer, or its attention is not known.
        SteerkitError: The text or an edit does not fit the model.
        ImportError: CircuitsVis is not installed.

    Example:
        >>> view = AttentionView(model, "Mia saw a dog. The dog ran.", layer=2)  # doctest: +SKIP
        >>> view.save_html("attention.html")  # doctest: +SKIP
    """

    def __init__(self, model: sk.Model, text: sk.PromptLike, layer: int, edits: EditsLike = (), **unknown: Any) -> None:
        with needed("AttentionView"):
            from circuitsvis.attention import attention_heads

        refuse_unknown("AttentionView", unknown, ["edits"])
        refuse_other("AttentionView", model, Model, "sk.load()")
        self.prompt = model.encode(text)
        self.weights: Float[Tensor, "n_heads n_tokens n_tokens"] = model.attention(text, layer, edits)
        names = [f"Head {head}" for head in range(len(self.weights))]
        super().__init__(
            f"Attention in layer {layer}",
            # Four digits are more than a picture shows, and keep its page small.
            attention_heads((self.weights * 1e4).round() / 1e4, shown(self.prompt.tokens), names, 1.0, 0.0),
            _in_words(self.prompt.tokens, self.weights),
        )


def _in_words(tokens: tuple[str, ...], weights: Float[Tensor, "n_heads n_tokens n_tokens"]) -> str:
    """For each token, where each head looks most."""
    most, where = weights.max(-1)
    rows = [
        [
            f"{at + 1} {token}",
            *(f"{tokens[int(where[head, at])]} {most[head, at]:.2f}" for head in range(len(weights))),
        ]
        for at, token in enumerate(tokens)
    ]
    return pages.note("Where each head looks most, and how much of its attention goes there.") + pages.table(
        ["token", *(f"head {head}" for head in range(len(weights)))], rows
    )
