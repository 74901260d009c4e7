"""EleutherAI sparsify (`eai-sparsify`): top-k and group-max dictionaries and transcoders, one folder a module.

`W_dec` is stored (n_features, d) already, unlike the encoder. Transcoders saved before February 2025 were trained with
`b_dec` subtracted from their input, and nothing in their files tells.
Source: EleutherAI/sparsify, `sparse_coder.py` and `config.py`.
"""

from __future__ import annotations

from typing import Any

from steerkit.dictionaries.activations import Activation, GroupMax, TopK
from steerkit.dictionaries.formats.hooks import site_of_module
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source, read_json
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "sparsify"


def recognise(source: Source) -> bool:
    """Whether the tensors have sparsify's names and a config with `k` is beside them."""
    file = source.weights("sae.safetensors")
    return file is not None and file.has("encoder.weight", "W_dec") and "k" in source.config("cfg.json")


def read(source: Source) -> Parts:
    """Read it."""
    file, config = source.need("sae.safetensors"), source.config("cfg.json")
    (n, d), d_out = file.size("encoder.weight"), file.length("b_dec")
    b_dec = file.vector("b_dec", d_out)
    transcoder = bool(config.get("transcode", False))
    run = source.folder.parent / "config.json"
    model = read_json(run).get("model") if run.is_file() else None
    site_in, site_out = _sites(source, model, transcoder)
    return Parts(
        format=NAME,
        W_enc=file.matrix("encoder.weight", (n, d)).T,
        b_enc=file.vector("encoder.bias", n),
        W_dec=file.matrix("W_dec", (n, d_out)),
        b_dec=b_dec,
        b_pre=None if transcoder else b_dec,
        activation=_activation(source, config),
        W_skip=file.matrix("W_skip", (d_out, d)).whole().T.contiguous() if "W_skip" in file else None,
        model=model,
        site_in=site_in,
        site_out=site_out,
    )


def _activation(source: Source, config: dict[str, Any]) -> Activation:
    k = source.hints.k or config.get("k")
    if not isinstance(k, int) or k < 1:
        raise DictionaryError(f"'{source.path}' says k = {k!r}, which has to be a positive number. Give it as k=.")
    match config.get("activation", "topk"):
        case "topk":
            return TopK(k, by_magnitude=bool(config.get("signed", False)))
        case "groupmax":
            return GroupMax(k)
        case other:
            raise DictionaryError(f"'{source.path}' has the activation '{other}'; sparsify has topk and groupmax.")


def _sites(source: Source, model: str | None, transcoder: bool) -> tuple[Site | None, Site | None]:
    early = source.search(r"/layer_(\d+)(?=/|$)")
    module = f"layers.{early[1]}" if early else None
    named = source.search(r"/((?:layers|h)\.\d+[\w.]*|[\w.]*embed_tokens|embed_in)(?=/|$)")
    module = named[1].removesuffix(".safetensors") if named else module
    if module is None:
        return None, None
    site_out = site_of_module(module, "output", model or source.text)
    return (site_of_module(module, "input", model or source.text) if transcoder else site_out), site_out
