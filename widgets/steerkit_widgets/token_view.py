"""What a reading found at every token, to look at and to walk through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import traitlets

from steerkit.dictionaries.feature import Feature
from steerkit.reading import Reading
from steerkit.runs import names
from steerkit_widgets._arrays import pack, pack_lines
from steerkit_widgets._base import Widget, refuse_other, refuse_unknown
from steerkit_widgets._features import described
from steerkit_widgets._firing import firing
from steerkit_widgets._page import bundle

if TYPE_CHECKING:
    import pandas as pd

    import steerkit as sk
    from steerkit.dictionaries.codes import Codes
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.edits import Target

MOST = 3  # features that colour a text at once


class TokenView(Widget):
    """A text coloured by what is active at its tokens.

    Without a feature chosen, the strongest at each token colours it. A click on a token lists what fires there, a
    selected span ranks features by their mean over it, and the list pins up to three features to colour by. Several
    dictionaries are rows, one above the other. The page has all it needs: it works without a kernel too.

    Args:
        reading: What `Model.read` gave back, of whole dictionaries, or along directions, or both.
        selected: Features or vectors to colour by at first, three at most.

    Raises:
        TypeError: `reading` is no reading, or an argument is unknown.
        ValueError: A feature was not read, or there are more than three.

    Example:
        >>> view = TokenView(model.read("The sky was dark.", features))  # doctest: +SKIP
        >>> view.selected, view.span, view.firing  # pinned, selected by hand, ranked  # doctest: +SKIP
    """

    _esm = bundle("token_view.js")
    _css = bundle("token_view.css")

    _tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)  # set by Python
    _special = traitlets.Dict().tag(sync=True)  # set by Python
    _sources = traitlets.List(traitlets.Dict()).tag(sync=True)  # set by Python
    # Set by Python: source, index and label of features that were asked for and fire nowhere in this text.
    _silent = traitlets.List().tag(sync=True)
    # Set by the view: pairs of a source's place and a feature of it; the first and the last token.
    _selected = traitlets.List(traitlets.List(traitlets.Int(), minlen=2, maxlen=2)).tag(sync=True, by_view=True)
    _span = traitlets.List(traitlets.Int()).tag(sync=True, by_view=True)

    def __init__(self, reading: sk.Reading, selected: Sequence[Target] = (), **unknown: Any) -> None:
        refuse_unknown("TokenView", unknown, ["selected"])
        super().__init__(**self._take(reading))
        self.selected = selected

    @property
    def reading(self) -> sk.Reading:
        """The reading that is shown; set it to show another: what is pinned and was read there too stays pinned."""
        return self._reading

    @reading.setter
    def reading(self, reading: sk.Reading) -> None:
        with self._writing, self.hold_sync():
            pinned = self.selected
            shown = self._take(reading)
            # At once, and without a moment in which none is pinned: whoever is linked hears of changes alone.
            self.follow(pinned)
            for name, value in {"_span": [], **shown}.items():
                setattr(self, name, value)

    @property
    def selected(self) -> list[Target]:
        """The features and vectors that are pinned, in the order of their colours; set it to pin others.

        Raises:
            ValueError: One was not read, or there are more than three.
        """
        return [self._target(source, index) for source, index in self._selected]

    @selected.setter
    def selected(self, targets: Sequence[Target]) -> None:
        with self._writing, self.hold_sync():
            pairs = [self._place(target) for target in targets]
            if None in pairs:
                unknown = targets[pairs.index(None)]
                read = [*(dictionary for dictionary, _ in self.reading.codes), *self.reading.targets]
                raise ValueError(f"{unknown!r} was not read here. This reading is of {read}.")
            if len(pairs) > MOST:
                raise ValueError(f"{len(pairs)} features cannot colour the text at once. Give at most {MOST}.")
            self._silent = [
                [source, index, target.label]
                for (source, index), target in zip(pairs, targets, strict=True)
                if index not in self._firing[source]
            ]
            self._selected = pairs

    @property
    def firing(self) -> pd.DataFrame:
        """What fires over the selected tokens (over all where none are), as the page ranks it.

        Columns: `feature` (none for a vector), `label`, `site`, `mean` over the tokens, `size` (which ranks them: the
        mean as a share of the feature's maximum, where that is known), `max` and `count`. Special tokens are left out.
        """
        return firing(self.reading, *(self.span or (0, len(self.reading.tokens) - 1)))

    def follow(self, targets: Sequence[Target]) -> None:
        """Colour by the last three of these that were read here."""
        with self._writing:
            self.selected = [target for target in targets if self._place(target) is not None][-MOST:]

    def still(self) -> str:
        """The reading as it shows itself."""
        return self.reading._repr_html_()

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last token that are selected; None where none is."""
        return (self._span[0], self._span[1]) if self._span else None

    def _take(self, reading: sk.Reading) -> dict[str, Any]:
        """The traits that show a reading."""
        refuse_other("TokenView", reading, Reading, "model.read(text, features)")
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

    def _target(self, source: int, index: int) -> Target:
        if source < len(self.reading.codes):
            return self.reading.codes[source][0][index]
        return self.reading.targets[self.reading.columns[index].edit]

    def _place(self, target: object) -> list[int] | None:
        """The place of a target's source, and that of the target in it; None where it was not read."""
        for place, (dictionary, _) in enumerate(self.reading.codes):
            if isinstance(target, Feature) and target.dictionary is dictionary:
                return [place, target.index]
        columns = [self.reading.targets[column.edit] for column in self.reading.columns]
        return [len(self.reading.codes), columns.index(target)] if target in columns else None

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
