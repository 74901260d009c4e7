"""Plans: edits that act together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from steerkit import pages, plan_json
from steerkit.actions import Action, Call, StopText
from steerkit.edits import Edit
from steerkit.errors import EditError
from steerkit.records import Record

if TYPE_CHECKING:
    import pandas as pd

    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.model import Model

EditsLike: TypeAlias = "Plan | Edit | Action | Iterable[Edit | Action]"


@dataclass(frozen=True)
class Plan:
    """Edits that act together, and actions. Their order is for display; it never changes what they do.

    Attributes:
        edits: The edits.
        actions: What else happens on conditions.
        preserve_norm: At each site, bring every token's activation back to the norm that it had, once, after all edits
            there. Coefficients then end elsewhere than their operators say.

    Raises:
        EditError: Something in it is no edit.
    """

    edits: tuple[Edit, ...] = ()
    actions: tuple[Action, ...] = ()
    preserve_norm: bool = False

    def __init__(self, edits: EditsLike = (), *, preserve_norm: bool | None = None) -> None:
        if isinstance(edits, Plan):
            preserve_norm = edits.preserve_norm if preserve_norm is None else preserve_norm
            edits = (*edits.edits, *edits.actions)
        elif isinstance(edits, Edit | StopText | Call):
            edits = (edits,)
        members = tuple(edits) if isinstance(edits, Iterable) else (edits,)
        for member in members:
            if not isinstance(member, Edit | StopText | Call):
                raise EditError(f"{member!r} is no edit. Make one from a vector, such as vector.add(2).")
        object.__setattr__(self, "edits", tuple(member for member in members if isinstance(member, Edit)))
        object.__setattr__(self, "actions", tuple(member for member in members if not isinstance(member, Edit)))
        object.__setattr__(self, "preserve_norm", bool(preserve_norm))

    def __iter__(self) -> Iterator[Edit]:
        return iter(self.edits)

    def __len__(self) -> int:
        return len(self.edits)

    def __getitem__(self, index: int) -> Edit:
        return self.edits[index]

    def to_json(self) -> str:
        """The plan as JSON, with its vectors; dictionaries go by name, revision and checksum. See `plan_json`.

        Raises:
            PlanError: It calls a function, which is no data.
            DictionaryError: A dictionary does not say where it belongs.

        Example:
            >>> import torch
            >>> from steerkit.vectors.vector import Vector
            >>> plan = Plan(Vector({"0.resid_post": torch.ones(4)}, "joy").add(2))
            >>> Plan.from_json(plan.to_json()) == plan
            True
        """
        return json.dumps(plan_json.write(self), indent=1, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, model: Model | None = None, dictionaries: Iterable[Dictionary] = ()) -> Plan:
        """Read a plan that `to_json` wrote.

        Args:
            text: The JSON.
            model: The model that it has to fit.
            dictionaries: Dictionaries in memory that it may mean; others are loaded by their names.

        Raises:
            PlanError: It is damaged, of another version, or one of its dictionaries is another than it was.
            SteerkitError: Something in it means nothing, or does not fit the model.
        """
        members, preserve_norm = plan_json.read(Record.parse(text, "the plan"), model, dictionaries)
        plan = cls(members, preserve_norm=preserve_norm)
        if model is not None:
            model.check(plan)
        return plan

    def describe(self) -> str:
        """What it does: a sentence an edit and action, one a line."""
        sentences = [member.describe() for member in (*self.edits, *self.actions)] or ["Nothing is steered."]
        if self.preserve_norm:
            sentences.append("After all edits at a site, each token gets back the norm that it had there.")
        return "\n".join(sentences)

    def to_frame(self) -> pd.DataFrame:
        """One row an edit."""
        import pandas as pd

        rows = [
            {
                "enabled": edit.enabled,
                "target": edit.target.label,
                "sites": ", ".join(map(str, edit.target.sites)),
                "operator": edit.operator,
                "strength": edit.strength,
                "unit": edit.unit,
                "description": edit.describe(),
            }
            for edit in self.edits
        ]
        columns = ["enabled", "target", "sites", "operator", "strength", "unit", "description"]
        return pd.DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        rows = [("on" if edit.enabled else "off", edit.describe(), edit.unit) for edit in self.edits]
        rows += [("on", action.describe(), "") for action in self.actions]
        table = pages.table(("", "what it does", "unit"), rows) if rows else pages.note(self.describe())
        return pages.fragment(table, pages.note("The norm is preserved at each site.") if self.preserve_norm else "")

    def __str__(self) -> str:
        said = ", ".join(map(str, (*self.edits, *self.actions))) or "no edits"
        return said + (" (norm preserved)" if self.preserve_norm else "")
