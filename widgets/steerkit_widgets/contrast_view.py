"""Two lists of texts in; the features that tell them apart, and a direction, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets

from steerkit import pages
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.model import Model
from steerkit_widgets._arrays import pack
from steerkit_widgets._asking import Answer, AskedWidget, QuestionError
from steerkit_widgets._base import refuse_other, refuse_unknown
from steerkit_widgets._features import described
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import steerkit as sk

SHOWN = 20  # features of either side


class ContrastView(AskedWidget):
    """Features that tell texts that have something from texts that lack it, ranked by AUROC.

    Args:
        features: The dictionary.
        model: The model that it belongs to.
        positives: Texts that have something in common. With negatives, they are contrasted at once.
        negatives: Texts that lack it.

    Raises:
        TypeError: `features` is no dictionary or `model` no model, a side is one text, or an argument is unknown.
        SteerkitError: A text or the dictionary does not fit the model.

    Example:
        >>> view = ContrastView(features, model, ["It rained."], ["The sun shone."])  # doctest: +SKIP
        >>> view.contrast.to_frame(), view.selected, view.vector()  # doctest: +SKIP
    """

    _esm = bundle("contrast_view.js")
    _css = bundle("contrast_view.css")

    positives = traitlets.List(traitlets.Unicode()).tag(sync=True, by_view=True)  # set by the view, or by Python
    negatives = traitlets.List(traitlets.Unicode()).tag(sync=True, by_view=True)  # likewise
    _found = traitlets.Dict(allow_none=True).tag(sync=True)  # set by Python
    _selected = traitlets.List(traitlets.Int()).tag(sync=True, by_view=True)  # set by the view

    def __init__(
        self,
        features: sk.Dictionary,
        model: sk.Model,
        positives: Sequence[str] = (),
        negatives: Sequence[str] = (),
        **unknown: Any,
    ) -> None:
        refuse_unknown("ContrastView", unknown, ["positives", "negatives"])
        refuse_other("ContrastView", features, Dictionary, "model.dictionary()")
        refuse_other("ContrastView", model, Model, "sk.load()")
        self.features, self.model = features, model
        self._contrast: sk.Contrast | None = None
        for texts in (positives, negatives):
            if isinstance(texts, str):
                raise TypeError(f"{texts!r} is one text where a list of texts belongs. Put it into brackets.")
        super().__init__(positives=list(positives), negatives=list(negatives), _found=None)
        if positives and negatives:
            self.run()

    @property
    def contrast(self) -> sk.Contrast | None:
        """The last contrast; None before the first."""
        return self._contrast

    @property
    def selected(self) -> list[sk.Feature]:
        """The features that are chosen, in the order of choosing."""
        return [self.features[index] for index in self._selected]

    def run(self) -> sk.Contrast:
        """Contrast the texts as they stand.

        Raises:
            SteerkitError: A side has no text, or a text or the dictionary does not fit the model.
        """
        return self._of(self.positives, self.negatives)

    def vector(self, label: str = "contrast") -> sk.Vector:
        """The difference of means of the texts as they stand, as a direction where the dictionary reads.

        Where they were changed since `contrast`, those are other texts than it is of.

        Raises:
            SteerkitError: A side has no text, or a text does not fit the model.
        """
        from steerkit import learn

        sites = [self.features.reads_at()]
        return learn.mean_difference(self.model, self.positives, self.negatives, sites, tokens="mean", label=label)

    def still(self) -> str:
        """The contrast as it shows itself."""
        if self._contrast is not None:
            return self._contrast._repr_html_()
        sides = [f"Texts that have it: {self.positives}", f"Texts that lack it: {self.negatives}"]
        return pages.fragment(pages.heading("Contrast, not run yet"), *map(pages.note, sides))

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Answer]]:
        """What the page asks: to contrast two lists of texts."""
        return {"contrast": self._run}

    def _run(self, arguments: dict[str, Any]) -> Answer:
        sides = {name: arguments.get(name) for name in ("positives", "negatives")}
        for name, texts in sides.items():
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise QuestionError(f"{name}={texts!r}, which is no list of texts.")
        # Not into the traits: the reader may have written on since, and the page keeps those itself.
        self._of(**sides)
        return Answer({})

    def _of(self, positives: list[str], negatives: list[str]) -> sk.Contrast:
        from steerkit import contrast

        found = self._contrast = contrast(self.model, positives, negatives, self.features)
        with self._writing:
            self._found = _packed(found)
        return found

    @traitlets.validate("_selected")
    def _known_features(self, proposal: dict[str, Any]) -> list[int]:
        chosen = proposal["value"]
        if any(not 0 <= index < self.features.n_features for index in chosen):
            raise traitlets.TraitError(f"{chosen!r}: features are 0 to {self.features.n_features - 1}.")
        return chosen


def _packed(found: sk.Contrast) -> dict[str, Any]:
    """The best marks of either side, with their figures: those of the positives first."""
    marks = dict.fromkeys(feature.index for feature in [*found.best(SHOWN), *found.best(SHOWN, negative=True)[::-1]])
    indices = torch.tensor(list(marks), dtype=torch.long)
    return {
        **described(found.dictionary, list(marks)),
        "auroc": pack(found.auroc[indices].float(), "float32"),
        "difference": pack(found.difference[indices].float(), "float32"),
        "in_positives": pack(found.frequency[0, indices].float(), "float32"),
        "in_negatives": pack(found.frequency[1, indices].float(), "float32"),
        "chance": found.chance,
    }
