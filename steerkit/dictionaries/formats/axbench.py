"""AxBench's supervised dictionaries: one direction a concept, with the concepts in `metadata.jsonl`.

Published ones are `weight.pt`, a bare tensor; runs leave `{Method}_weight.pt` and `{Method}_bias.pt`. What its run of
Gemma Scope features leaves, `GemmaScopeSAE.pt`, is a JumpReLU dictionary cut down to the concepts' features.
Source: stanfordnlp/axbench, `models/` and the tutorial.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from steerkit.dictionaries.activations import JumpReLU, Linear, ReLU
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import MAX_CONFIG, Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

NAME = "axbench"
PRUNED = "GemmaScopeSAE.pt"
# The probe's bias is saved, but neither trained nor read; that of the others that have one is added.
ACTIVATIONS = {
    "LsReFT": ReLU(),
    "SteeringVector": ReLU(),
    "LinearProbe": Linear(),
    "DiffMean": Linear(),
    "PCA": Linear(),
    "LAT": Linear(),
    "MeanEmbedding": Linear(),
    "MeanActivation": Linear(),
}
WITH_BIAS = ("DiffMean", "PCA", "LAT", "MeanEmbedding", "MeanActivation")
SAVED = ("LsReFT", "DiffMean")  # that stand for all with the same readout
PUBLISHED = {"reft": "LsReFT", "diffmean": "DiffMean"}  # in names of repositories: gemma-reft-2b-it-res


def recognise(source: Source) -> bool:
    """Whether it is a bare matrix with concepts beside it, or named as AxBench names what it saves."""
    file = _weights(source)
    if file is None:
        return False
    if file.path.name == PRUNED:
        return True
    bare = file.names == ("",) and len(file.shape("")) == 2
    return bare and ((source.folder / "metadata.jsonl").is_file() or _method(source, file) is not None)


def read(source: Source) -> Parts:
    """Read it."""
    file = _weights(source)
    if file is None:
        file = source.need("weight.pt", "*_weight.pt", PRUNED)
    parts = _pruned(file) if file.has("W_enc", "threshold") else _directions(source, file)
    repo = source.search(r"gemma-[a-z]+-(\d+b)(-it)?")
    layer = source.search(r"[/_]l(\d+)(?=[/_]|$)")
    site = Site(int(layer[1]), "resid_post") if layer else None
    chat = bool(repo and repo[2])
    return Parts(
        **{
            **parts,
            "format": NAME,
            "model": f"google/gemma-2-{repo[1]}{repo[2] or ''}" if repo else None,
            "site_in": site,
            "site_out": site,
            "chat": chat,
            "reconstructs": False,
            "labels": _labels(source, parts["W_dec"].shape[0]),
        }
    )


def supervised(
    method: str, directions: Float[Tensor, "n_concepts d"], concepts: Sequence[str], model: str, site: Site
) -> Parts:
    """What `read` makes of directions that were learned here and never saved.

    Args:
        method: How they were learned, one of `ACTIVATIONS`.
        directions: One a concept.
        concepts: Their names.
        model: Name of the model.
        site: Where they were learned.
    """
    return Parts(
        format=NAME,
        W_enc=InMemory(directions.T),
        b_enc=torch.zeros(len(directions)),
        W_dec=InMemory(directions),
        b_dec=torch.zeros(directions.shape[1]),
        activation=ACTIVATIONS[method],
        model=model,
        site_in=site,
        site_out=site,
        reconstructs=False,
        labels=dict(enumerate(concepts)),
    )


def write(parts: Parts, folder: str | os.PathLike[str]) -> None:
    """Write a supervised dictionary as AxBench's runs leave theirs: `{Method}_weight.pt` and `metadata.jsonl`.

    Where it belongs, these files do not say. A folder whose name ends on `_l12` says layer 12's output.

    Args:
        parts: The dictionary's, such as `supervised` or `read` give them.
        folder: Where they go.

    Raises:
        DictionaryError: It is none of directions that are written as they are read, or a concept has no name.
    """
    method = next((name for name in SAVED if type(ACTIVATIONS[name]) is type(parts.activation)), None)
    if parts.format != NAME or method is None or len(parts.labels) != parts.n_features:
        raise DictionaryError(
            f"A dictionary of the format {parts.format!r} with {len(parts.labels)} names for {parts.n_features} "
            "features cannot be written as AxBench's are, which hold one direction and one name a concept."
        )
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    torch.save(parts.W_dec.whole(), place / f"{method}_weight.pt")
    with (place / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for row in range(parts.n_features):
            concept = parts.labels[row]
            entry = {"concept_id": row, "concept": concept, "ref": "", "concept_genres_map": {concept: ["text"]}}
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _weights(source: Source) -> TensorFile | None:
    if source.hints.kind:
        named = source.weights(f"{source.hints.kind}_weight.pt")
        if named is not None:
            return named
    return source.weights("weight.pt", "*_weight.pt") or source.weights(PRUNED)


def _method(source: Source, file: TensorFile) -> str | None:
    if source.hints.kind:
        return source.hints.kind
    named = re.fullmatch(r"(\w+)_weight", file.path.stem)
    if named:
        return named[1] if named[1] in ACTIVATIONS else None
    repo = source.search(rf"gemma-({'|'.join(PUBLISHED)})-")
    return PUBLISHED[repo[1]] if repo else None


def _directions(source: Source, file: TensorFile) -> dict:
    method = _method(source, file)
    if method not in ACTIVATIONS:
        raise DictionaryError(
            f"'{file.path}' does not say by which method its directions were found, so their readout is unknown. "
            f"Give it as kind=, one of {', '.join(ACTIVATIONS)}."
        )
    n, d = file.size("")
    weight = file.matrix("", (n, d))
    bias = file.path.with_name(f"{method}_bias.pt")
    with_bias = method in WITH_BIAS and file.path.stem != "weight" and bias.is_file()
    return {
        "W_enc": weight.T,
        "b_enc": TensorFile.open(bias).vector("", n) if with_bias else torch.zeros(n),
        "W_dec": weight,
        "b_dec": torch.zeros(d),
        "activation": ACTIVATIONS[method],
    }


def _pruned(file: TensorFile) -> dict:
    n, d = file.length("b_enc"), file.length("b_dec")
    return {
        "W_enc": file.matrix("W_enc", (d, n)),
        "b_enc": file.vector("b_enc", n),
        "W_dec": file.matrix("W_dec", (n, d)),
        "b_dec": file.vector("b_dec", d),
        "activation": JumpReLU(file.vector("threshold", n)),
    }


def _labels(source: Source, n: int) -> dict[int, str]:
    """Line i of `metadata.jsonl` is about row i."""
    path = source.folder / "metadata.jsonl"
    if not path.is_file():
        return {}
    if path.stat().st_size > 16 * MAX_CONFIG:
        raise DictionaryError(f"'{path}' has {path.stat().st_size:,} bytes, more than labels have. Check the path.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        labels = {row: str(json.loads(line)["concept"]) for row, line in enumerate(lines) if line.strip()}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DictionaryError(f"'{path}' is not one JSON object with a 'concept' a line.") from error
    if len(labels) != n:
        raise DictionaryError(
            f"'{path}' names {len(labels)} concepts for {n} directions (a resumed run can save some twice), "
            "so they cannot be told apart. Take the file away to read the directions without labels."
        )
    return labels
