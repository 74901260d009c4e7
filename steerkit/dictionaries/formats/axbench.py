"""AxBench's supervised dictionaries: one direction a concept, with the concepts in `metadata.jsonl`.

Published ones are `weight.pt`, a bare tensor; runs leave `{Method}_weight.pt` and `{Method}_bias.pt`. What its run of
Gemma Scope features leaves, `GemmaScopeSAE.pt`, is a JumpReLU dictionary cut down to the concepts' features.
Source: stanfordnlp/axbench, `models/` and the tutorial.
"""

from __future__ import annotations

import json
import re

import torch

from steerkit.dictionaries.activations import JumpReLU, Linear, ReLU
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import MAX_CONFIG, Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

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
