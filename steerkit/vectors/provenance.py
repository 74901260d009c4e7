"""Where a vector comes from, as data that is kept in files and plans."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from steerkit.errors import VectorError
from steerkit.records import checked

if TYPE_CHECKING:
    from steerkit.records import Record


@dataclass(frozen=True)
class Provenance:
    """How a vector was made. What is not known is None, or empty.

    Attributes:
        method: How it was learned, such as `mean_difference`; or `sum`, `mean`, `projection`, `orthogonalisation` for a
            combination of vectors; or the format of the file it was imported from.
        model: Name of the model whose activations it is a direction of.
        revision: The model's commit, or the revision asked for.
        token: Which token of each text was read, such as `last`.
        positives: Number of texts that have what it is for.
        negatives: Number of texts that have not.
        data: A digest of those texts: equal for equal texts.
        seed: The seed, where the method draws.
        quality: Measures by name, each a number a site, such as `{"held-out AUROC": {"3.resid_post": 0.97}}`.
        dictionaries: For directions learned as a weighted sum of features: by site, the name of their dictionary.
        weights: By site, the weight of each feature by its index, as text.
        parts: What was combined.

    Raises:
        VectorError: A measure or a weight is no finite number.
    """

    method: str | None = None
    model: str | None = None
    revision: str | None = None
    token: str | None = None
    positives: int | None = None
    negatives: int | None = None
    data: str | None = None
    seed: int | None = None
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    dictionaries: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        for name, values in (*self.quality.items(), *self.weights.items()):
            if bad := [key for key in values if not math.isfinite(values[key])]:
                raise VectorError(
                    f"{bad[0]!r} of {name!r} is {values[bad[0]]}; measures and weights are finite numbers, or left out."
                )

    def to_record(self) -> dict[str, Any]:
        """As an object of JSON, without what is not known."""
        said = {item.name: getattr(self, item.name) for item in fields(self)}
        said["quality"] = {measure: dict(values) for measure, values in self.quality.items()}
        said["dictionaries"] = dict(self.dictionaries)
        said["weights"] = {site: dict(values) for site, values in self.weights.items()}
        said["parts"] = [part.to_record() for part in self.parts]
        return {name: value for name, value in said.items() if value not in (None, {}, [])}

    @classmethod
    def read(cls, record: Record) -> Provenance:
        """From an object of JSON.

        Raises:
            PlanError: It is damaged.
            VectorError: A measure or a weight is no finite number.
        """
        named = record.take("dictionaries", dict, {})
        made = cls(
            method=record.take("method", str, None),
            model=record.take("model", str, None),
            revision=record.take("revision", str, None),
            token=record.take("token", str, None),
            positives=record.take("positives", int, None),
            negatives=record.take("negatives", int, None),
            data=record.take("data", str, None),
            seed=record.take("seed", int, None),
            quality=_numbers(record.take("quality", dict, {}), record.place),
            dictionaries={site: checked(name, str, f"{site!r} of {record.place}") for site, name in named.items()},
            weights=_numbers(record.take("weights", dict, {}), record.place),
            parts=tuple(Part.read(one) for one in record.records("parts")),
        )
        record.done()
        return made

    def describe(self) -> str:
        """How the vector was made, in one line.

        Example:
            >>> Provenance("mean_difference", "gpt2", token="last", positives=40, negatives=38).describe()
            'mean_difference · gpt2 · 40 positives, 38 negatives · token: last'
        """
        sides = {"positives": self.positives, "negatives": self.negatives}
        told = [
            self.method,
            self.model and (f"{self.model} ({self.revision})" if self.revision else self.model),
            ", ".join(f"{count} {side}" for side, count in sides.items() if count is not None),
            self.token and f"token: {self.token}",
            "" if self.seed is None else f"seed {self.seed}",
            ", ".join(f"{part.factor:g} {part.label}" for part in self.parts),
        ]
        return " · ".join(filter(None, told))


@dataclass(frozen=True)
class Part:
    """One of the vectors that a combination was made of.

    Attributes:
        factor: How many times.
        label: The vector's label.
        provenance: Where it came from, if that is known.
    """

    factor: float
    label: str
    provenance: Provenance | None = None

    def to_record(self) -> dict[str, Any]:
        """As an object of JSON."""
        said: dict[str, Any] = {"factor": self.factor, "label": self.label}
        return said if self.provenance is None else said | {"provenance": self.provenance.to_record()}

    @classmethod
    def read(cls, record: Record) -> Part:
        """From an object of JSON.

        Raises:
            PlanError: It is damaged.
        """
        provenance = record.record("provenance")
        part = cls(
            factor=float(record.take("factor", float)),
            label=record.take("label", str),
            provenance=None if provenance is None else Provenance.read(provenance),
        )
        record.done()
        return part


def _numbers(values: Mapping[str, Any], place: str) -> dict[str, dict[str, float]]:
    """Numbers by name and name."""
    return {
        name: {
            key: float(checked(number, float, f"{key!r} of {name!r} of {place}"))
            for key, number in checked(inner, dict, f"{name!r} of {place}").items()
        }
        for name, inner in values.items()
    }
