"""Arrays on their way to a page, as binary buffers.

The page's end is `js/src/host/arrays.ts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("float32", "uint32", "uint8")


def pack(values: np.ndarray | Tensor, dtype: str) -> dict[str, Any]:
    """Numbers as a page takes them: little-endian, in C order.

    Args:
        values: The numbers.
        dtype: `float32`, `uint32` or `uint8`; they must fit it.

    Raises:
        ValueError: The type is another, or an integer does not fit it.
    """
    if dtype not in KINDS:
        raise ValueError(f"Arrays go to the page as {', '.join(KINDS)}, not as {dtype!r}.")
    array = np.asarray(values)
    packed = array.astype(np.dtype(dtype).newbyteorder("<"))
    if dtype != "float32" and not np.array_equal(packed, array):
        raise ValueError(f"These numbers do not fit {dtype}: they run from {array.min()} to {array.max()}.")
    return {"dtype": dtype, "data": packed.tobytes()}


def pack_lines(texts: Iterable[str]) -> dict[str, Any]:
    """Texts as a page takes them, a line each; line breaks within one become spaces."""
    plain = (" ".join(text.splitlines()) + "\n" for text in texts)
    return {"dtype": "lines", "data": "".join(plain).encode(errors="replace")}
