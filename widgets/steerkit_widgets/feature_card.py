"""All that is known of one feature, and what texts say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import traitlets

from steerkit import pages
from steerkit.dictionaries.calibration import Calibration, calibrate
from steerkit.dictionaries.card import BIN_STARTS, card
from steerkit.dictionaries.feature import Feature
from steerkit.errors import EngineError, ModelError, SiteError
from steerkit.model import Model
from steerkit_widgets._asking import Answer, AskedWidget, QuestionError
from steerkit_widgets._base import refuse_other, refuse_unknown
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import steerkit as sk
    from steerkit.edits import Target

TOKENS, NEAREST, STORIES = 8, 8, 60


class FeatureCard(AskedWidget):
    """One feature: its labels, the tokens it promotes, its nearest neighbours, and where it fires.

    Where it fires is measured over texts on the spot: those given here, those pasted into the page, or storybook's own
    stories. What is measured stays with the card; `features.calibrate` keeps it for the whole dictionary.

    Args:
        feature: The feature.
        model: The model that it belongs to, for tokens and for measuring.
        texts: Texts to measure it over at once. Without them, the dictionary's calibration is shown, if it has one.

    Raises:
        TypeError: `feature` is no feature or `model` no model, or an argument is unknown.
        ValueError: There are texts and no model.
        SteerkitError: A text or the dictionary does not fit the model.

    Example:
        >>> card = FeatureCard(features["rain"], model)  # doctest: +SKIP
        >>> card.measure(["It rained.", "Mia sang."])  # doctest: +SKIP
        >>> card.calibration  # measured here or on the page  # doctest: +SKIP
    """

    _esm = bundle("feature_card.js")
    _css = bundle("feature_card.css")

    _card = traitlets.Dict().tag(sync=True)  # set by Python
    _measured = traitlets.Dict(allow_none=True).tag(sync=True)  # set by Python
    _corpora = traitlets.List(traitlets.Unicode()).tag(sync=True)  # set by Python: what the page can measure over

    def __init__(
        self,
        feature: sk.Feature,
        model: sk.Model | None = None,
        texts: Sequence[sk.PromptLike] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown("FeatureCard", unknown, ["model", "texts"])
        refuse_other("FeatureCard", feature, Feature, "features['rain']")
        if model is not None:
            refuse_other("FeatureCard", model, Model, "sk.load()")
        self.model, self._feature = model, feature
        self._calibration = feature.dictionary.calibration
        corpora = [] if model is None else ["own", "stories"] if model.name == "storybook" else ["own"]
        super().__init__(_card=self._described(), _measured=self._figures(), _corpora=corpora)
        if texts is not None:
            self.measure(texts)

    @property
    def feature(self) -> sk.Feature:
        """The feature that is shown; set it to show another."""
        return self._feature

    @feature.setter
    def feature(self, feature: sk.Feature) -> None:
        refuse_other("FeatureCard", feature, Feature, "features['rain']")
        if feature.dictionary is not self._feature.dictionary:
            self._calibration = feature.dictionary.calibration
        self._feature = feature
        with self._writing, self.hold_sync():
            self._card, self._measured = self._described(), self._figures()

    @property
    def calibration(self) -> Calibration | None:
        """What was measured last, here or on the page; None before."""
        return self._calibration

    def follow(self, targets: Sequence[Target]) -> None:
        """Show the last of these that is a feature, if there is one."""
        features = [target for target in targets if isinstance(target, Feature)]
        if features and features[-1] != self._feature:
            self.feature = features[-1]

    def measure(self, texts: Sequence[sk.PromptLike] | None = None) -> Calibration:
        """Measure where the feature fires.

        Args:
            texts: Texts to measure over; storybook's own stories without them.

        Raises:
            ValueError: The card has no model.
            SteerkitError: A text or the dictionary does not fit the model.
        """
        if self.model is None:
            raise ValueError("This card has no model to read texts with: FeatureCard(feature, model).")
        if texts is None:
            from steerkit import storybook

            texts = [storybook.story(seed=seed).text for seed in range(STORIES)]
        self._calibration = calibrate(self._feature.dictionary, self.model, texts)
        with self._writing:
            self._measured = self._figures()
        return self._calibration

    def still(self) -> str:
        """The feature as it shows itself."""
        return pages.fragment(card(self._feature))

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Answer]]:
        """What the page asks: to measure over texts, and to show another feature."""
        return {"measure": self._measure, "show": self._show}

    def _measure(self, arguments: dict[str, Any]) -> Answer:
        texts = arguments.get("texts")
        if texts is not None and not (isinstance(texts, list) and texts and all(isinstance(t, str) for t in texts)):
            raise QuestionError(f"texts={texts!r}, which is no list of texts.")
        if ("stories" if texts is None else "own") not in self._corpora:
            raise QuestionError("texts that this card cannot read.")
        self.measure(texts)
        return Answer({})

    def _show(self, arguments: dict[str, Any]) -> Answer:
        index, dictionary = arguments.get("feature"), self._feature.dictionary
        if type(index) is not int or not 0 <= index < dictionary.n_features:
            raise QuestionError(f"feature={index!r}; features are 0 to {dictionary.n_features - 1}.")
        self.feature = dictionary[index]
        return Answer({})

    def _described(self) -> dict[str, Any]:
        feature, dictionary = self._feature, self._feature.dictionary
        labels = dictionary.labels.get([feature.index])[feature.index]
        return {
            "index": feature.index,
            "labels": [{"text": label.text, "source": label.source, "score": label.score} for label in labels],
            "dictionary": dictionary.name,
            "site": None if dictionary.site_out is None else str(dictionary.site_out),
            "norm": feature.decoder_norm,
            "maximum": feature.max_activation,
            "tokens": self._tokens(),
            "nearest": [[near.index, near.label] for near in dictionary.nearest(feature, NEAREST)],
        }

    def _tokens(self) -> dict[str, Any] | None:
        """The tokens that it promotes and suppresses by itself, or why they are not known; None without a model."""
        if self.model is None:
            return None
        try:
            top = self._feature.top_tokens(self.model, TOKENS)
        except (ModelError, SiteError, EngineError) as error:
            return {"unknown": str(error)}
        return {"promoted": [list(token) for token in top.promoted], "suppressed": [list(t) for t in top.suppressed]}

    def _figures(self) -> dict[str, Any] | None:
        measured, index = self._calibration, self._feature.index
        if measured is None:
            return None
        return {
            "corpus": measured.corpus,
            "density": measured.density[index].item(),
            "maximum": measured.maximum[index].item(),
            "counts": measured.histogram[index].tolist(),
            "starts": BIN_STARTS,
            "passages": [list(passage) for passage in measured.passages(index)],
        }
