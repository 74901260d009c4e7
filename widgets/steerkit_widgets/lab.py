"""All widgets on one screen, linked with each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import traitlets
from anywidget import WidgetTrait

import steerkit as sk
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.feature import Feature
from steerkit.errors import SteerkitError
from steerkit.model import Model
from steerkit.records import Record
from steerkit_widgets import _page, _sweeping
from steerkit_widgets._asking import Answer, AskedWidget, QuestionError
from steerkit_widgets._base import refuse_other, refuse_unknown
from steerkit_widgets._document import Row
from steerkit_widgets._page import bundle
from steerkit_widgets._targets import key
from steerkit_widgets._worker import Worker
from steerkit_widgets.contrast_view import ContrastView
from steerkit_widgets.feature_card import FeatureCard
from steerkit_widgets.feature_picker import FeaturePicker
from steerkit_widgets.link import link
from steerkit_widgets.steering_panel import SteeringPanel
from steerkit_widgets.sweep_view import SweepView
from steerkit_widgets.token_view import TokenView

if TYPE_CHECKING:
    from steerkit.edits import Target
    from steerkit.tokens import PromptLike

ARGUMENTS = ["prompt", "max_new_tokens"]
VIEWS = ("panel", "tokens", "picker", "card", "sweep", "contrast")


class Lab(AskedWidget):
    """Find features, steer with them, and see what comes of it, on one screen.

    A feature that is chosen in the picker gets an edit in the panel, shows its card, and colours the text. Each text of
    the panel is read along the dictionary by the unsteered model: that is what the text expresses, whatever made it. An
    edit can be swept; a click on a strength of the sweep steers with it. Two lists of texts give features to choose,
    and a direction to steer with.

    Args:
        model: A model from `steerkit.load`.
        features: A dictionary; or a list of vectors, features and dictionaries as for `SteeringPanel`, at least one
            dictionary among them. The model's own without it.
        prompt: What the texts begin with: a text, or chat messages.
        max_new_tokens: Length of the new text, in tokens.

    Attributes:
        panel: Prompt, edits, and the texts: `panel.plan`, `panel.run`, `panel.baseline`.
        tokens: The last steered text, coloured: `tokens.reading`, `tokens.selected`, `tokens.span`.
        picker: The features: `picker.selected`.
        card: What is known of one of them: `card.feature`.
        sweep: Texts by strength: `sweep.sweep`, `sweep.strength`, `sweep.run`.
        contrast: What tells two lists of texts apart: `contrast.contrast`, `contrast.vector()`.

    Raises:
        TypeError: `model` is no model, there is no dictionary among `features`, or an argument is unknown.
        SteerkitError: The model has no dictionary of its own, or the prompt or the dictionary does not fit it.

    Example:
        >>> lab = skw.Lab(model, features, prompt="One day, Mia")  # doctest: +SKIP
        >>> lab.plan = [features["rain"].add(1.2, unit="max")]  # doctest: +SKIP
        >>> lab.run.text, lab.picker.selected, lab.tokens.span  # doctest: +SKIP
    """

    _esm = bundle("lab.js")
    _css = bundle("lab.css")

    # Set by Python.
    panel: SteeringPanel = WidgetTrait().tag(sync=True)  # type: ignore[assignment]
    tokens: TokenView = WidgetTrait().tag(sync=True)  # type: ignore[assignment]
    picker: FeaturePicker = WidgetTrait().tag(sync=True)  # type: ignore[assignment]
    card: FeatureCard = WidgetTrait().tag(sync=True)  # type: ignore[assignment]
    sweep: SweepView = WidgetTrait().tag(sync=True)  # type: ignore[assignment]
    contrast: ContrastView = WidgetTrait().tag(sync=True)  # type: ignore[assignment]
    # Set by Python: id and label of the panel's edits that have a strength; why the last text could not be read.
    _edits = traitlets.List(traitlets.Dict()).tag(sync=True)
    _unread = traitlets.Unicode().tag(sync=True)

    _reader: Worker | None = None

    def __init__(
        self,
        model: sk.Model,
        features: Dictionary | Sequence[Target | Dictionary] | None = None,
        prompt: PromptLike = "Once upon a time",
        max_new_tokens: int = 60,
        **unknown: Any,
    ) -> None:
        refuse_unknown("Lab", unknown, ARGUMENTS)
        refuse_other("Lab", model, Model, "sk.load()")
        features = model.dictionary() if features is None else features
        given = [features] if isinstance(features, Dictionary) else list(features)
        self._dictionaries = [one for one in given if isinstance(one, Dictionary)]
        if not self._dictionaries:
            raise TypeError(
                f"Lab takes a dictionary, or a list with one in it; got {features!r}. "
                "SteeringPanel does with vectors alone: SteeringPanel(model, [vector])."
            )
        self.model, dictionary = model, self._dictionaries[0]
        self._shown = threading.Event()  # set while the token view shows the panel's last text
        self._shown.set()
        self._swept: Row | None = None  # the edit whose strengths the sweep shows
        shown = next((one for one in given if isinstance(one, Feature)), dictionary[0])
        super().__init__(
            panel=SteeringPanel(model, given, prompt, max_new_tokens),
            tokens=TokenView(model.read(prompt, self._dictionaries)),
            picker=FeaturePicker(dictionary, model),
            card=FeatureCard(shown, model),
            sweep=SweepView(sk.Sweep([], [])),
            contrast=ContrastView(dictionary, model),
        )
        self._reader = Worker("lab-reader")
        for target in (self.panel, self.card, self.tokens):
            link(self.picker, target)
        link(self.tokens, self.card)
        link(self.contrast, _Joining(self.picker))
        self.panel.observe(self._read_soon, "_texts")
        self.panel.observe(self._list_edits, ["_document", "_targets"])
        self.sweep.observe(self._steer_as_swept, "_chosen")
        self._list_edits()

    @property
    def run(self) -> sk.Run | None:
        """The panel's last steered run; None before the first."""
        return self.panel.run

    @property
    def plan(self) -> sk.Plan:
        """The panel's edits as they stand; set it to edits of your own."""
        return self.panel.plan

    @plan.setter
    def plan(self, edits: sk.Plan | Sequence[Any]) -> None:
        self.panel.plan = edits

    @property
    def selected(self) -> list[sk.Feature]:
        """The features that are chosen in the picker; set it to choose others."""
        return self.picker.selected

    @selected.setter
    def selected(self, features: Sequence[sk.Feature]) -> None:
        self.picker.selected = features

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no text is running and the last is read; False if either takes longer than `timeout` seconds."""
        return self.panel.wait(timeout) and self._shown.wait(timeout)

    def close(self) -> None:
        """Take the lab and all in it off the page, and end its threads."""
        if self._reader is not None:
            self._reader.close()
            for name in VIEWS:
                getattr(self, name).close()
        super().close()

    def still(self) -> str:
        """What its views show by themselves."""
        return "".join(getattr(self, name).still() for name in VIEWS)

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Answer]]:
        """What the page asks for: a sweep of an edit, the contrast's direction in the panel, itself as a saved page."""
        return {"sweep": self._sweep, "direction": self._direction, "page": lambda _: Answer(_page.page(self))}

    def _sweep(self, arguments: dict[str, Any]) -> Answer:
        name, panel = Record(arguments, "a sweep").take("edit", str), self.panel
        with panel._writing:  # a row and its edit must be of one moment
            rows, plan = panel.rows, panel.plan
        place = next((at for at, row in enumerate(rows) if row.id == name), None)
        if place is None or not _sweeping.can_be_swept(plan[place].operator):
            raise QuestionError(f"edit={name!r}, which the panel does not have, or which has no strength.")
        edit = plan[place]
        values = _sweeping.strengths(edit, panel.limit(edit))
        found = _sweeping.swept(self.model, panel.prompt, plan, place, values, panel.settings)
        self._swept = None  # what was chosen before speaks of another edit
        self.sweep.effect = _sweeping.presence(self.model, edit.target)
        self.sweep.sweep = found
        self._swept = rows[place]
        return Answer({})

    def _direction(self, _: dict[str, Any]) -> Answer:
        taken = {edit.target.label for edit in self.plan}
        label = next(name for n in range(len(taken) + 1) if (name := f"contrast {n + 1}") not in taken)
        self.panel.add(self.contrast.vector(label))
        return Answer({})

    def _steer_as_swept(self, _: object) -> None:
        strength, swept = self.sweep.strength, self._swept
        if strength is not None and swept is not None and self.panel.set_strength(swept, strength):
            self.panel.start()

    def _list_edits(self, _: object = None) -> None:
        shown = self.panel._targets
        rows = [
            (row.id, shown[name])
            for row in self.panel.rows
            if _sweeping.can_be_swept(row.edit["operator"]) and (name := key(row.edit["target"])) in shown
        ]
        labels = [target["label"] for _, target in rows]
        with self._writing:
            self._edits = [
                {"id": name, "label": label if labels.count(label) == 1 else f"{label} · {target['detail']}"}
                for label, (name, target) in zip(labels, rows, strict=True)
            ]

    def _read_soon(self, _: object) -> None:
        self._shown.clear()
        if self._reader is not None:
            self._reader.submit(self._read)  # the panel's thread goes on writing

    def _read(self) -> None:
        """Show the panel's last text in the token view."""
        if (run := self.panel.run) is None:
            return
        unread = ""
        try:
            self.tokens.reading = self.model.read([*run.prompt.ids, *run.token_ids], self._dictionaries)
        except Exception as error:
            if not isinstance(error, SteerkitError):
                self.log.error("A text of a lab could not be read.", exc_info=True)
            unread = f"The text could not be read. {error}"
        with self._writing:
            self._unread = unread
        if self.panel.run is run:
            self._shown.set()


class _Joining:
    """Adds what is chosen elsewhere to what is chosen in a picker, and takes it out again."""

    def __init__(self, picker: FeaturePicker) -> None:
        self._picker = picker
        self._joined: list[Feature] = []

    def follow(self, features: Sequence[Feature]) -> None:
        """Choose these too."""
        before = [feature for feature in self._picker.selected if feature not in self._joined or feature in features]
        self._joined = [feature for feature in features if feature not in before or feature in self._joined]
        self._picker.selected = [*before, *(feature for feature in features if feature not in before)]
