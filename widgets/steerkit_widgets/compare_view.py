"""Baseline and steered text side by side, token against token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import traitlets

from steerkit.runs import Comparison, names
from steerkit_widgets._arrays import pack
from steerkit_widgets._base import Widget, refuse_other, refuse_unknown
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import steerkit as sk


class CompareView(Widget):
    """Two texts from the same noise: where they differ, and how far the models are apart at every token.

    The steered text is coloured by the KL divergence at each token, or by an edit's coefficient; beneath a token that
    differs stands the baseline's. The page has all it needs: it works without a kernel too.

    Args:
        comparison: What `Model.compare` gave back.

    Raises:
        TypeError: `comparison` is none, or an argument is unknown.

    Example:
        >>> view = CompareView(model.compare("One day, Mia", [rain.add(8)]))  # doctest: +SKIP
        >>> view.span  # the tokens of the steered text that were selected by hand  # doctest: +SKIP
    """

    _esm = bundle("compare_view.js")
    _css = bundle("compare_view.css")

    _prompt = traitlets.Unicode().tag(sync=True)  # set by Python
    _baseline = traitlets.Dict().tag(sync=True)  # set by Python
    _steered = traitlets.Dict().tag(sync=True)  # set by Python
    _span = traitlets.List(traitlets.Int()).tag(sync=True, by_view=True)  # set by the view: first and last token

    def __init__(self, comparison: sk.Comparison, **unknown: Any) -> None:
        refuse_unknown("CompareView", unknown, ["comparison"])
        refuse_other("CompareView", comparison, Comparison, "model.compare(prompt, edits)")
        self.comparison = comparison
        steered = comparison.steered
        lanes = {"KL": comparison.kl} | dict(zip(names(steered.columns), steered.coefficients.T, strict=True))
        super().__init__(
            _prompt=steered.prompt.text,
            _baseline=_text(comparison.baseline),
            _steered={
                **_text(steered),
                "differs": pack(torch.tensor(comparison.differs), "uint8"),
                "lanes": {name: pack(values.float(), "float32") for name, values in lanes.items()},
            },
        )

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last token of the steered text that are selected; None where none is."""
        return (self._span[0], self._span[1]) if self._span else None

    def still(self) -> str:
        """The comparison as it shows itself."""
        return self.comparison._repr_html_()

    @traitlets.validate("_span")
    def _within(self, proposal: dict[str, Any]) -> list[int]:
        span, n_tokens = proposal["value"], len(self.comparison.steered.tokens)
        if span and not (len(span) == 2 and 0 <= span[0] <= span[1] < n_tokens):
            raise traitlets.TraitError(f"{span!r} is no span of this text, which has {n_tokens} tokens.")
        return span


def _text(run: sk.Run) -> dict[str, Any]:
    unsteered = torch.full_like(run.logprobs, torch.nan) if run.unsteered_logprobs is None else run.unsteered_logprobs
    return {
        "tokens": list(run.tokens),
        "special": pack(torch.tensor(run.special, dtype=torch.bool), "uint8"),
        "logprobs": pack(run.logprobs.float(), "float32"),
        "unsteered": pack(unsteered.float(), "float32"),
        "about": run.describe(),
    }
