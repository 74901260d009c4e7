"""A dictionary's features, to search, filter, sort and choose from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets

from steerkit import pages
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.feature import Feature
from steerkit.model import Model
from steerkit_widgets._arrays import pack
from steerkit_widgets._asking import Answer, AskedWidget, QuestionError
from steerkit_widgets._base import refuse_other, refuse_unknown
from steerkit_widgets._features import described
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import steerkit as sk
    from steerkit.edits import Target

BY_WORDS, OTHERWISE = 1000, 200  # features that a search finds at most
MOST_FAMILIES = 255


class FeaturePicker(AskedWidget):
    """Find features of a dictionary and choose some.

    Searches by words in labels, and by nearness to a chosen feature; with a model also by a text (what fires there), by
    a token (what raises its logit) and by the contrast of two texts. The page has every feature's label and figures, so
    filtering, sorting and scrolling never wait for the kernel.

    Args:
        features: The dictionary.
        model: The model that it belongs to, for searches that read texts.
        selected: Features that are chosen at first.
        families: Groups to filter by: a name and the indices of its features. Storybook's are known without.

    Raises:
        TypeError: `features` is no dictionary or `model` no model, or an argument is unknown.
        ValueError: One of `selected` is of another dictionary or there twice, or a feature is in two families.

    Example:
        >>> picker = FeaturePicker(features, model)  # doctest: +SKIP
        >>> picker.selected, picker.listed  # what was chosen by hand, and what was found  # doctest: +SKIP
    """

    _esm = bundle("feature_picker.js")
    _css = bundle("feature_picker.css")

    _about = traitlets.Unicode().tag(sync=True)  # set by Python
    _features = traitlets.Dict().tag(sync=True)  # set by Python
    _families = traitlets.Dict().tag(sync=True)  # set by Python
    _ways = traitlets.List(traitlets.Unicode()).tag(sync=True)  # set by Python
    _selected = traitlets.List(traitlets.Int()).tag(sync=True, by_view=True)  # set by the view
    _listed = traitlets.List(traitlets.Int()).tag(sync=True, by_view=True)  # set by the view: the first of its list

    def __init__(
        self,
        features: sk.Dictionary,
        model: sk.Model | None = None,
        *,
        selected: Sequence[sk.Feature] = (),
        families: Mapping[str, Iterable[int]] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown("FeaturePicker", unknown, ["model", "selected", "families"])
        refuse_other("FeaturePicker", features, Dictionary, "model.dictionary()")
        if model is not None:
            refuse_other("FeaturePicker", model, Model, "sk.load()")
        self.features, self.model = features, model
        super().__init__(
            _about=f"{features.name} · {features.n_features:,} features",
            _features=_figures(features),
            _families=_packed(features, _storybook_families(features) if families is None else families),
            _ways=list(self._searches()),
            _selected=self._indices(selected),
        )

    @property
    def selected(self) -> list[sk.Feature]:
        """The features that are chosen, in the order of choosing; set it to choose others.

        Raises:
            ValueError: One is of another dictionary, or there twice.
        """
        return [self.features[index] for index in self._selected]

    @selected.setter
    def selected(self, features: Sequence[sk.Feature]) -> None:
        with self._writing:
            self._selected = self._indices(features)

    @property
    def listed(self) -> list[sk.Feature]:
        """The first 200 features of the list as it stands on the page: searched, filtered and in its order."""
        return [self.features[index] for index in self._listed]

    def _indices(self, features: Sequence[sk.Feature]) -> list[int]:
        for feature in features:
            if not isinstance(feature, Feature) or feature.dictionary.checksum != self.features.checksum:
                raise ValueError(f"{feature!r} is no feature of {self.features!r}. Choose from picker.features.")
        indices = [feature.index for feature in features]
        if len(set(indices)) < len(indices):
            twice = next(feature for feature in features if indices.count(feature.index) > 1)
            raise ValueError(f"{twice!r} is chosen twice. Give each feature once.")
        return indices

    def follow(self, targets: Sequence[Target]) -> None:
        """Choose these features, as far as they are of this dictionary."""
        own = [target for target in targets if isinstance(target, Feature) and target.dictionary is self.features]
        self.selected = list(dict.fromkeys(own))

    def still(self) -> str:
        """The features that are chosen, as they show themselves."""
        chosen = "".join(feature._repr_html_() for feature in self.selected)
        none = "" if chosen else pages.note("No feature is chosen.")
        return pages.fragment(pages.heading(self._about), none) + chosen

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Answer]]:
        """What the page asks: which features answer a search."""
        return {"find": self._find}

    def _searches(self) -> dict[str, Callable[[dict[str, Any]], list[tuple[int, float]]]]:
        without_model = {"words": self._by_words, "nearest": self._nearest}
        with_model = {"text": self._by_text, "token": self._by_token, "contrast": self._by_contrast}
        return without_model if self.model is None else without_model | with_model

    def _find(self, arguments: dict[str, Any]) -> Answer:
        searches = self._searches()
        search = searches.get(str(arguments.get("by")))
        if search is None:
            raise QuestionError(f"by={arguments.get('by')!r}; this picker searches by {', '.join(searches)}.")
        found = search(arguments)
        indices = torch.tensor([index for index, _ in found], dtype=torch.long)
        values = torch.tensor([value for _, value in found], dtype=torch.float32)
        return Answer({}, [pack(indices, "uint32")["data"], pack(values, "float32")["data"]])

    def _by_words(self, arguments: dict[str, Any]) -> list[tuple[int, float]]:
        matches = self.features.labels.search(_text(arguments, "text"), BY_WORDS)
        return [(match.feature, float("nan")) for match in matches]

    def _nearest(self, arguments: dict[str, Any]) -> list[tuple[int, float]]:
        feature = arguments.get("feature")
        if type(feature) is not int or not 0 <= feature < self.features.n_features:
            raise QuestionError(f"feature={feature!r}; features are 0 to {self.features.n_features - 1}.")
        return [(near.index, float("nan")) for near in self.features.nearest(feature, OTHERWISE)]

    def _by_text(self, arguments: dict[str, Any]) -> list[tuple[int, float]]:
        assert self.model is not None
        top = self.model.read(_text(arguments, "text"), self.features).top(OTHERWISE)
        top = top[top["max"] > 0]
        return list(zip(top["feature"], top["max"], strict=True))

    def _by_token(self, arguments: dict[str, Any]) -> list[tuple[int, float]]:
        assert self.model is not None
        found = self.features.promoting(_text(arguments, "text"), self.model, OTHERWISE)
        return [(feature.index, effect) for feature, effect in found]

    def _by_contrast(self, arguments: dict[str, Any]) -> list[tuple[int, float]]:
        from steerkit import contrast

        assert self.model is not None
        texts, against = [_text(arguments, "text")], [_text(arguments, "against")]
        found = contrast(self.model, texts, against, self.features)
        pairs = [(feature.index, found.difference[feature.index].item()) for feature in found.best(OTHERWISE)]
        return [(index, difference) for index, difference in pairs if difference > 0]

    @traitlets.validate("_selected", "_listed")
    def _known_features(self, proposal: dict[str, Any]) -> list[int]:
        chosen = proposal["value"]
        if len(set(chosen)) != len(chosen) or any(not 0 <= index < self.features.n_features for index in chosen):
            raise traitlets.TraitError(
                f"{chosen!r} do not fit this picker: give each feature once, from 0 to {self.features.n_features - 1}."
            )
        return chosen


def _figures(features: sk.Dictionary) -> dict[str, Any]:
    calibration = features.calibration
    unknown = torch.full((features.n_features,), torch.nan)
    return {
        **described(features, range(features.n_features)),
        "densities": pack(unknown if calibration is None else calibration.density.float(), "float32"),
    }


def _packed(features: sk.Dictionary, families: Mapping[str, Iterable[int]]) -> dict[str, Any]:
    """Names of families, and for each feature the place of its own; 255 for none."""
    if len(families) > MOST_FAMILIES:
        raise ValueError(f"There are {len(families)} families; a picker has at most {MOST_FAMILIES}.")
    of = torch.full((features.n_features,), MOST_FAMILIES)
    for place, (name, members) in enumerate(families.items()):
        indices = list(members)
        for index, other in zip(indices, of[indices].tolist(), strict=True):
            if other != MOST_FAMILIES:
                raise ValueError(
                    f"Feature {index} is in {list(families)[other]!r} and in {name!r}. Give it one family."
                )
        of[indices] = place
    return {"names": list(families), "of": pack(of, "uint8")}


def _storybook_families(features: sk.Dictionary) -> dict[str, list[int]]:
    """The families of storybook's concepts, each with the features that bear their names."""
    if features.parts.model != "storybook" and not features.name.startswith("storybook/"):
        return {}
    from steerkit import storybook

    of = {concept: family for family, concepts in storybook.families().items() for concept in concepts}
    found: dict[str, list[int]] = {family: [] for family in storybook.families()}
    for index, label in features.labels.bests().items():
        if family := of.get(re.sub(r" \(\d+\)$", "", label.text)):
            found[family].append(index)
    return {family: members for family, members in found.items() if members}


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise QuestionError(f"{name}={value!r}, which is no text.")
    return value
