"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside the one given, to be written in the block; it takes the other's place when the block ends well.

    Raises:
        OSError: It cannot take its place.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
