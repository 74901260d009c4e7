"""Tensor files, opened lazily and safely: `.safetensors`, torch's `.pt`, `.pth` and `.bin`, and `.npz`."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerkit.dictionaries.containers import Contents, Entry, read_npz, read_safetensors, read_torch
from steerkit.dictionaries.matrix import InMemory, Matrix
from steerkit.errors import DictionaryError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", ".npz", *TORCH_SUFFIXES)


class TensorFile:
    """Named tensors and values of a file. Large matrices stay in it until rows or columns are asked for.

    Attributes:
        path: The file.
        names: Names of the tensors and values. A file that is one bare tensor has the name `""`.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        self.path, self._contents = path, contents
        self.names = tuple(contents)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> TensorFile:
        """Open a file by what it is.

        Raises:
            DictionaryError: It is missing, empty, damaged, unsafe, or of no known kind.
        """
        path = Path(path)
        if not path.is_file():
            raise DictionaryError(f"There is no file '{path}'. Check the path.")
        if not path.stat().st_size:
            raise DictionaryError(f"'{path}' is empty. Download it again.")
        match path.suffix.lower():
            case ".safetensors":
                contents = read_safetensors(path)
            case ".npz":
                if not zipfile.is_zipfile(path):
                    raise DictionaryError(f"'{path}' is no complete npz archive. Download it again.")
                contents = read_npz(path)
            case suffix if suffix in TORCH_SUFFIXES:
                contents = read_torch(path)
            case _:
                raise DictionaryError(f"'{path.name}' is no tensor file; those are {', '.join(SUFFIXES)}.")
        if isinstance(contents, Entry):
            contents = {"": contents}
        if not isinstance(contents, dict):
            raise DictionaryError(
                f"'{path}' holds {type(contents).__name__}, where a dict of tensors or one tensor was expected."
            )
        return cls(path, contents)

    def __contains__(self, name: str) -> bool:
        return name in self._contents

    def has(self, *names: str) -> bool:
        """Whether all of these are there."""
        return all(name in self._contents for name in names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self._entry(name).shape

    def length(self, name: str) -> int:
        """Length of a vector."""
        shape = self.shape(name)
        if len(shape) != 1:
            raise self._wrong_shape(name, "one dimension")
        return shape[0]

    def size(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix."""
        shape = self.shape(name)
        if len(shape) != 2:
            raise self._wrong_shape(name, "two dimensions")
        return shape[0], shape[1]

    def matrix(self, name: str, shape: tuple[int, int]) -> Matrix:
        """A matrix, which must have this shape.

        Raises:
            DictionaryError: It is missing, has another shape, or is not of floating-point numbers.
        """
        entry = self._entry(name)
        if entry.shape != shape:
            raise self._wrong_shape(name, f"{shape}")
        self._check_floating(name, entry)
        matrix = entry.matrix()
        if isinstance(matrix, InMemory):  # those on disk are checked as they are read
            self._check_finite(name, matrix.whole())
        return matrix

    def vector(self, name: str, length: int) -> Float[Tensor, " length"]:
        """A vector in float32, which must have this length.

        Raises:
            DictionaryError: It is missing, has another shape, is not of floating-point numbers, or not finite.
        """
        entry = self._entry(name)
        if entry.shape != (length,):
            raise self._wrong_shape(name, f"({length},)")
        self._check_floating(name, entry)
        values = entry.read().float().contiguous()
        self._check_finite(name, values)
        return values

    def number(self, name: str) -> float:
        """A number, stored as such or as a tensor of one."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DictionaryError(f"'{name}' of '{self.path}' is {value!r}; a number was expected.")
        return value

    def value(self, name: str) -> Any:
        """Something that is no tensor (a number, a text, a dict, None), or the number in a tensor of one."""
        value = self._get(name)
        if not isinstance(value, Entry):
            return value
        read = value.read() if value.shape in ((), (1,)) else None
        if read is None:
            raise self._wrong_shape(name, "one number")
        return read.item()

    def inside(self, name: str) -> TensorFile:
        """A dict within the file, as a file of its own."""
        contents = self._get(name)
        if not isinstance(contents, dict):
            raise DictionaryError(f"'{name}' of '{self.path}' is no dict of tensors.")
        return TensorFile(self.path, contents)

    def _get(self, name: str) -> Any:
        try:
            return self._contents[name]
        except KeyError:
            raise DictionaryError(
                f"'{self.path}' has no tensor '{name}'; it has {', '.join(self.names[:20]) or 'none'}."
            ) from None

    def _entry(self, name: str) -> Entry:
        entry = self._get(name)
        if not isinstance(entry, Entry):
            raise DictionaryError(f"'{name}' of '{self.path}' is {type(entry).__name__}, where a tensor was expected.")
        return entry

    def _wrong_shape(self, name: str, expected: str) -> DictionaryError:
        return DictionaryError(
            f"Tensor '{name}' of '{self.path}' has the shape {self.shape(name)}; {expected} was expected. "
            "The file is damaged or of another format: name it with format=."
        )

    def _check_finite(self, name: str, values: Tensor) -> None:
        if not values.isfinite().all():
            raise DictionaryError(f"Tensor '{name}' of '{self.path}' has NaN or infinity. Its weights cannot be used.")

    def _check_floating(self, name: str, entry: Entry) -> None:
        if not entry.dtype.is_floating_point:
            raise DictionaryError(
                f"Tensor '{name}' of '{self.path}' is of the type {entry.dtype}; weights are floating-point numbers."
            )
