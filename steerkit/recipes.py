"""Recipes: a plan with everything needed to write the same text again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from steerkit import __version__, neuronpedia, pages, plan_json
from steerkit.circumstances import Circumstances
from steerkit.errors import ModelError, PlanError, PromptError
from steerkit.model import Model, load
from steerkit.plans import EditsLike, Plan
from steerkit.records import Record, checked
from steerkit.runs import Run, Settings
from steerkit.script import script
from steerkit.tokens import Prompt, PromptLike
from steerkit.whole_file import written_whole

if TYPE_CHECKING:
    from steerkit.dictionaries.dictionary import Dictionary

FORMAT, VERSION = "steerkit recipe", 1
PlainPrompt: TypeAlias = "str | list[int] | list[dict[str, str]]"


@dataclass(frozen=True, eq=False)
class Replay(Run):
    """The run of a recipe, beside the text that the recipe was made with.

    Attributes:
        same: Whether it is the same text, token for token.
        differences: What is not as it was when the recipe was made: the text from some token on, the prompt's tokens,
            versions, device and the like.
    """

    same: bool = True
    differences: tuple[str, ...] = ()

    def describe(self) -> str:
        """How it was made and how it reads, in one line, and whether it is the recipe's text."""
        told = ["the same text as in the recipe" if self.same else "not the same text as in the recipe"]
        return " · ".join([super().describe(), *told, *self.differences])

    def __repr__(self) -> str:
        return f"Replay({self.text!r}, {self.plan}, same={self.same})"


class Recipe:
    """A plan with everything needed to write the same text again. Making one writes the text.

    Args:
        model: The model.
        edits: Edits, or a plan.
        prompt: Text, token ids or chat messages.
        max_new_tokens: As in `Model.generate`, like the rest.
        temperature: 0 is greedy.
        top_p: Sample from the smallest set of tokens whose probability reaches it.
        seed: The same seed gives the same noise at the same position.

    Attributes:
        plan: The edits.
        prompt: The prompt as given.
        prompt_ids: Its token ids.
        settings: How tokens were chosen.
        text: The text that it gave, without special tokens.
        tokens: Text of each of its tokens; special tokens by name.
        token_ids: Their ids.
        made_with: What it was made with.

    Raises:
        PlanError: The plan cannot be written down.
        SteerkitError: The prompt, a setting or an edit does not fit the model.

    Example:
        >>> Recipe(model, rain.add(8), prompt="One day,", seed=0).save("rainy.json")  # doctest: +SKIP
        >>> Recipe.load("rainy.json").run().same  # doctest: +SKIP
        True
    """

    def __init__(
        self,
        model: Model,
        edits: EditsLike = (),
        *,
        prompt: PromptLike,
        max_new_tokens: int = 60,
        temperature: float = 0.8,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.prompt = _plain(prompt, model.encode(prompt))
        settings = Settings(max_new_tokens, temperature, top_p, seed)
        self._keep(model, model.generate(self.prompt, Plan(edits), **asdict(settings)))

    @classmethod
    def of(cls, model: Model, run: Run, prompt: PromptLike) -> Recipe:
        """The recipe of a text that is written already.

        Args:
            model: The model that wrote it.
            run: What it wrote.
            prompt: The prompt as it was given.

        Raises:
            PlanError: The plan cannot be written down.
            PromptError: The run was written from another prompt.
        """
        recipe = cls.__new__(cls)
        encoded = model.encode(prompt)
        if encoded.ids != run.prompt.ids:
            raise PromptError("The run was written from another prompt than the one given. Give the prompt it had.")
        recipe.prompt = _plain(prompt, encoded)
        recipe._keep(model, run)
        return recipe

    def _keep(self, model: Model, run: Run) -> None:
        self.plan, self.settings = run.plan, run.settings
        self.made_with = Circumstances.of(model, run.plan)
        self.prompt_ids, self.token_ids = list(run.prompt.ids), list(run.token_ids)
        self.tokens, self.text = list(run.tokens), run.text

    def to_json(self) -> str:
        """The recipe as the text of its file."""
        return json.dumps(self._data(), indent=1, ensure_ascii=False, allow_nan=False)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a JSON file, whole or not at all.

        Raises:
            PlanError: The file cannot be written.
        """
        try:
            with written_whole(path) as part:
                part.write_text(self.to_json(), encoding="utf-8")
        except OSError as error:
            raise PlanError(f"The recipe cannot be saved as '{path}': {error.strerror}. Give another path.") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, dictionaries: Iterable[Dictionary] = ()) -> Recipe:
        """Read a recipe from a file. Its model is loaded when it runs.

        Args:
            path: The file.
            dictionaries: Dictionaries in memory that its plan may mean; others are loaded by their names.

        Raises:
            PlanError: There is no such file; it is no recipe, damaged or of another version; or one of its dictionaries
                is another than it was.
            SteerkitError: Something in it means nothing.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise PlanError(f"There is no recipe '{path}' to be read: {error.strerror}. Check the path.") from error
        except UnicodeDecodeError as error:
            raise PlanError(f"'{path}' is no recipe: it is no text. Check the path.") from error
        return cls._read(text, f"the recipe '{path}'", dictionaries)

    @classmethod
    def from_json(cls, text: str, *, dictionaries: Iterable[Dictionary] = ()) -> Recipe:
        """Read a recipe that `to_json` wrote; the rest as in `load`.

        Raises:
            PlanError: It is no recipe, damaged or of another version; or a dictionary is another than it was.
            SteerkitError: Something in it means nothing.
        """
        return cls._read(text, "the recipe", dictionaries)

    @classmethod
    def _read(cls, text: str, place: str, dictionaries: Iterable[Dictionary]) -> Recipe:
        record = Record.parse(text, place)
        record.head(FORMAT, VERSION)
        recipe = cls.__new__(cls)
        recipe.made_with = Circumstances.read(record.need("made_with"))
        recipe.settings = _settings(record.need("settings"))
        recipe.prompt = _prompt(record.need("prompt"))
        members, preserve_norm = plan_json.read(record.need("plan"), dictionaries=dictionaries)
        recipe.plan = Plan(members, preserve_norm=preserve_norm)
        recipe.prompt_ids, recipe.token_ids = record.take("prompt_ids", list), record.take("token_ids", list)
        recipe.tokens, recipe.text = record.take("tokens", list), record.take("text", str)
        record.done()
        return recipe

    def run(self, model: Model | None = None) -> Replay:
        """Write the text again, and say what is not as it was.

        Args:
            model: The model; loaded by its name if not given.

        Raises:
            PlanError: The model cannot be loaded by its name.
            SteerkitError: The prompt or an edit does not fit the model.
        """
        if model is None:
            try:
                model = load(self.made_with.model, **self.made_with.how_to_load())
            except ModelError as error:
                raise PlanError(
                    f"The recipe's model is not to be had: {error} Give it yourself: run(model)."
                ) from error
        run = model.generate(self.prompt, self.plan, **asdict(self.settings))
        differences = [
            *_unlike("prompt", run.prompt.ids, self.prompt_ids, run.prompt.tokens, None),
            *_unlike("new text", run.token_ids, self.token_ids, run.tokens, self.tokens),
            *Circumstances.of(model, self.plan).unlike(self.made_with),
        ]
        whole = {field.name: getattr(run, field.name) for field in fields(run)}
        return Replay(**whole, same=list(run.token_ids) == self.token_ids, differences=tuple(differences))

    def to_script(self) -> str:
        """The recipe as a Python script that writes the text and prints it.

        Raises:
            PlanError: The plan uses an operator of the user's own, whose code it does not know.
        """
        return script(self.plan, self.prompt, self.settings, self.made_with)

    def to_neuronpedia(self) -> dict[str, Any]:
        """The body of the request that asks Neuronpedia's steering API for such a text; see `neuronpedia.request`.

        Raises:
            PlanError: The plan, the prompt or a setting cannot be said there.
        """
        return neuronpedia.request(self.plan, self.prompt, self.settings, self.made_with.model)

    def describe(self) -> str:
        """What it asks for, in words."""
        settings = ", ".join(f"{name} {value}" for name, value in asdict(self.settings).items())
        return f"{self.plan.describe()}\n{self.made_with.model} ({self.made_with.dtype}), {settings}"

    def _repr_html_(self) -> str:
        prompt = self.prompt if isinstance(self.prompt, str) else str(self.prompt)
        text = pages.tokens([self.text], [False], prompt=prompt)
        return pages.fragment(pages.heading("Recipe"), *map(pages.note, self.describe().splitlines()), text)

    def __repr__(self) -> str:
        return f"Recipe({self.made_with.model!r}, {self.plan}, {self.text!r})"

    def _data(self) -> dict[str, Any]:
        kind = "text" if isinstance(self.prompt, str) else "ids" if isinstance(self.prompt[0], int) else "messages"
        return {
            "format": FORMAT,
            "version": VERSION,
            "steerkit": __version__,
            "made_with": asdict(self.made_with),
            "prompt": {kind: self.prompt},
            "settings": asdict(self.settings),
            "plan": plan_json.write(self.plan),
            "text": self.text,
            "tokens": self.tokens,
            "token_ids": self.token_ids,
            "prompt_ids": self.prompt_ids,
        }


def _plain(prompt: PromptLike, encoded: Prompt) -> PlainPrompt:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, Prompt):
        if any(message is not None for message in prompt.messages):
            raise PromptError("A recipe keeps a chat as messages. Give the messages that the prompt was made of.")
        return list(encoded.ids)
    messages = [dict(item) for item in prompt if isinstance(item, Mapping)]
    return messages or list(encoded.ids)


def _prompt(record: Record) -> PlainPrompt:
    if "text" in record:
        prompt: PlainPrompt = record.take("text", str)
    elif "ids" in record:
        prompt = [checked(index, int, f"an id of {record.place}") for index in record.take("ids", list)]
    else:
        messages = [checked(one, dict, f"a message of {record.place}") for one in record.take("messages", list)]
        for message in messages:
            for value in message.values():
                checked(value, str, f"a message of {record.place}")
        prompt = messages
    record.done()
    return prompt


def _settings(record: Record) -> Settings:
    settings = Settings(
        max_new_tokens=record.take("max_new_tokens", int),
        temperature=record.take("temperature", float),
        top_p=record.take("top_p", float),
        seed=record.take("seed", int),
    )
    record.done()
    return settings


def _unlike(
    what: str, ids: Sequence[int], theirs: Sequence[int], tokens: Sequence[str], their_tokens: Sequence[str] | None
) -> list[str]:
    """From which token on two texts differ, if they do."""
    if list(ids) == list(theirs):
        return []
    start = next((i for i, (a, b) in enumerate(zip(ids, theirs, strict=False)) if a != b), min(len(ids), len(theirs)))
    here = repr(tokens[start]) if start < len(ids) else "the end"
    there = "the end" if start >= len(theirs) else repr(their_tokens[start]) if their_tokens else f"id {theirs[start]}"
    return [f"{what}, from token {start} on: {here} here, {there} in the recipe"]
