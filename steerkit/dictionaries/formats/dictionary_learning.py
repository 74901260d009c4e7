"""saprmarks/dictionary_learning: `ae.pt` with `config.json`, all its classes.

Scales of training are folded into the biases when the final `ae.pt` is saved; in a resumable checkpoint, which wraps
the weights as `ae`, that is done here. Source: saprmarks/dictionary_learning, `dictionary.py` and `trainers/`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch

from steerkit.dictionaries.activations import Activation, Gated, JumpReLU, ReLU, TopK
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.formats.axbench import PRUNED
from steerkit.dictionaries.formats.hooks import has_post_norms
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "dictionary_learning"
CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
)
AMBIGUOUS = "AutoEncoderTopK or BatchTopKSAE"  # which share their tensors and differ in what they make of a threshold
KINDS = {  # of submodule names, with what they are at the output and at the input
    "resid_post": ("resid_post", "resid_pre"),
    "resid_out": ("resid_post", "resid_pre"),
    "mlp_out": ("mlp_out", "mlp_in"),
    "attention_out": ("attn_out", None),
    "attn_out": ("attn_out", None),
}


def recognise(source: Source) -> bool:
    """Whether a config names one of the classes, or the tensors are one's."""
    file = source.weights("ae.pt", "*.pt")
    if file is None or file.path.name == PRUNED:
        return False
    # Without a config, AutoEncoderNew cannot be told from qresearch's dictionary, and need not: see `goodfire`.
    return _configured(source) is not None or _by_tensors(_unwrapped(file)) not in (None, "AutoEncoderNew")


def read(source: Source) -> Parts:
    """Read it."""
    wrapped = source.need("ae.pt", "*.pt")
    file = _unwrapped(wrapped)
    kind = source.hints.kind or _configured(source) or _by_tensors(file)
    if kind == AMBIGUOUS:
        raise DictionaryError(
            f"'{source.path}' fits several classes of dictionary_learning and no config.json says which. "
            f"Give it as kind=, AutoEncoderTopK or BatchTopKSAE."
        )
    if kind not in CLASSES:
        raise DictionaryError(f"'{source.path}' is of the class '{kind}'; known are {', '.join(CLASSES)}.")
    factor = wrapped.value("norm_factor") if wrapped.has("ae", "norm_factor") else None
    parts = _parts(source, file, kind, float(factor or 1.0))
    config = _config(source)
    trainer, buffer = config.get("trainer") or {}, config.get("buffer") or {}
    model = trainer.get("lm_name")
    site = _site(source, trainer.get("submodule_name"), buffer.get("io", "out"), model)
    return replace(parts, model=model, site_in=site, site_out=site, skip_bos=bool(buffer.get("remove_bos", True)))


def _config(source: Source) -> dict[str, Any]:
    return source.config("config.json", "../config.json")  # checkpoints/ae_{step}.pt lie a folder below


def _configured(source: Source) -> str | None:
    trainer = _config(source).get("trainer")
    return trainer.get("dict_class") if isinstance(trainer, dict) else None


def _unwrapped(file: TensorFile) -> TensorFile:
    return file.inside("ae") if "ae" in file else file


def _by_tensors(file: TensorFile) -> str | None:
    """The class whose tensors these are, or `AMBIGUOUS`."""
    names = set(file.names)
    linear = {"encoder.weight", "encoder.bias", "decoder.weight"}
    if linear | {"bias"} == names:
        return "AutoEncoder"
    if linear | {"decoder.bias"} == names:
        return "AutoEncoderNew"
    if "decoder_bias" in names:
        return "GatedAutoEncoder"
    if "group_sizes" in names:
        return "MatryoshkaBatchTopKSAE"
    if {"W_enc", "W_dec", "b_enc", "b_dec", "threshold"} == names and len(file.shape("threshold")) == 1:
        return "JumpReluAutoEncoder"
    if linear | {"b_dec", "k"} <= names:
        unset = "threshold" not in file or file.number("threshold") < 0
        return "AutoEncoderTopK" if unset else AMBIGUOUS
    return None


def _parts(source: Source, file: TensorFile, kind: str, factor: float) -> Parts:
    """The weights. Biases and thresholds are multiplied by `factor`, the mean norm that training divided by."""
    encoder_by_feature = "encoder.weight" in file
    if encoder_by_feature:
        n, d = file.size("encoder.weight")
        W_enc, W_dec = file.matrix("encoder.weight", (n, d)).T, file.matrix("decoder.weight", (d, n)).T
    else:
        n, d = file.length("b_enc"), file.length("b_dec")
        W_enc, W_dec = file.matrix("W_enc", (d, n)), file.matrix("W_dec", (n, d))
    name_dec = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "GatedAutoEncoder": "decoder_bias"}
    b_dec = file.vector(name_dec.get(kind, "b_dec"), d) * factor
    plain = Parts(format=NAME, W_enc=W_enc, W_dec=W_dec, b_dec=b_dec, b_pre=b_dec, activation=ReLU())
    if kind == "GatedAutoEncoder":
        gate, magnitude = file.vector("gate_bias", n) * factor, file.vector("mag_bias", n) * factor
        return replace(plain, activation=Gated(gate, file.vector("r_mag", n), magnitude))
    b_enc = file.vector("encoder.bias" if encoder_by_feature else "b_enc", n) * factor
    plain = replace(plain, b_enc=b_enc)
    if kind == "AutoEncoder":  # its `from_pretrained` makes the decoder rows unit length
        norms = W_dec.row_norms()
        return replace(
            plain, W_enc=W_enc.scaled(columns=norms), b_enc=b_enc * norms, W_dec=W_dec.scaled(rows=1 / norms)
        )
    if kind == "AutoEncoderNew":
        return replace(plain, b_pre=None)
    if kind == "JumpReluAutoEncoder":
        return replace(plain, b_pre=None, activation=JumpReLU(file.vector("threshold", n) * factor))
    return replace(plain, activation=_topk(source, file, kind, n, factor))


def _topk(source: Source, file: TensorFile, kind: str, n: int, factor: float) -> Activation:
    theta = file.number("threshold") if kind != "AutoEncoderTopK" and "threshold" in file else -1.0
    if theta >= 0:
        return JumpReLU(torch.full((n,), theta * factor))
    # Files from before December 2024 have no threshold: k at each token stands in for k on average.
    k = source.hints.k or (file.number("k") if "k" in file else (_config(source).get("trainer") or {}).get("k"))
    if not k or k < 1:
        raise DictionaryError(f"'{source.path}' does not say how many features are active at a token. Give it as k=.")
    return TopK(int(k))


def _site(source: Source, submodule: str | None, port: str, model: str | None) -> Site | None:
    named = re.fullmatch(r"(\w+?)_?layer_?(\d+)", submodule or "")
    named = named or source.search(rf"({'|'.join(KINDS)})_?layer_?(\d+)")
    if not named or named[1] not in KINDS:
        return None
    kind = KINDS[named[1]][0 if port == "out" else 1]
    if kind in ("mlp_out", "attn_out") and has_post_norms(model or source.text):
        return None  # the module's own output, before Gemma's post-norm
    return Site(int(named[2]), kind) if kind else None
