"""Four tensors `W_enc`, `W_dec`, `b_enc`, `b_dec` of nobody's in particular, either way round.

What they mean is not in the file, so this is never recognised: it has to be named, with the activation function as
`kind` ("relu", "jumprelu", "topk", "linear") and `subtract_b_dec` if `b_dec` is taken off before encoding.
"""

from __future__ import annotations

from steerkit.dictionaries.activations import Activation, JumpReLU, Linear, ReLU, TopK
from steerkit.dictionaries.files import SUFFIXES, TensorFile
from steerkit.dictionaries.matrix import Matrix
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError

NAME = "plain"


def recognise(source: Source) -> bool:
    """Never."""
    return False


def read(source: Source) -> Parts:
    """Read it."""
    file = source.need(*(f"*{suffix}" for suffix in SUFFIXES))
    n, d = file.length("b_enc"), file.length("b_dec")
    if n == d:
        raise DictionaryError(
            f"'{file.path}' has as many features as dimensions ({n}), so its matrices could be either way round. "
            "Name its publisher's format with format=."
        )
    b_dec = file.vector("b_dec", d)
    return Parts(
        format=NAME,
        W_enc=_oriented(file, "W_enc", (d, n)),
        b_enc=file.vector("b_enc", n),
        W_dec=_oriented(file, "W_dec", (n, d)),
        b_dec=b_dec,
        b_pre=b_dec if source.hints.subtract_b_dec else None,
        activation=_activation(source, file, n),
    )


def _oriented(file: TensorFile, name: str, shape: tuple[int, int]) -> Matrix:
    turned = shape[1], shape[0]
    return file.matrix(name, turned).T if file.shape(name) == turned else file.matrix(name, shape)


def _activation(source: Source, file: TensorFile, n: int) -> Activation:
    match source.hints.kind:
        case "relu":
            return ReLU()
        case "linear":
            return Linear()
        case "jumprelu":
            return JumpReLU(file.vector("threshold", n))
        case "topk" if source.hints.k:
            return TopK(source.hints.k)
    raise DictionaryError(
        f"'{file.path}' does not say its activation function. Give kind='relu', 'linear', 'topk' (with k=), "
        "or 'jumprelu' (with a tensor 'threshold')."
    )
