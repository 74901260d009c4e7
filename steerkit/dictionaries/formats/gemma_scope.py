"""Gemma Scope: JumpReLU dictionaries of Gemma 2, as `params.npz`.

Transcoders read the MLP's normed input without its gain and do not subtract `b_dec`. Embedding dictionaries were
trained on the scaled embedding, which is what enters layer 0. Source: the tutorial that Google published with them.
"""

from __future__ import annotations

from steerkit.dictionaries.activations import JumpReLU
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "gemma_scope"
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
SITES = {
    "res": ("resid_post", "resid_post"),
    "mlp": ("mlp_out", "mlp_out"),
    "att": ("z", "z"),
    "transcoders": ("mlp_in_normalized", "mlp_out"),
}


def recognise(source: Source) -> bool:
    """Whether it is an npz archive with these names."""
    file = source.weights("params.npz")
    return file is not None and file.path.suffix == ".npz" and {n.lower() for n in TENSORS} <= set(_spellings(file))


def read(source: Source) -> Parts:
    """Read it."""
    file = source.need("params.npz")
    spelled = _spellings(file)
    missing = [name for name in TENSORS if name.lower() not in spelled]
    if missing:
        raise DictionaryError(f"'{file.path}' has no array '{missing[0]}'; it has {', '.join(file.names)}.")
    W_enc, W_dec, b_enc, b_dec, threshold = (spelled[name.lower()] for name in TENSORS)
    n, d_out = file.length(b_enc), file.length(b_dec)
    repo = source.search(r"gemma-scope-(\d+b)-(pt|it)-(res|mlp|att|transcoders)")
    site_in, site_out = _sites(source, repo[3] if repo else None)
    l0 = source.search(r"average_l0_(\d+)")
    d_in = file.size(W_enc)[0] if repo and repo[3] == "transcoders" else d_out
    return Parts(
        format=NAME,
        W_enc=file.matrix(W_enc, (d_in, n)),
        b_enc=file.vector(b_enc, n),
        W_dec=file.matrix(W_dec, (n, d_out)),
        b_dec=file.vector(b_dec, d_out),
        activation=JumpReLU(file.vector(threshold, n)),
        model=f"google/gemma-2-{repo[1]}{'-it' if repo[2] == 'it' else ''}" if repo else None,
        site_in=site_in,
        site_out=site_out,
        skip_bos=True,
        chat=bool(repo and repo[2] == "it"),
        l0=float(l0[1]) if l0 else None,
        license="CC-BY-4.0",
    )


def _sites(source: Source, part: str | None) -> tuple[Site | None, Site | None]:
    if part == "res" and source.search(r"/embedding/"):
        return Site(0, "resid_pre"), Site(0, "resid_pre")
    layer = source.search(r"/layer_(\d+)/")
    if layer is None or part is None:
        return None, None
    kind_in, kind_out = SITES[part]
    return Site(int(layer[1]), kind_in), Site(int(layer[1]), kind_out)


def _spellings(file: TensorFile) -> dict[str, str]:
    """Names in the file by their lower-case spelling: some write `w_enc`."""
    return {name.lower(): name for name in file.names}
