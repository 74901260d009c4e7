"""What a panel's screen asks for, as one JSON document: prompt, edits, settings.

The page's end is `js/src/host/document.ts`. The document is an object with these fields:

    prompt         {text} or {messages}, a list of {role, content}
    edits          a list of {id, hue, edit}: a name of its own, the number of its colour, and an edit as
                   `steerkit.plan_json` has it, with places in the panel's lists of vectors and dictionaries for targets
    settings       {max_new_tokens, temperature, top_p, seeds}
    preserve_norm  whether each token gets its norm back after the edits at a site
    control        whether random directions of the same lengths stand in for the edits' own
    before         a list of {until, edits}: up to that many tokens of the new text, other edits were in force
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Integral
from typing import Any

from steerkit.errors import SettingError
from steerkit.records import Record, checked
from steerkit.runs import Settings
from steerkit.tokens import PromptLike

PLACE = "the panel's document"
# Of the page's palette; further edits begin again with the first.
N_HUES = 6
# What of a document a preset has.
PRESET = ("edits", "preserve_norm")
# Each is a pair of texts, one below the other; more at once help nobody.
MOST_SEEDS = 16


@dataclass(frozen=True)
class Row:
    """One edit of the list: a name that stays its own, the number of its colour, and the edit as JSON."""

    id: str
    hue: int
    edit: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """The edits in force up to a number of tokens of the new text."""

    until: int
    edits: tuple[Row, ...]


@dataclass(frozen=True)
class Document:
    """What a panel asks for. Of its form all is checked here; what it means, steerkit says when it runs.

    Raises:
        PlanError: It is of another form.
        SettingError: It asks for no seed, or for too many.
    """

    prompt: str | list[dict[str, str]]
    edits: tuple[Row, ...] = ()
    max_new_tokens: int = 60
    temperature: float = 0.8
    top_p: float = 1.0
    seeds: tuple[int, ...] = (0,)
    preserve_norm: bool = False
    control: bool = False
    before: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if not self.seeds:
            raise SettingError("There is no seed. Give one or more whole numbers, such as 0 or 0, 1, 2.")
        if len(self.seeds) > MOST_SEEDS:
            raise SettingError(
                f"There are {len(self.seeds):,} seeds. A panel writes at most {MOST_SEEDS} pairs of texts."
            )

    @classmethod
    def read(cls, value: object) -> Document:
        """Read a document as a page or `to_json` wrote it."""
        record = Record(value, PLACE)
        settings = record.need("settings")
        document = cls(
            prompt=_prompt(record.need("prompt")),
            edits=tuple(map(_row, record.records("edits"))),
            max_new_tokens=settings.take("max_new_tokens", int),
            temperature=settings.take("temperature", float),
            top_p=settings.take("top_p", float),
            seeds=tuple(checked(seed, int, f"A seed of {PLACE}") for seed in settings.take("seeds", list)),
            preserve_norm=record.take("preserve_norm", bool),
            control=record.take("control", bool),
            before=tuple(map(_stage, record.records("before"))),
        )
        settings.done()
        record.done()
        return document

    def to_json(self) -> dict[str, Any]:
        """The document as an object."""
        return {
            "prompt": {"text" if isinstance(self.prompt, str) else "messages": self.prompt},
            "edits": [asdict(row) for row in self.edits],
            "settings": {
                "max_new_tokens": self.max_new_tokens,
                "temperature": self.temperature,
                "top_p": self.top_p,
                "seeds": list(self.seeds),
            },
            "preserve_norm": self.preserve_norm,
            "control": self.control,
            "before": [{"until": stage.until, "edits": [asdict(row) for row in stage.edits]} for stage in self.before],
        }

    def settings(self, seed: int) -> Settings:
        """The settings of the text with one seed.

        Raises:
            SettingError: One of them is out of range.
        """
        return Settings(self.max_new_tokens, self.temperature, self.top_p, seed)

    def changed_at(self, n_tokens: int, edits: tuple[Row, ...]) -> Document:
        """The document with other edits in force from a token of the new text on."""
        kept = tuple(stage for stage in self.before if stage.until < n_tokens)
        return replace(self, edits=edits, before=(*kept, Stage(n_tokens, self.edits)))

    def baseline_key(self, seed: int) -> tuple[str, Settings]:
        """Two documents with the same key have the same baseline: edits do not enter."""
        return repr(self.prompt), self.settings(seed)


def plain_prompt(prompt: PromptLike) -> str | list[dict[str, str]]:
    """A prompt as a document has it.

    Raises:
        TypeError: It is neither a text nor chat messages.
    """
    if isinstance(prompt, str):
        return prompt
    messages = [dict(message) if hasattr(message, "keys") else None for message in prompt]
    if not messages or not all(messages):
        raise TypeError(f"A panel's prompt is a text or a list of chat messages; got {prompt!r}.")
    return messages  # type: ignore[return-value]


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a document has them, of those that Python takes: whole numbers of any type, and one seed alone."""
    plain = dict(settings)
    if "seeds" in plain:
        seeds = plain["seeds"]
        plain["seeds"] = tuple(map(_plain, seeds if isinstance(seeds, Iterable) else [seeds]))
    return {name: _plain(value) for name, value in plain.items()}


def rows(edits: Iterable[dict[str, Any]], taken: Iterable[Row] = ()) -> tuple[Row, ...]:
    """Rows for edits as JSON, behind others, with names and colours that are free."""
    before = list(taken)
    for edit in edits:
        names, hues = {row.id for row in before}, [row.hue for row in before]
        name = next(f"e{n}" for n in range(len(before) + 1) if f"e{n}" not in names)
        before.append(Row(name, min(range(N_HUES), key=hues.count), edit))
    return tuple(before)


def check_preset(value: object) -> None:
    """Let a preset through that is of its form: {name, edits, preserve_norm}, the last two as those of a document.

    Raises:
        PlanError: It is of another.
    """
    record = Record(value, "a preset")
    record.take("name", str)
    list(map(_row, record.records("edits")))
    record.take("preserve_norm", bool)
    record.done()


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value


def _prompt(record: Record) -> str | list[dict[str, str]]:
    if "text" in record:
        prompt: str | list[dict[str, str]] = record.take("text", str)
    else:
        prompt = [_message(one) for one in record.records("messages")]
    record.done()
    return prompt


def _message(record: Record) -> dict[str, str]:
    message = {"role": record.take("role", str), "content": record.take("content", str)}
    record.done()
    return message


def _row(record: Record) -> Row:
    row = Row(record.take("id", str), record.take("hue", int), record.take("edit", dict))
    record.done()
    edit = Record(row.edit, f"an edit of {PLACE}")
    edit.take("operator", str)
    _check_target(edit.need("target"))
    return row


def _check_target(record: Record) -> None:
    """It has what names a target: see `_targets.key`."""
    if "vector" in record:
        record.take("vector", int)
        return
    record.take("dictionary", int)
    if "feature" in record:
        record.take("feature", int)
    elif "error_term" not in record:
        scores = record.need("reweighing")
        scores.take("how", str)
        scores.take("by", str)
        scores.take("as_published", bool)


def _stage(record: Record) -> Stage:
    stage = Stage(record.take("until", int), tuple(map(_row, record.records("edits"))))
    record.done()
    return stage
