"""Python's garbage collection, out of the way where it finds nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def postponed() -> Iterator[None]:
    """Collect no garbage in the block, or in the function that this decorates.

    Importing transformers, and reading a model and its labels, make a great many objects, all of which stay; to look
    them through time and again is a fifth of the seconds from an import to the first token.
    """
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()
