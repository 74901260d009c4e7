"""What a panel can steer: its vectors and dictionaries, and how each target is shown."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.feature import Feature
from steerkit.edits import Edit
from steerkit.errors import DictionaryError, EditError, SettingError, SteerkitError, VectorError
from steerkit.plan_json import EditReader, EditWriter
from steerkit.plans import Plan
from steerkit.records import Record
from steerkit.target_json import TargetReader, TargetWriter
from steerkit.units import UNITS, factor
from steerkit.vectors.vector import Vector
from steerkit_widgets._document import PLACE, Row, rows

if TYPE_CHECKING:
    from steerkit.dictionaries.label_files import Label
    from steerkit.edits import Target
    from steerkit.plans import EditsLike

# Ends of the sliders, where nothing says how strong a target is: multiples of the direction, or of a token's norm.
RAW, NORM = 5.0, 1.0
# Ends of the sliders of features whose maximum activation is known, in multiples of it.
MAXIMA = 2.0


class Targets:
    """The vectors and dictionaries of a panel.

    Both lists only grow, so that a place in them means the same for good.

    Args:
        limit: Strength at the ends of the sliders, as multiples of the direction; by each target's own scale without.

    Raises:
        SettingError: `limit` is no length of a slider.
    """

    def __init__(self, limit: float | None = None) -> None:
        if limit is not None and not 0 < limit < math.inf:
            raise SettingError(f"limit={limit!r} leaves the sliders no room. Give a number above 0, such as 5.")
        self.limit = limit
        self._growing = threading.Lock()  # two writers at once would give one place to two targets
        self.vectors: list[Vector] = []
        self.dictionaries: list[Dictionary] = []

    def write(self, edit: Edit) -> dict[str, Any]:
        """An edit as JSON; what it acts on joins the lists.

        Raises:
            PlanError: It cannot be written.
        """
        with self._growing:
            writer = TargetWriter(self.vectors, self.dictionaries)
            said = EditWriter(writer).edit(edit)
            self.vectors, self.dictionaries = writer.vectors, writer.dictionaries
        said.pop("maximum", None)  # that of the dictionary in memory counts
        return said

    def plan(self, edits: EditsLike) -> dict[str, Any]:
        """What a plan asks of a document: `edits`, in rows of their own, and `preserve_norm`.

        Raises:
            EditError: It has actions, which a panel cannot show.
            PlanError: One of its edits cannot be written.
        """
        plan = Plan(edits)
        if plan.actions:
            raise EditError(
                f"A panel holds edits alone, and this plan would {', '.join(map(str, plan.actions))}. Take that out, "
                "or write the text without a panel: model.generate(prompt, plan)."
            )
        return {"edits": rows(map(self.write, plan)), "preserve_norm": plan.preserve_norm}

    def read(self, rows: Iterable[Row]) -> list[Edit]:
        """The edits of a document.

        Raises:
            SteerkitError: One of them means nothing.
        """
        reader = EditReader(TargetReader(self.vectors, self.dictionaries))
        return [reader.edit(Record(row.edit, f"an edit of {PLACE}")) for row in rows]

    def join(self, dictionary: Dictionary) -> None:
        """Take a dictionary into the list, so that its features can be searched."""
        with self._growing:
            if dictionary not in self.dictionaries:
                self.dictionaries = [*self.dictionaries, dictionary]

    def named(self, target: Target) -> tuple[str, dict[str, Any]]:
        """The name of a target in messages, and how it is shown."""
        said = self.write(Edit(target, "ablate"))["target"]
        return key(said), {"target": said, **self._shown(target)}

    def mentioned(self, said: object) -> dict[str, Target]:
        """The targets somewhere in documents, by their names in messages; those that mean nothing are left out."""
        if isinstance(said, list):
            return {name: target for item in said for name, target in self.mentioned(item).items()}
        if not isinstance(said, dict):
            return {}
        if isinstance(said.get("vector"), int) or isinstance(said.get("dictionary"), int):
            with contextlib.suppress(SteerkitError, KeyError):
                reader = TargetReader(self.vectors, self.dictionaries)
                return {key(said): reader.read(Record(said, f"a target of {PLACE}"))}
            return {}
        return self.mentioned(list(said.values()))

    def search(self, words: str, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Features whose labels answer a search, best first, of all dictionaries in turn.

        Raises:
            DictionaryError: There is no dictionary.
        """
        if not self.dictionaries:
            raise DictionaryError(
                "This panel has no dictionary to search. Give it one: SteeringPanel(model, [vector, features])."
            )
        found = [dictionary.search(words, limit) for dictionary in self.dictionaries]
        places = sorted(((rank, d) for d, features in enumerate(found) for rank in range(len(features))))
        return [self.named(found[d][rank]) for rank, d in places[:limit]]

    def default(self, target: Target) -> Edit:
        """The edit with which a target joins a list: at rest."""
        return Edit(target, "add", 0.0, self._unit(target))

    def _unit(self, target: Target) -> str:
        known = self.limit is None and getattr(target, "max_activation", None) is not None
        return "max" if known else "raw"

    def _shown(self, target: Target) -> dict[str, Any]:
        raw = self.limit or (MAXIMA * target.max_activation if self._unit(target) == "max" else RAW)
        units: dict[str, dict[str, float | None]] = {}
        for unit in UNITS:
            if unit == "max" and getattr(target, "max_activation", None) is None:
                continue
            times = _factor(target, unit)
            ends = raw if unit == "raw" and self.limit else NORM if times is None else _round(raw * times)
            units[unit] = {"limit": ends, "times": times}
        label = target.dictionary.labels.get([target.index])[target.index] if isinstance(target, Feature) else []
        return {
            "label": target.label,
            "detail": self._detail(target, label[0] if label else None),
            "score": label[0].score if label else None,
            "unit": self._unit(target),
            "units": units,
        }

    def _detail(self, target: Target, label: Label | None) -> str:
        if not isinstance(target, Feature):
            return ", ".join(map(str, target.sites))
        said = [f"feature {target.index:,}{self._apart(target.dictionary)}"]
        if label is not None:
            said.append(label.source + ("" if label.score is None else f" {label.score:.2f}"))
        return " · ".join(said)

    def _apart(self, dictionary: Dictionary) -> str:
        """What tells a dictionary's features from those of others: its site, or its name where that is not enough."""
        if len(self.dictionaries) < 2:
            return ""
        site, sites = dictionary.site_out, [one.site_out for one in self.dictionaries]
        return f" of {dictionary.name}" if site is None or sites.count(site) > 1 else f" at {site}"


def key(target: dict[str, Any]) -> str:
    """The name of a target in messages; `keyOf` in the page's sources is the same."""
    if "vector" in target:
        return f"v{target['vector']}"
    if "feature" in target:
        return f"d{target['dictionary']}:{target['feature']}"
    if "error_term" in target:
        return f"d{target['dictionary']}:error"
    how, by, as_published = (target["reweighing"][name] for name in ("how", "by", "as_published"))
    return f"d{target['dictionary']}:{how} {str(as_published).lower()} {by}"


def _factor(target: Target, unit: str) -> float | None:
    """What a raw strength is multiplied by to be in a unit; None where that is not known."""
    try:
        return factor(target, "raw", unit)
    except (EditError, VectorError):  # what varies by token has no length
        return None


def _round(x: float) -> float:
    """The next number above that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(x))
    return next(round(step * power, 12) for step in (1, 2, 5, 10) if step * power >= x * (1 - 1e-9))
