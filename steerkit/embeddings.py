"""Sentence embeddings: functions from texts to vectors that lie near each other where the texts mean alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from steerkit.errors import ModelError

if TYPE_CHECKING:
    from jaxtyping import Float

# A function's `__qualname__` tells it from others where embeddings are kept or named.
Embed: TypeAlias = Callable[[list[str]], "Float[np.ndarray, 'texts d']"]

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def sentence_embedder(model: str = MODEL) -> Embed:
    """An embedding model of sentence-transformers, on this machine. Its vectors have unit length.

    Raises:
        ModelError: sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ModelError(
            "Sentence embeddings are needed, and sentence-transformers is not installed. Install "
            "steerkit-lab[meaning], or give embed= a function from texts to unit vectors."
        ) from None
    encoder = SentenceTransformer(model)

    def embed(texts: list[str]) -> np.ndarray:
        return encoder.encode(texts, normalize_embeddings=True, convert_to_numpy=True)

    embed.__qualname__ = model
    return embed
