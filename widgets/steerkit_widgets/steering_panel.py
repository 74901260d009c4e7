"""The panel that steers: a prompt, a list of edits, and the texts without and with them side by side."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import traitlets

import steerkit as sk
from steerkit import pages
from steerkit.circumstances import Circumstances
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.edits import Edit, Target
from steerkit.errors import SteerkitError
from steerkit.model import Model
from steerkit.plans import EditsLike
from steerkit.records import Record
from steerkit.tokens import PromptLike
from steerkit_widgets import _exchange as exchange
from steerkit_widgets._asking import Answer, AskedWidget
from steerkit_widgets._base import refuse_other, refuse_unknown
from steerkit_widgets._document import PRESET, Document, Row, check_preset, plain_prompt, plain_settings, rows
from steerkit_widgets._generation import PROTOCOL
from steerkit_widgets._page import bundle
from steerkit_widgets._running import Running
from steerkit_widgets._targets import Targets, key
from steerkit_widgets._writing import Writer

N_FOUND = 12  # features that a search shows
# Of an edit as JSON: what tells it from others, and how strong it is.
WHAT, HOW_MUCH = ("target", "operator"), ("strength", "unit", "low")
ARGUMENTS = ["prompt", "max_new_tokens", "seeds", "temperature", "top_p", "limit", "presets"]


class SteeringPanel(AskedWidget):
    """Steer a model by hand: baseline and steered text stream side by side.

    Moving a slider cancels the running text and starts again with the new strength; the newest
    position always wins. The baseline stays put for a prompt, seed and sampling.

    What the screen asks for is set by the view; where Python sets it, the view follows.

    Args:
        model: A model from `steerkit.load`.
        features: A dictionary to search in; or vectors and features, a slider each at rest, and dictionaries.
        prompt: What the texts begin with: a text, or chat messages.
        max_new_tokens: Length of the new text, in tokens.
        seeds: Seed of the noise that both texts draw from; several, 16 at most, for several pairs of texts.
        temperature: 0 is greedy.
        top_p: Share of the probability that is drawn from.
        limit: Strength at the ends of the sliders, in multiples of the direction; without it, features whose maximum
            activation is known go by that. Number fields go beyond.
        presets: Edits to choose from, by name.

    Raises:
        TypeError: `model` is no model, `features` is no dictionary and no list of targets, or an argument is unknown.
        SettingError: `limit` is not above 0, or there is no seed, or there are too many.
        EditError: A preset ends the text or calls a function on a condition.

    Example:
        >>> panel = SteeringPanel(model, features, prompt="One day, Mia")  # doctest: +SKIP
        >>> panel.plan = [features["rain"].add(1.2, unit="max")]  # doctest: +SKIP
        >>> panel.run.text  # the last steered text  # doctest: +SKIP
    """

    _esm = bundle("steering_panel.js")
    _css = bundle("steering_panel.css")

    # Not echoed: what a page wrote a moment ago must not overtake the hand that has moved on.
    _document = traitlets.Dict().tag(sync=True, by_view=True, echo_update=False)  # set by the view, and by Python
    _presets = traitlets.List().tag(sync=True, by_view=True, echo_update=False)  # set by the view, and by Python
    _start = traitlets.Dict().tag(sync=True)  # set by Python: what Reset goes back to
    _targets = traitlets.Dict().tag(sync=True)  # set by Python: how what is steered is shown
    _about = traitlets.Unicode().tag(sync=True)  # set by Python
    _chat = traitlets.Bool().tag(sync=True)  # set by Python
    _texts = traitlets.Instance(dict, allow_none=True).tag(sync=True)  # set by Python, after each run

    _running: Running | None = None

    def __init__(
        self,
        model: sk.Model,
        features: Dictionary | Sequence[Target | Dictionary],
        prompt: PromptLike = "",
        max_new_tokens: int = 60,
        *,
        seeds: int | Sequence[int] = 0,
        temperature: float = 0.8,
        top_p: float = 1.0,
        limit: float | None = None,
        presets: Mapping[str, EditsLike] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown("SteeringPanel", unknown, ARGUMENTS)
        refuse_other("SteeringPanel", model, Model, "sk.load()")
        given = [features] if isinstance(features, Dictionary) else features
        if not isinstance(given, Sequence) or not all(isinstance(f, Target | Dictionary) for f in given):
            raise TypeError(
                f"SteeringPanel takes a dictionary, or a list of vectors and features, a slider each; got "
                f"{features!r}. Put vectors into a list: SteeringPanel(model, [vector])."
            )
        self._model, self._known = model, Targets(limit)
        self._writer = Writer(model, self._known)
        self._running = Running(self._writer, lambda message: self.send(message), self._save, self.log)
        self._followed: dict[str, str] = {}
        self._offered = 0  # dictionaries at the time when targets were last shown
        # The documents that Undo and Redo go to. No trait: saved notebooks would have what was deleted.
        self._history: dict[str, list[Any]] = {"past": [], "future": []}
        edits = []
        for one in given:
            if isinstance(one, Dictionary):
                self._known.join(one)
            else:
                edits.append(self._known.write(self._known.default(one)))
        document = Document(
            plain_prompt(prompt),
            rows(edits),
            **plain_settings(
                {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seeds": seeds}
            ),
        ).to_json()
        super().__init__(
            _document=document,
            _start=document,
            _about=_about(model),
            _chat=bool(model.tokenizer.chat_template),
        )
        self.presets = presets or {}

    @property
    def run(self) -> sk.Run | None:
        """The last steered run that ended or was stopped, with the first seed; None before the first."""
        return next(iter(self.runs), None)

    @property
    def runs(self) -> list[sk.Run]:
        """The last steered runs, one a seed."""
        return [pair.steered for pair in self._running.pairs]

    @property
    def baseline(self) -> sk.Run | None:
        """The baseline of `run`."""
        return next(iter(self.baselines), None)

    @property
    def baselines(self) -> list[sk.Run]:
        """The baselines of `runs`."""
        return [pair.baseline for pair in self._running.pairs]

    @property
    def alternatives(self) -> list[sk.Alternatives]:
        """For each of `runs`, the likeliest tokens under both models and the KL at each token."""
        return list(self._running.alternatives)

    @property
    def plan(self) -> sk.Plan:
        """The edits as they stand now; set it to edits of your own, or a plan of edits.

        Raises:
            EditError: The plan ends the text or calls a function on a condition, which a panel cannot show.
            SteerkitError: An edit of the list means nothing.
        """
        return self._writer.plan(self._read())

    @plan.setter
    def plan(self, edits: EditsLike) -> None:
        self._ask(**self._known.plan(edits), control=False, before=())

    @property
    def prompt(self) -> str | list[dict[str, str]]:
        """What the texts begin with: a text, or chat messages."""
        return self._read().prompt

    @prompt.setter
    def prompt(self, prompt: PromptLike) -> None:
        self._ask(prompt=plain_prompt(prompt), before=())

    @property
    def settings(self) -> dict[str, Any]:
        """`max_new_tokens`, `temperature`, `top_p` and `seeds`; set it to change some of them.

        Raises:
            TypeError: It is asked for another one.
        """
        return dict(self._document["settings"])

    @settings.setter
    def settings(self, settings: Mapping[str, Any]) -> None:
        known = list(self.settings)
        refuse_unknown("settings", {name: value for name, value in settings.items() if name not in known}, known)
        self._ask(**plain_settings(settings), before=())

    @property
    def presets(self) -> dict[str, sk.Plan]:
        """Edits to choose from, by name."""
        parts = {one["name"]: {part: one[part] for part in PRESET} for one in self._presets}
        documents = {name: {**self._document, "control": False, **said} for name, said in parts.items()}
        return {name: self._writer.plan(Document.read(document)) for name, document in documents.items()}

    @presets.setter
    def presets(self, presets: Mapping[str, EditsLike]) -> None:
        listed = []
        for name, edits in presets.items():
            document = replace(self._read(), **self._known.plan(edits)).to_json()
            listed.append({"name": name, **{part: document[part] for part in PRESET}})
        with self._writing:
            self._presets = listed

    def start(self) -> None:
        """Start a text, as Run does; one that is running gives way. Returns at once.

        Raises:
            RuntimeError: The panel is closed.
        """
        self._running.begin(self._read())

    def stop(self) -> None:
        """Stop the running text, as Stop does."""
        self._running.stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no text is running; False if that took longer than `timeout` seconds."""
        return self._running.wait(timeout)

    def follow(self, targets: Iterable[Target]) -> None:
        """Have an edit for each of these, at rest; those that came so before and are still at rest go."""
        with self._writing:
            document = self._read()
            wanted = {self._known.named(target)[0]: target for target in targets}
            kept = [
                row
                for row in document.edits
                if self._followed.get(row.id) != (name := key(row.edit["target"]))
                or name in wanted
                or not _at_rest(row)
            ]
            present = {key(row.edit["target"]) for row in kept}
            new = [self._known.write(self._known.default(t)) for name, t in wanted.items() if name not in present]
            edits = rows(new, kept)
            added = {row.id: key(row.edit["target"]) for row in edits[len(kept) :]}
            self._followed = {row.id: self._followed[row.id] for row in kept if row.id in self._followed} | added
            self._ask(edits=edits)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The edits as the screen has them, in the order of `plan`, with the names by which it knows them."""
        return self._read().edits

    def add(self, target: Target) -> None:
        """Add an edit of a vector or feature, at rest."""
        with self._writing:
            row = self._known.write(self._known.default(target))
            self._ask(edits=rows([row], self.rows))

    def steer(self, edit: Edit) -> None:
        """Start a text with this edit, in place of the one that does the same to the same target, or beside the others.

        Raises:
            PlanError: It cannot be written.
        """
        with self._writing:
            said = self._known.write(edit)
            same = [row.id for row in self.rows if all(row.edit[part] == said[part] for part in WHAT)]
            if same:
                self._ask(edits=tuple(replace(row, edit=said) if row.id == same[0] else row for row in self.rows))
            else:
                self._ask(edits=rows([said], self.rows))
        self.start()

    def set_strength(self, row: Row, strength: float) -> bool:
        """Change the strength of an edit that is or was one of `rows`, in the unit that it has there.

        Returns:
            Whether it still is: names are given out again, so that its target and operator have to be the same too.
        """
        with self._writing:
            now = next((one for one in self.rows if one.id == row.id), None)
            if now is None or any(now.edit[part] != row.edit[part] for part in WHAT):
                return False
            size = {part: said for part, said in row.edit.items() if part in HOW_MUCH}
            kept = {part: said for part, said in now.edit.items() if part not in HOW_MUCH}
            edit = {**kept, **size, "strength": strength}
            self._ask(edits=tuple(replace(one, edit=edit) if one == now else one for one in self.rows))
            return True

    def limit(self, edit: Edit) -> float:
        """The strength at the end of an edit's slider."""
        return self._known.named(edit.target)[1]["units"][edit.unit]["limit"]

    def still(self) -> str:
        """The prompt, the edits in words, and the texts that there are."""
        document, said = self._read(), []
        with contextlib.suppress(SteerkitError):  # an edit that means nothing is shown by the panel alone
            said = self.plan.describe().splitlines()
        prompt = document.prompt if isinstance(document.prompt, str) else json.dumps(document.prompt)
        texts = [pages.columns(p.baseline.block("Baseline"), p.steered.block("Steered")) for p in self._running.pairs]
        notes = [self._about, f"Prompt: {prompt}", *said]
        return pages.fragment(pages.heading("Steering panel"), *map(pages.note, notes), *texts)

    def close(self) -> None:
        """Stop the running text and take the panel off the page."""
        if self._running is not None:
            self._running.close()
        super().close()

    @traitlets.validate("_document")
    def _of_its_form(self, proposal: dict[str, Any]) -> dict[str, Any]:
        try:
            return Document.read(proposal["value"]).to_json()
        except SteerkitError as error:
            raise traitlets.TraitError(str(error)) from error

    @traitlets.validate("_presets")
    def _presets_of_their_form(self, proposal: dict[str, Any]) -> list[Any]:
        try:
            for one in proposal["value"]:
                check_preset(one)
        except SteerkitError as error:
            raise traitlets.TraitError(str(error)) from error
        return proposal["value"]

    @traitlets.observe("_document", "_presets")
    def _show_targets(self, _: object) -> None:
        found = self._known.mentioned([self._document, self._presets])
        if (offered := len(self._known.dictionaries)) != self._offered:  # what tells features apart is another now
            self._offered, new = offered, found | self._known.mentioned(list(self._targets.values()))
        else:
            new = {name: target for name, target in found.items() if name not in self._targets}
        if new:
            with self._writing:
                self._targets = {**self._targets, **{name: self._known.named(t)[1] for name, t in new.items()}}

    def _read(self) -> Document:
        return Document.read(self._document)

    def _ask(self, **changes: Any) -> None:
        """Change what the screen asks for."""
        with self._writing:
            self._document = replace(self._read(), **changes).to_json()

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Answer]]:
        """What the page may ask beside runs."""
        return {"search": self._search, "script": self._script, "recipe": self._recipe, "load": self._load}

    def _search(self, arguments: dict[str, Any]) -> Answer:
        words = Record(arguments, "a search").take("words", str)
        return Answer([shown for _, shown in self._known.search(words, N_FOUND)])

    def _script(self, _: dict[str, Any]) -> Answer:
        return Answer(exchange.script_of(self._model, self.plan, self._read()))

    def _recipe(self, _: dict[str, Any]) -> Answer:
        return Answer(exchange.recipe_of(self._model, self.run, self._running.document))

    def _load(self, arguments: dict[str, Any]) -> Answer:
        text = Record(arguments, "a recipe").take("text", str)
        recipe = exchange.recipe_in(text, self._known.dictionaries)
        changes = {**exchange.changes_of(recipe), **self._known.plan(recipe.plan)}
        Document.read(replace(self._read(), **changes).to_json())  # traitlets would say less well what is wrong
        self._ask(**changes)
        self.start()
        unlike = Circumstances.of(self._model, recipe.plan).unlike(recipe.made_with)
        return Answer("\n".join([recipe.describe(), *unlike]))

    def _answer(self, content: Any) -> None:
        message = content if isinstance(content, dict) else {}
        operation = message.get("op")
        if operation in Running.OPERATIONS:
            self._running.answer(message)
        elif operation == "remember":
            self._history = _history_of(Record(message, "a history"))
        elif operation == "recall":
            self.send({"v": PROTOCOL, "op": "history", **self._history})
        else:
            super()._answer(content)

    def _get_embed_state(self, drop_defaults: bool = False) -> dict[str, Any]:
        """What a page without a kernel has: nothing of what was deleted, so that Reset goes to what it shows."""
        embedded: dict[str, Any] = super()._get_embed_state(drop_defaults=drop_defaults)
        shown = self._known.mentioned([self._document, self._presets, self._texts])
        targets = {name: said for name, said in self._targets.items() if name in shown}
        embedded["state"].update(_start=self._document, _targets=targets)
        return embedded

    def _save(self, texts: dict[str, Any]) -> None:
        """Put the texts where a reload and an export find them."""
        with self._writing:
            self._texts = texts


def _history_of(record: Record) -> dict[str, list[Any]]:
    """The documents that a page wants to be remembered.

    Raises:
        SteerkitError: They are of another form.
    """
    history = {side: record.take(side, list) for side in ("past", "future")}
    for document in itertools.chain.from_iterable(history.values()):
        Document.read(document)
    return history


def _at_rest(row: Row) -> bool:
    return row.edit["operator"] == "add" and not row.edit.get("strength", 0.0)


def _about(model: sk.Model) -> str:
    folder = Path(model.name)
    name = folder.name if folder.is_dir() else model.name
    return f"{name} · {_count(model.n_parameters)} parameters · {model.device}"


def _count(n: float) -> str:
    for unit in ("", "K", "M"):
        if n < 1000:
            return f"{n:.3g}{unit}"
        n /= 1000
    return f"{n:.3g}B"
