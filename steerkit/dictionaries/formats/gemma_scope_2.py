"""Gemma Scope 2: JumpReLU dictionaries and transcoders of Gemma 3, as `params.safetensors` with `config.json`.

Transcoders read the MLP's normed input with its gain, unlike those of Gemma Scope 1; an affine one adds
`x @ affine_skip_connection`, untransposed. TransformerLens names that others list for the transcoders (`hook_mlp_in`)
are another tensor; the publisher's Hugging Face hooks are followed.
"""

from __future__ import annotations

import re
from typing import Any

from steerkit.dictionaries.activations import JumpReLU
from steerkit.dictionaries.formats.hooks import site_of_port
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "gemma_scope_2"
SITES = {
    "resid_post": ("resid_post", "resid_post"),
    "attn_out": ("z", "z"),
    "mlp_out": ("mlp_out", "mlp_out"),
    "transcoder": ("mlp_in", "mlp_out"),
}


def recognise(source: Source) -> bool:
    """Whether it is a safetensors file with these names, in lower case."""
    file = source.weights("params.safetensors")
    return file is not None and file.has("w_enc", "w_dec", "b_enc", "b_dec", "threshold")


def read(source: Source) -> Parts:
    """Read it."""
    file, config = source.need("params.safetensors"), source.config("config.json")
    if len(file.shape("w_dec")) == 3:
        raise DictionaryError(
            f"'{file.path}' is a cross-layer transcoder, which writes at several layers. These are not served; "
            "a transcoder of one layer is."
        )
    n, d_out = file.length("b_enc"), file.length("b_dec")
    d_in, _ = file.size("w_enc")
    repo = source.search(r"gemma-scope-2-(270m|\d+b)-(pt|it)")
    model = _model(config.get("model_name"), repo)
    site_in, site_out = _sites(source, config, model)
    skip = "affine_skip_connection" in file
    l0 = config.get("l0")
    return Parts(
        format=NAME,
        W_enc=file.matrix("w_enc", (d_in, n)),
        b_enc=file.vector("b_enc", n),
        W_dec=file.matrix("w_dec", (n, d_out)),
        b_dec=file.vector("b_dec", d_out),
        activation=JumpReLU(file.vector("threshold", n)),
        W_skip=file.matrix("affine_skip_connection", (d_in, d_out)).whole() if skip else None,
        model=model,
        site_in=site_in,
        site_out=site_out,
        skip_bos=True,
        chat=bool(model and model.endswith("-it")),
        l0=float(l0) if isinstance(l0, int | float) else None,
        license="CC-BY-4.0",
    )


def _model(name: str | None, repo: re.Match[str] | None) -> str | None:
    if name is None:
        if repo is None:
            return None
        name = f"gemma-3-{repo[1]}-{repo[2]}"
    name = name.removeprefix("google/").replace("gemma-v3-", "gemma-3-")
    return "google/" + ("gemma-3-270m" if name == "gemma-3-270m-pt" else name)  # the base model's id has no "-pt"


def _sites(source: Source, config: dict[str, Any], model: str | None) -> tuple[Site | None, Site | None]:
    hook_in, hook_out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if hook_in:
        site_in = site_of_port(hook_in, model)
        return site_in, site_of_port(hook_out, model) if hook_out else site_in
    place = source.search(r"/(resid_post|attn_out|mlp_out|transcoder)(?:_all)?/layer_(\d+)_")
    if place is None:
        return None, None
    kind_in, kind_out = SITES[place[1]]
    return Site(int(place[2]), kind_in), Site(int(place[2]), kind_out)
