"""Plans as JSON, both ways.

Version 1 of the format is an object with these fields:

    format, version   "steerkit plan" and 1
    steerkit          the version of steerkit that wrote it
    preserve_norm     whether each site keeps the norm
    edits             a list of {target, operator} and what is not as `Edit` has it by default: strength, unit, low,
                      enabled, direct, where, when, other; for the unit `max` also maximum, the feature's at that time
    actions           a list of {action: "stop_text", when}
    vectors           a list of {label, directions} with {offsets, provenance} where they have them; directions by
                      site, each base64 of little-endian float32; offsets by site
    dictionaries      a list of {name, revision, hints}, which `load_dictionary` needs, and
                      {checksum, model, site_in, site_out}, which it has to give

A target is {vector} or {dictionary, feature, label}: places in those lists and an index; the label is for people. What
is of a whole dictionary is {dictionary, error_term: true} or {dictionary, reweighing}, with {how, by, as_published,
scores}, the scores in base64 as directions are.
`where` has the fields of `Where` that are not as by default. A condition is {target, relation, threshold, reading},
{and: [a, b]}, {or: [a, b]}, {not: a}, {in_prompt: a} or {so_far: a}. Of registered operators the name is written, not
the code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from steerkit import __version__
from steerkit.actions import Action, StopText
from steerkit.conditions import Both, Comparison, Condition, Either, InPrompt, Not, SoFar
from steerkit.edits import Edit
from steerkit.errors import PlanError
from steerkit.records import Record, checked
from steerkit.target_json import TargetReader, TargetWriter
from steerkit.where import Where

if TYPE_CHECKING:
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model
    from steerkit.plans import Plan

FORMAT, VERSION = "steerkit plan", 1
PAIRS: dict[str, type[Both | Either]] = {"and": Both, "or": Either}
OVER: dict[str, type[Not | InPrompt | SoFar]] = {"not": Not, "in_prompt": InPrompt, "so_far": SoFar}
NAMES: dict[type, str] = {kind: name for name, kind in (PAIRS | OVER).items()}
WHERE: dict[str, type] = {
    "prompt": bool,
    "generated": bool,
    "last_prompt": bool,
    "positions": list,
    "new_positions": list,
    "roles": list,
    "messages": list,
    "tokens": list,
    "not_tokens": list,
    "special": bool,
    "decay": float,
}

ITEMS: dict[str, type] = {
    "positions": list,
    "new_positions": list,
    "roles": str,
    "messages": int,
    "tokens": int,
    "not_tokens": int,
}


def write(plan: Plan) -> dict[str, Any]:
    """A plan as an object of the format.

    Raises:
        PlanError: Something in it cannot be written.
        DictionaryError: A dictionary does not say where it belongs.
    """
    writer = EditWriter(TargetWriter())
    return {
        "format": FORMAT,
        "version": VERSION,
        "steerkit": __version__,
        "preserve_norm": plan.preserve_norm,
        "edits": [writer.edit(edit) for edit in plan.edits],
        "actions": [writer.action(action) for action in plan.actions],
        **writer.targets.shared(),
    }


def read(
    record: Record, model: Model | None = None, dictionaries: Iterable[Dictionary] = ()
) -> tuple[list[Edit | Action], bool]:
    """What a plan is made of, and whether it preserves the norm.

    Args:
        record: An object of the format.
        model: The model that the dictionaries have to belong to.
        dictionaries: Dictionaries in memory; others are loaded by their names.

    Raises:
        PlanError: It is damaged, of another version, or one of its dictionaries is another than it was.
        SteerkitError: Something in it means nothing.
    """
    record.head(FORMAT, VERSION)
    reader = EditReader(TargetReader.of(record, model, dictionaries))
    try:
        members: list[Edit | Action] = [reader.edit(one) for one in record.records("edits")]
        members += [reader.action(one) for one in record.records("actions")]
    except RecursionError as error:
        raise PlanError(f"{record.place} has conditions nested too deep to read. Write it again.") from error
    preserve_norm = record.take("preserve_norm", bool)
    record.done()
    return members, preserve_norm


class EditWriter:
    """Writes edits, actions and conditions as objects of the format.

    Args:
        targets: Writes what they act on and read.
    """

    def __init__(self, targets: TargetWriter) -> None:
        self.targets = targets

    def edit(self, edit: Edit) -> dict[str, Any]:
        """An edit.

        Raises:
            PlanError: Its target cannot be written.
        """
        said: dict[str, Any] = {"target": self.targets.write(edit.target), "operator": edit.operator}
        said |= _unlike_default(edit, "strength", "unit", "low", "enabled", "direct")
        if edit.unit == "max":
            said["maximum"] = getattr(edit.target, "max_activation", None)
        if where := _unlike_default(edit.where, *WHERE):
            said["where"] = where
        if edit.when is not None:
            said["when"] = self.condition(edit.when)
        if edit.other is not None:
            said["other"] = self.targets.write(edit.other)
        return said

    def action(self, action: Action) -> dict[str, Any]:
        """An action.

        Raises:
            PlanError: It calls a function, which is no data.
        """
        if not isinstance(action, StopText):
            raise PlanError(
                f"'{action}' cannot be written: a function is code, and a plan is data. Take it out, write the plan, "
                "and add it again where the plan is read."
            )
        return {"action": "stop_text", "when": self.condition(action.when)}

    def condition(self, condition: Condition) -> dict[str, Any]:
        """A condition.

        Raises:
            PlanError: It reads a target that cannot be written.
        """
        if isinstance(condition, Comparison):
            said = {name: getattr(condition, name) for name in ("relation", "threshold", "reading")}
            return {"target": self.targets.write(condition.target), **said}
        parts = [self.condition(part) for part in condition.parts]
        return {NAMES[type(condition)]: parts if len(parts) > 1 else parts[0]}


class EditReader:
    """Reads what `EditWriter` wrote; whatever is damaged or unknown is refused with a PlanError.

    Args:
        targets: Reads what they act on and read.
    """

    def __init__(self, targets: TargetReader) -> None:
        self.targets = targets

    def edit(self, record: Record) -> Edit:
        """An edit.

        Raises:
            SteerkitError: It is damaged, or means nothing.
        """
        target, operator = self.targets.read(record.need("target")), record.take("operator", str)
        strength, low = record.take("strength", float, 0.0), record.take("low", float, None)
        unit = record.take("unit", str, "raw")
        maximum = record.take("maximum", float, None) if unit == "max" else None
        if maximum is not None and maximum != getattr(target, "max_activation", None):
            # calibrated on other texts, or not at all here: in raw units it does what it did
            strength, low, unit = strength * maximum, None if low is None else low * maximum, "raw"
        where, when, other = (record.record(name) for name in ("where", "when", "other"))
        edit = Edit(
            target,
            operator,
            strength,
            unit,
            where=Where() if where is None else _where(where),
            when=None if when is None else self.condition(when),
            enabled=record.take("enabled", bool, True),
            direct=record.take("direct", bool, True),
            low=low,
            other=None if other is None else self.targets.read(other),
        )
        record.done()
        return edit

    def action(self, record: Record) -> Action:
        """An action.

        Raises:
            SteerkitError: It is damaged, or means nothing.
        """
        kind = record.take("action", str)
        if kind != "stop_text":
            raise PlanError(f"{record.place} is {kind!r}, where 'stop_text' belongs. Update steerkit.")
        action = StopText(self.condition(record.need("when")))
        record.done()
        return action

    def condition(self, record: Record) -> Condition:
        """A condition.

        Raises:
            SteerkitError: It is damaged, or means nothing.
        """
        condition = self._combined(record)  # a condition has no truth value
        if condition is None:
            target, relation = self.targets.read(record.need("target")), record.take("relation", str)
            condition = Comparison(target, relation, record.take("threshold", float), record.take("reading", str))
        record.done()
        return condition

    def _combined(self, record: Record) -> Condition | None:
        for name, pair in PAIRS.items():
            if name in record:
                parts = [self.condition(part) for part in record.records(name)]
                if len(parts) != 2:
                    raise PlanError(f"'{name}' of {record.place} has {len(parts)} conditions, where 2 belong.")
                return pair(*parts)
        for name, over in OVER.items():
            if name in record:
                return over(self.condition(record.need(name)))
        return None


def _where(record: Record) -> Where:
    said = {name: record.take(name, kind) for name, kind in WHERE.items() if name in record}
    record.done()
    for name in ITEMS.keys() & said.keys():
        said[name] = [checked(item, ITEMS[name], f"An item of '{name}' of {record.place}") for item in said[name]]
    for name in {"positions", "new_positions"} & said.keys():
        said[name] = [tuple(_window(window, record.place)) for window in said[name]]
    return Where(**said)


def _window(window: list[Any], place: str) -> list[int | None]:
    return [None if end is None else checked(end, int, f"An end of a window of {place}") for end in window]


def _unlike_default(item: Edit | Where, *names: str) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(item)}
    return {name: _listed(getattr(item, name)) for name in names if getattr(item, name) != defaults[name]}


def _listed(value: Any) -> Any:
    return list(map(_listed, value)) if isinstance(value, tuple) else value
