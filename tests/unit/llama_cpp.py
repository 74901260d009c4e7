"""What llama.cpp takes as a control vector, byte by byte.

After `gguf_init_from_file` (ggml/src/gguf.cpp) and `common_control_vector_load_one` (common/common.cpp).
"""

from __future__ import annotations

import struct

import numpy as np

U32, STRING, ARRAY, F32 = 4, 8, 9, 0
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
ALIGNMENT, LONGEST_NAME, MOST_DIMENSIONS = 32, 64, 4


class RefusedError(Exception):
    """llama.cpp would not load it."""


class Bytes:
    """Little-endian numbers and strings, one after another."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, size: int) -> bytes:
        self.place += size
        require(self.place <= len(self.data), "the file ends early")
        return self.data[self.place - size : self.place]

    def number(self, form: str) -> int:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        return self.take(self.number("Q")).decode()


def require(holds: bool, rule: str) -> None:
    if not holds:
        raise RefusedError(rule)


def padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def metadata(file: Bytes) -> tuple[str, int, object]:
    """A key, the type of its value, and the value."""
    key, kind = file.string(), file.number("I")
    require(bool(key), "a key is empty")
    if kind == STRING:
        return key, kind, file.string()
    require(kind in SIZES, "a value is of no known type, or an array, which control vectors have not")
    data = file.take(SIZES[kind])
    return key, kind, struct.unpack("<I", data)[0] if kind == U32 else data


def control_vector(data: bytes) -> tuple[dict[str, object], dict[int, np.ndarray]]:
    """The metadata and the directions by layer."""
    file = Bytes(data)
    require(file.take(4) == b"GGUF", "the magic is another")
    require(file.number("I") in (2, 3), "the version is not 2 or 3")
    n_tensors, n_keys = file.number("q"), file.number("q")
    entries = [metadata(file) for _ in range(n_keys)]
    said = {key: value for key, _, value in entries}
    require(len(said) == n_keys, "a key comes twice")
    require(all(kind == U32 for key, kind, _ in entries if key == "general.alignment"), "the alignment is no u32")
    alignment = said.get("general.alignment", ALIGNMENT)
    require(alignment > 0 and alignment & (alignment - 1) == 0, "the alignment is no power of two")

    tensors: dict[str, tuple[list[int], int]] = {}
    end = 0
    for _ in range(n_tensors):
        name, n_dimensions = file.string(), file.number("I")
        require(len(name.encode()) < LONGEST_NAME, "a name is too long")
        require(name not in tensors, "a tensor comes twice")
        require(n_dimensions <= MOST_DIMENSIONS, "a tensor has too many dimensions")
        shape = [file.number("q") for _ in range(n_dimensions)]
        require(file.number("i") == F32, "a tensor is not F32")
        require(file.number("Q") == end, "a tensor does not follow the one before, aligned")
        tensors[name] = shape, end
        end += padded(4 * int(np.prod(shape)), alignment)
    start = padded(file.place, alignment)
    require(start + end <= len(data), "the data, padding of the last tensor included, ends early")

    directions: dict[int, np.ndarray] = {}
    for name, (shape, offset) in tensors.items():
        kind, _, layer = name.partition(".")
        require(kind == "direction" and layer.isdecimal(), "a tensor is no direction of a layer")
        require(int(layer) > 0, "layer 0 cannot be loaded")
        require(len(shape) == 1, "a direction has more than one dimension")
        directions[int(layer)] = np.frombuffer(data, "<f4", shape[0], start + offset)
    require(
        len({len(direction) for direction in directions.values()}) == 1, "there are no directions, or of two widths"
    )
    return said, directions
