"""Qwen-Scope: top-k dictionaries of Qwen 3 and 3.5, one `layer{n}.sae.pt` a layer, `W_enc` as (n_features, d).

The values of the k largest pre-activations are kept as they are, negative ones too, as in the publisher's own example;
other loaders put a ReLU behind.
"""

from __future__ import annotations

from steerkit.dictionaries.activations import TopK
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "qwen_scope"
TENSORS = {"W_enc", "W_dec", "b_enc", "b_dec"}


def recognise(source: Source) -> bool:
    """Whether the file has Qwen's name, tensors and orientation."""
    file = source.weights("layer*.sae.pt")
    if file is None or not file.path.name.endswith(".sae.pt") or set(file.names) != TENSORS:
        return False
    return file.shape("W_enc") == (file.length("b_enc"), file.length("b_dec"))


def read(source: Source) -> Parts:
    """Read it."""
    file = source.need("layer*.sae.pt")
    n, d = file.length("b_enc"), file.length("b_dec")
    layer = source.search(r"layer(\d+)\.sae\.pt", file)
    repo = source.search(r"SAE-Res-(.+?)-W\d+K-L0_(\d+)")
    k = source.hints.k or (int(repo[2]) if repo else None)
    if k is None:
        raise DictionaryError(
            f"'{file.path}' does not say how many features are active at a token; "
            "the number after 'L0_' in the repository's name does. Give it as k=."
        )
    site = Site(int(layer[1]), "resid_post") if layer else None
    return Parts(
        format=NAME,
        W_enc=file.matrix("W_enc", (n, d)).T,
        b_enc=file.vector("b_enc", n),
        W_dec=file.matrix("W_dec", (d, n)).T,
        b_dec=file.vector("b_dec", d),
        activation=TopK(k, relu=False),
        model=f"Qwen/{repo[1]}" if repo else None,
        site_in=site,
        site_out=site,
        l0=float(k),
    )
