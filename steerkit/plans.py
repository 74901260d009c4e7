"""Plans: edits that act together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from steerkit.actions import Action, Call, StopText
from steerkit.edits import Edit
from steerkit.errors import EditError

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

    def __str__(self) -> str:
        said = ", ".join(map(str, (*self.edits, *self.actions))) or "no edits"
        return said + (" (norm preserved)" if self.preserve_norm else "")
