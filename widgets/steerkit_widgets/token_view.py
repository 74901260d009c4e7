"""What a reading found at every token, to look at and to walk through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets

from steerkit.dictionaries.feature import Feature
from steerkit.runs import names
from steerkit_widgets._arrays import pack, pack_lines
from steerkit_widgets._base import Widget, refuse_unknown
from steerkit_widgets._features import described
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import steerkit as sk
    from steerkit.dictionaries.codes import Codes
    from steerkit.dictionaries.dictionary import Dictionary

MOST = 3  # features that colour a text at once


class TokenView(Widget):
    """A text coloured by what is active at its tokens.

    Without a feature chosen, the strongest at each token colours it. A click on a token lists what fires there, a
    selected span ranks features by their mean over it, and the list pins up to three features to colour by. Several
    dictionaries are rows, one above the other. The page has all it needs: it works without a kernel too.

    Args:
        reading: What `Model.read` gave back, of whole dictionaries, or along directions, or both.
        selected: Features to colour by at first, three at most.

    Raises:
        TypeError: `reading` is no reading, or an argument is unknown.
        ValueError: A feature was not read, or there are more than three.

    Example:
        >>> view = TokenView(model.read("The sky was dark.", features))  # doctest: +SKIP
        >>> view.selected, view.span  # what was pinned and selected by hand  # doctest: +SKIP
    """

    _esm = bundle("token_view.js")
    _css = bundle("token_view.css")

    _tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)  # set by Python
    _special = traitlets.Dict().tag(sync=True)  # set by Python
    _sources = traitlets.List(traitlets.Dict()).tag(sync=True)  # set by Python
    # Set by Python: source, index and label of features that were asked for and fire nowhere in this text.
    _silent = traitlets.List().tag(sync=True)
    # Set by the view: pairs of a source's place and a feature of it; the first and the last token.
    _selected = traitlets.List(traitlets.List(traitlets.Int(), minlen=2, maxlen=2)).tag(sync=True)
    _span = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, reading: sk.Reading, selected: Sequence[Feature] = (), **unknown: Any) -> None:
        refuse_unknown("TokenView", unknown, ["selected"])
        if not hasattr(reading, "codes"):
            raise TypeError(f"TokenView takes a reading, such as model.read(text, features); got {reading!r}.")
        super().__init__(**self._take(reading))
        self.selected = selected

    @property
    def reading(self) -> sk.Reading:
        """The reading that is shown; set it to show another: what is pinned and was read there too stays pinned."""
        return self._reading

    @reading.setter
    def reading(self, reading: sk.Reading) -> None:
        pinned = self.selected
        with self._writing, self.hold_sync():
            for name, value in {"_selected": [], "_silent": [], "_span": [], **self._take(reading)}.items():
                setattr(self, name, value)
            self.follow(pinned)

    @property
    def selected(self) -> list[Feature]:
        """The features that are pinned, in the order of their colours."""
        return [
            self.reading.codes[source][0][index] for source, index in self._selected if source < len(self.reading.codes)
        ]

    @selected.setter
    def selected(self, features: Sequence[Feature]) -> None:
        pairs = [[self._source(feature), feature.index] for feature in features]
        with self.hold_sync():
            self._silent = [
                [source, index, feature.label]
                for (source, index), feature in zip(pairs, features, strict=True)
                if index not in self._firing[source]
            ]
            self._selected = pairs

    def follow(self, features: Sequence[Feature]) -> None:
        """Colour by the last three of these features that are of a dictionary read here."""
        here = [dictionary for dictionary, _ in self.reading.codes]
        known = [feature for feature in features if any(feature.dictionary is one for one in here)]
        self.selected = known[-MOST:]

    def still(self) -> str:
        """The reading as it shows itself."""
        return self.reading._repr_html_()

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last token that are selected; None where none is."""
        return (self._span[0], self._span[1]) if self._span else None

    def _take(self, reading: sk.Reading) -> dict[str, Any]:
        """The traits that show a reading."""
        self._reading = reading
        fired = [codes.features.unique().tolist() for _, codes in reading.codes]
        self._firing = [set(features) for features in fired]
        sources = [_packed(d, c, f) for (d, c), f in zip(reading.codes, fired, strict=True)]
        if reading.columns:
            sources.append(_directions(reading))
            self._firing.append(set(range(len(reading.columns))))
        return {
            "_tokens": list(reading.prompt.tokens),
            "_special": pack(torch.tensor(reading.prompt.special), "uint8"),
            "_sources": sources,
        }

    def _source(self, feature: Feature) -> int:
        dictionaries = [dictionary for dictionary, _ in self.reading.codes]
        for place, dictionary in enumerate(dictionaries):
            if isinstance(feature, Feature) and feature.dictionary is dictionary:
                return place
        raise ValueError(f"{feature!r} was not read here. This reading is of {dictionaries or 'no dictionary'}.")

    @traitlets.validate("_selected")
    def _known_features(self, proposal: dict[str, Any]) -> list[list[int]]:
        pairs = proposal["value"]
        if len(pairs) > MOST or any(not self._is_known(*pair) for pair in pairs):
            raise traitlets.TraitError(
                f"{pairs!r} cannot colour the text. Give at most {MOST} features that were read here."
            )
        return pairs

    def _is_known(self, source: int, feature: int) -> bool:
        silent = any([source, feature] == item[:2] for item in self._silent)
        return silent or (0 <= source < len(self._firing) and feature in self._firing[source])

    @traitlets.validate("_span")
    def _within(self, proposal: dict[str, Any]) -> list[int]:
        span = proposal["value"]
        if span and not (len(span) == 2 and 0 <= span[0] <= span[1] < len(self._tokens)):
            raise traitlets.TraitError(f"{span!r} is no span of this text, which has {len(self._tokens)} tokens.")
        return span


def _packed(dictionary: Dictionary, codes: Codes, fired: Sequence[int]) -> dict[str, Any]:
    """A dictionary's activations: those of token `t` are the entries from `starts[t]` to `starts[t + 1]`."""
    return {
        "name": dictionary.name,
        "site": str(dictionary.reads_at()),
        **described(dictionary, fired),
        "starts": pack(codes.starts, "uint32"),
        "columns": pack(torch.searchsorted(torch.tensor(fired), codes.features.long()), "uint32"),
        "values": pack(codes.values, "float32"),
    }


def _directions(reading: sk.Reading) -> dict[str, Any]:
    """The coefficients of vectors and single features, in the same form."""
    n_tokens, n_columns = reading.coefficients.shape
    unknown = torch.full((n_columns,), torch.nan)
    return {
        "name": "directions",
        "site": ", ".join(dict.fromkeys(str(column.site) for column in reading.columns)),
        "indices": pack(torch.arange(n_columns), "uint32"),
        "labels": pack_lines(names(reading.columns)),
        "sources": pack_lines([""] * n_columns),
        "scores": pack(unknown, "float32"),
        "maxima": pack(unknown, "float32"),
        "starts": pack(torch.arange(n_tokens + 1) * n_columns, "uint32"),
        "columns": pack(torch.arange(n_columns).repeat(n_tokens), "uint32"),
        "values": pack(reading.coefficients, "float32"),
    }
