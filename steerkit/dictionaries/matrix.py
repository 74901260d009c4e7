"""Weight matrices that stay on disk until rows or columns of them are asked for.

A dictionary of 65,536 features over 8,192 dimensions holds a gigabyte; steering one feature needs a row and a column of
it. Rows and columns are read by positioned reads: a memory map of a row-major matrix would draw in every page for one
column.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from typing_extensions import override

from steerkit.errors import DictionaryError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

BLOCK = 1 << 24  # numbers held at once by what goes over a whole matrix: 64 MiB in float32
SAMPLE = 1 << 20  # numbers that stand for a matrix when it is recognised


class Matrix(ABC):
    """A matrix of floating-point numbers that gives out parts of itself in float32.

    Attributes:
        shape: Rows and columns.
    """

    shape: tuple[int, int]

    @abstractmethod
    def rows(self, index: Sequence[int]) -> Float[Tensor, "k columns"]:
        """Some rows."""

    @abstractmethod
    def columns(self, index: Sequence[int]) -> Float[Tensor, "rows k"]:
        """Some columns."""

    @abstractmethod
    def block(self, start: int, stop: int) -> Float[Tensor, "k columns"]:
        """The rows from `start` to `stop`."""

    @abstractmethod
    def sample(self) -> Float[Tensor, "k stored"]:
        """Rows of the numbers as they are stored, before transposing and scaling: about `SAMPLE`, evenly spread."""

    def whole(self) -> Float[Tensor, "rows columns"]:
        """All of it."""
        return self.block(0, self.shape[0])

    def row_norms(self) -> Float[Tensor, " rows"]:
        """Euclidean length of each row; reads the whole matrix, a block at a time."""
        step = max(1, BLOCK // max(1, self.shape[1]))
        starts = range(0, self.shape[0], step)
        blocks = (self.block(start, min(start + step, self.shape[0])) for start in starts)
        return torch.cat([torch.empty(0), *(block.norm(dim=1) for block in blocks)])

    @property
    def T(self) -> Matrix:  # noqa: N802  # as tensors have it
        """The transpose, without moving anything."""
        return Transposed(self)

    def scaled(
        self, rows: Float[Tensor, " rows"] | None = None, columns: Float[Tensor, " columns"] | None = None
    ) -> Matrix:
        """Each row and column times a number."""
        return Scaled(self, rows, columns)

    def _evenly(self) -> list[int]:
        n_rows = self.shape[0]
        n = min(n_rows, max(1, SAMPLE // self.shape[1]))
        return [i * n_rows // n for i in range(n)]


class InMemory(Matrix):
    """A matrix that is a tensor already.

    Example:
        >>> InMemory(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).T.rows([1])
        tensor([[2., 4.]])
    """

    def __init__(self, values: Float[Tensor, "rows columns"]) -> None:
        self._values = values
        self.shape = values.shape[0], values.shape[1]

    @override
    def rows(self, index: Sequence[int]) -> Tensor:
        return self._values[list(index)].float()

    @override
    def columns(self, index: Sequence[int]) -> Tensor:
        return self._values[:, list(index)].float()

    @override
    def block(self, start: int, stop: int) -> Tensor:
        return self._values[start:stop].float()

    @override
    def sample(self) -> Tensor:
        return self.rows(self._evenly())


class OnDisk(Matrix):
    """A row-major matrix at a place in a file.

    Args:
        path: The file.
        offset: First byte of the matrix.
        shape: Rows and columns.
        dtype: Type of its numbers, little-endian.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int, shape: tuple[int, int], dtype: torch.dtype) -> None:
        self.path, self._offset, self.shape, self._dtype = Path(path), offset, shape, dtype

    @override
    def rows(self, index: Sequence[int]) -> Tensor:
        width = self.shape[1] * self._dtype.itemsize
        return self._read([row * width for row in index], width).reshape(len(index), self.shape[1])

    @override
    def columns(self, index: Sequence[int]) -> Tensor:
        size, (n_rows, width) = self._dtype.itemsize, self.shape
        runs = _runs(index)
        if runs == [(0, width)]:
            return self.whole()
        parts = [torch.empty(n_rows, 0)]
        for first, length in runs:
            starts = [(row * width + first) * size for row in range(n_rows)]
            parts.append(self._read(starts, length * size).reshape(n_rows, length))
        return torch.cat(parts, dim=1)

    @override
    def block(self, start: int, stop: int) -> Tensor:
        width = self.shape[1] * self._dtype.itemsize
        return self._read([start * width], (stop - start) * width).reshape(stop - start, self.shape[1])

    @override
    def sample(self) -> Tensor:
        return self.rows(self._evenly())

    def _read(self, starts: Sequence[int], size: int) -> Tensor:
        data = bytearray(len(starts) * size)
        view = memoryview(data)
        file = os.open(self.path, os.O_RDONLY)
        try:
            for i, start in enumerate(starts):
                part = view[i * size : (i + 1) * size]
                done = 0
                while done < size:  # a read may give less than asked for, above 2 GiB always
                    got = os.preadv(file, [part[done:]], self._offset + start + done)
                    if not got:
                        raise DictionaryError(f"'{self.path}' ends within a weight matrix. Download it again.")
                    done += got
        finally:
            os.close(file)
        values = torch.frombuffer(data, dtype=self._dtype).float() if data else torch.empty(0)
        if not values.isfinite().all():
            raise DictionaryError(f"'{self.path}' has NaN or infinity in a weight matrix. Its weights cannot be used.")
        return values


def _runs(index: Sequence[int]) -> list[tuple[int, int]]:
    """Stretches of neighbours, as (first, length): each is one read a row."""
    runs: list[tuple[int, int]] = []
    for i in index:
        if runs and i == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))
    return runs


class Transposed(Matrix):
    """A matrix seen with rows for columns."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix = matrix
        self.shape = (matrix.shape[1], matrix.shape[0])

    @override
    def rows(self, index: Sequence[int]) -> Tensor:
        return self._matrix.columns(index).T

    @override
    def columns(self, index: Sequence[int]) -> Tensor:
        return self._matrix.rows(index).T

    @override
    def block(self, start: int, stop: int) -> Tensor:
        return self._matrix.columns(range(start, stop)).T

    @override
    def sample(self) -> Tensor:
        return self._matrix.sample()

    @property
    @override
    def T(self) -> Matrix:
        return self._matrix


class Scaled(Matrix):
    """A matrix with each row and column times a number."""

    def __init__(self, matrix: Matrix, rows: Tensor | None, columns: Tensor | None) -> None:
        self._matrix, self.shape = matrix, matrix.shape
        self._rows = torch.ones(matrix.shape[0]) if rows is None else rows.float()
        self._columns = torch.ones(matrix.shape[1]) if columns is None else columns.float()

    @override
    def rows(self, index: Sequence[int]) -> Tensor:
        return self._matrix.rows(index) * self._rows[list(index), None] * self._columns

    @override
    def columns(self, index: Sequence[int]) -> Tensor:
        return self._matrix.columns(index) * self._rows[:, None] * self._columns[list(index)]

    @override
    def block(self, start: int, stop: int) -> Tensor:
        return self._matrix.block(start, stop) * self._rows[start:stop, None] * self._columns

    @override
    def sample(self) -> Tensor:
        return self._matrix.sample()
