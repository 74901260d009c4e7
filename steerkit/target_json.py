"""What edits act on, as JSON: vectors with all their numbers, features by their dictionary's name and checksum.

A plan holds each vector and dictionary once, in the lists `vectors` and `dictionaries`; its targets say which.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.feature import Feature
from steerkit.dictionaries.load import load_dictionary
from steerkit.dictionaries.reconstruction import ErrorTerm
from steerkit.dictionaries.reweighing import Reweighing
from steerkit.dictionaries.source import Hints
from steerkit.errors import PlanError, SteerkitError
from steerkit.records import Record, checked
from steerkit.sites import Site
from steerkit.vectors.content import Content
from steerkit.vectors.vector import Vector

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from steerkit.edits import Target
    from steerkit.model import Model

DIRECTION = np.dtype("<f4")
HINTS = {*(field.name for field in fields(Hints)), "format"}


class TargetWriter:
    """Writes targets, and gathers what they share.

    Args:
        vectors: Vectors that have their places already; others are put behind them.
        dictionaries: Dictionaries likewise.

    Attributes:
        vectors: The vectors of all targets written so far.
        dictionaries: Their dictionaries.
    """

    def __init__(self, vectors: Iterable[Vector] = (), dictionaries: Iterable[Dictionary] = ()) -> None:
        self.vectors, self.dictionaries = list(vectors), list(dictionaries)

    def write(self, target: Target) -> dict[str, Any]:
        """A target.

        Raises:
            PlanError: It is of no kind that can be written.
        """
        if isinstance(target, Vector):
            return {"vector": _place(self.vectors, target)}
        if isinstance(target, Feature):
            place = _place(self.dictionaries, target.dictionary)
            return {"dictionary": place, "feature": target.index, "label": target.label}
        if isinstance(target, Reweighing):
            place = _place(self.dictionaries, target.dictionary)
            said = {"how": target.how, "by": target.by, "as_published": target.as_published}
            return {"dictionary": place, "reweighing": {**said, "scores": _encoded(target.scores)}}
        if isinstance(target, ErrorTerm) and target.dictionary is not None:
            return {"dictionary": _place(self.dictionaries, target.dictionary), "error_term": True}
        raise PlanError(
            f"{target.label!r} is a {type(target).__name__}; only vectors, and what is of a dictionary, can be written."
        )

    def shared(self) -> dict[str, list[dict[str, Any]]]:
        """The vectors and dictionaries of all targets written so far."""
        return {
            "dictionaries": [_named(dictionary) for dictionary in self.dictionaries],
            "vectors": [
                {**vector.content.annotations(), "directions": {str(site): _encoded(vector[site]) for site in vector}}
                for vector in self.vectors
            ],
        }


class TargetReader:
    """Reads targets.

    Args:
        vectors: The vectors that they may mean, each at its place.
        dictionaries: The dictionaries, likewise.
    """

    def __init__(self, vectors: Sequence[Vector], dictionaries: Sequence[Dictionary]) -> None:
        self._vectors, self._dictionaries = vectors, dictionaries

    @classmethod
    def of(cls, record: Record, model: Model | None, dictionaries: Iterable[Dictionary]) -> TargetReader:
        """A reader of the targets of one plan.

        Args:
            record: The plan, which holds the vectors and names the dictionaries.
            model: The model that the dictionaries have to belong to.
            dictionaries: Dictionaries in memory; others are loaded by their names.

        Raises:
            PlanError: A vector is damaged, or a dictionary is another than it was.
            SteerkitError: A vector or its site means nothing.
        """
        given = list(dictionaries)
        return cls(
            [_vector(one) for one in record.records("vectors")],
            [_found(one, model, given) for one in record.records("dictionaries")],
        )

    def read(self, record: Record) -> Target:
        """A target.

        Raises:
            PlanError: It is damaged.
            FeatureError: The dictionary has no such feature.
        """
        if "vector" in record:
            target: Target = _at(self._vectors, record, "vector")
        else:
            target = _of_dictionary(_at(self._dictionaries, record, "dictionary"), record)
        record.done()
        return target


def _of_dictionary(dictionary: Dictionary, record: Record) -> Target:
    if "error_term" in record:
        record.take("error_term", bool)
        return dictionary.error_term
    if (said := record.record("reweighing")) is not None:
        how, by, as_published = said.take("how", str), said.take("by", str), said.take("as_published", bool)
        scores = _decoded(f"The scores of {by!r}", said.take("scores", str))
        said.done()
        return Reweighing(dictionary, scores, how, by, as_published=as_published)
    feature = dictionary[record.take("feature", int)]
    record.take("label", str)
    return feature


def _place(items: list[Any], item: object) -> int:
    for i, other in enumerate(items):
        if other is item:
            return i
    items.append(item)
    return len(items) - 1


def _at(items: Sequence[Any], record: Record, name: str) -> Any:
    place = record.take(name, int)
    if not 0 <= place < len(items):
        raise PlanError(f"'{name}' of {record.place} is {place}; there are {len(items)}, counted from 0.")
    return items[place]


def _encoded(direction: Float[Tensor, " width"]) -> str:
    return base64.b64encode(direction.numpy().astype(DIRECTION).tobytes()).decode()


def _vector(record: Record) -> Vector:
    coded = record.take("directions", dict)
    directions = {Site.parse(site): _decoded(f"'{site}' of {record.place}", coded[site]) for site in coded}
    return Vector(*Content.annotated(directions, record))


def _decoded(place: str, text: object) -> Float[Tensor, " width"]:
    try:
        numbers = np.frombuffer(base64.b64decode(checked(text, str, place), validate=True), DIRECTION)
    except PlanError:
        raise
    except (binascii.Error, ValueError) as error:
        raise PlanError(f"{place} is no base64 of float32 numbers: {error}. Write the plan again.") from error
    return torch.from_numpy(numbers.astype(np.float32))


def _named(dictionary: Dictionary) -> dict[str, Any]:
    return {
        "name": dictionary.name,
        "revision": dictionary.revision,
        "hints": dictionary.hints,
        "checksum": dictionary.checksum,
        "model": dictionary.parts.model,
        "site_in": str(dictionary.reads_at()),
        "site_out": str(dictionary.writes_at()),
    }


def _found(record: Record, model: Model | None, given: list[Dictionary]) -> Dictionary:
    """The dictionary meant: one that is given, or else what loading by its name gives."""
    name, revision = record.take("name", str), record.take("revision", str, None)
    hints, checksum = record.take("hints", dict), record.take("checksum", str)
    read_at, written_at = record.take("site_in", str), record.take("site_out", str)
    record.take("model", str, None)
    record.done()
    found = next((one for one in given if one.checksum == checksum), None)
    found = found or next((one for one in given if one.name == name), None) or _loaded(name, revision, hints)
    if found.checksum != checksum:
        revisions = f" It was of revision {revision}; this one is of {found.revision}." if revision else ""
        raise PlanError(
            f"The plan steers features of {name!r} with the checksum {checksum[:12]}…; the dictionary here has "
            f"{found.checksum[:12]}…, so its weights are others.{revisions} Load the one that the plan was made with."
        )
    if (str(found.reads_at()), str(found.writes_at())) != (read_at, written_at):
        raise PlanError(
            f"The plan reads {name!r} at {read_at} and writes it at {written_at}; the dictionary here belongs to "
            f"{found.reads_at()} and {found.writes_at()}. Load it with site='{read_at}'."
        )
    if model is not None:
        _refuse_other_model(found, model)
    return found


def _loaded(name: str, revision: str | None, hints: dict[str, Any]) -> Dictionary:
    if unknown := hints.keys() - HINTS:
        raise PlanError(f"The dictionary {name!r} has the hint {min(unknown)!r}, which is not known. Update steerkit.")
    try:
        return load_dictionary(name, revision=revision, **hints)
    except (SteerkitError, TypeError) as error:
        raise PlanError(
            f"The plan needs the dictionary {name!r}, which cannot be loaded: {error} Load it yourself, and give it: "
            "dictionaries=[dictionary]."
        ) from error


def _refuse_other_model(dictionary: Dictionary, model: Model) -> None:
    """Compare names of repositories. Tuned models are named after their base, so one may begin with the other."""
    declared = dictionary.parts.model or ""
    if "/" not in declared or "/" not in model.name or Path(model.name).exists():
        return
    theirs, ours = (name.rpartition("/")[2].lower() for name in (declared, model.name))
    if not (theirs.startswith(ours) or ours.startswith(theirs)):
        raise PlanError(
            f"The plan steers features of {dictionary.name!r}, which belongs to {declared}; this model is "
            f"{model.name}. Load that model; to use the plan on another one nevertheless, read it without model=."
        )
