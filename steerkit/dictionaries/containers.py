"""What stands where in a tensor file: safetensors, torch and npz.

Opening reads names, shapes, types and places only, and checks every size against the length of the file before memory
is taken for it. Nothing in a file is ever executed: torch's pickles go through its `weights_only` unpickler.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.lib import format as npy
from typing_extensions import override

from steerkit.dictionaries.matrix import InMemory, Matrix, OnDisk
from steerkit.errors import DictionaryError

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER = 100 * 2**20  # bytes; the limit of the safetensors library
MAX_EXPANSION = 100  # times its packed size; deflated weights give less than 2, a bomb up to 1,032
SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NUMPY_DTYPES = {
    "<f8": torch.float64,
    "<f4": torch.float32,
    "<f2": torch.float16,
    "<i8": torch.int64,
    "<i4": torch.int32,
    "|b1": torch.bool,
}


@dataclass(frozen=True, eq=False)
class Entry(ABC):
    """A tensor in a file."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @abstractmethod
    def read(self) -> Tensor:
        """All of it."""

    def matrix(self) -> Matrix:
        """A two-dimensional one, lazily where its place in the file is known."""
        return InMemory(self.read())


@dataclass(frozen=True, eq=False)
class Placed(Entry):
    """One that lies row-major (or, as `column_major`, the other way) and little-endian at a place in the file."""

    path: Path
    offset: int
    column_major: bool = False

    @override
    def read(self) -> Tensor:
        data = bytearray(prod(self.shape) * self.dtype.itemsize)
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            if file.readinto(data) < len(data):
                raise DictionaryError(f"'{self.path}' ends within a tensor. Download it again.")
        flat = torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
        return flat.reshape(self.shape[::-1]).T if self.column_major else flat.reshape(self.shape)

    @override
    def matrix(self) -> Matrix:
        rows, columns = self.shape
        if self.column_major:
            return OnDisk(self.path, self.offset, (columns, rows), self.dtype).T
        return OnDisk(self.path, self.offset, (rows, columns), self.dtype)


@dataclass(frozen=True, eq=False)
class Loaded(Entry):
    """One of a file whose format can only be read whole."""

    values: Tensor

    @override
    def read(self) -> Tensor:
        return self.values


@dataclass(frozen=True, eq=False)
class Packed(Entry):
    """A compressed member of an npz archive, unpacked when it is asked for."""

    path: Path
    member: str

    @override
    def read(self) -> Tensor:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as file:
                return torch.from_numpy(np.ascontiguousarray(npy.read_array(file, allow_pickle=False)))
        except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
            raise DictionaryError(f"'{self.path}' cannot be unpacked: {error}. Download it again.") from error


Contents: TypeAlias = "dict[str, Entry | Any]"


def read_safetensors(path: Path) -> Contents:
    """Where the tensors of a safetensors file are.

    Source: the format's description in the README of huggingface/safetensors.
    """
    length = path.stat().st_size
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 2 <= size <= min(MAX_HEADER, length - 8):
            raise DictionaryError(
                f"'{path}' is no complete safetensors file: it declares a header of {size:,} bytes "
                f"and is {length:,} bytes long. Download it again."
            )
        header = file.read(size)
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        return {name: _safetensors_entry(path, name, entry, 8 + size, length) for name, entry in entries.items()}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DictionaryError):
            raise
        raise DictionaryError(f"The header of '{path}' is no safetensors header. Download it again.") from error


def _safetensors_entry(path: Path, name: str, entry: dict[str, Any], start: int, length: int) -> Entry:
    dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
    if dtype is None:
        raise DictionaryError(
            f"Tensor '{name}' of '{path}' is of the type {entry['dtype']!r}; "
            f"types that are read: {', '.join(SAFETENSORS_DTYPES)}. Convert it to one of them."
        )
    shape = tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if not all(type(size) is int and size >= 0 for size in (*shape, begin, end)):
        raise ValueError(f"sizes {shape} and offsets {begin}, {end}")
    if end - begin != prod(shape) * dtype.itemsize or start + end > length:
        raise DictionaryError(
            f"Tensor '{name}' of '{path}' is declared {shape} in bytes {begin:,} to {end:,}, which does not fit "
            f"its shape or the file's {length:,} bytes. The file is damaged: download it again."
        )
    return Placed(shape, dtype, path, start + begin)


def read_npz(path: Path) -> Contents:
    """Where the arrays of an npz archive are."""
    contents: Contents = {}
    with _open_zip(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            try:
                with archive.open(info) as member:
                    shape, column_major, numpy_dtype = _npy_header(member)
                    header = member.tell()
            except (ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
                raise DictionaryError(f"Member '{info.filename}' of '{path}' is no readable array: {error}.") from error
            dtype = NUMPY_DTYPES.get(numpy_dtype.str)
            if dtype is None:
                raise DictionaryError(
                    f"Array '{name}' of '{path}' is of the type {numpy_dtype.str!r}; "
                    f"types that are read: {', '.join(NUMPY_DTYPES)}. Save it again as one of them."
                )
            if header + prod(shape) * dtype.itemsize != info.file_size:
                raise DictionaryError(
                    f"Array '{name}' of '{path}' is declared {shape}, which does not fit the {info.file_size:,} bytes "
                    "of its member. The file is damaged: download it again."
                )
            if info.compress_type == zipfile.ZIP_STORED:
                contents[name] = Placed(shape, dtype, path, _start_of(path, info) + header, column_major)
            else:
                contents[name] = Packed(shape, dtype, path, info.filename)
    return contents


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its header is of version {version}")
    shape, column_major, dtype = read(file)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, column_major and len(shape) > 1, dtype


def read_torch(path: Path) -> Any:
    """What a torch file holds, with an `Entry` for each tensor."""
    if not zipfile.is_zipfile(path):
        declared = _unpickle(path, "meta")
        _check_total(path, declared)
        return _map_tensors(_unpickle(path, "cpu"), lambda tensor: Loaded(tuple(tensor.shape), tensor.dtype, tensor))
    with _open_zip(path) as archive:
        names = {PurePosixPath(name).name: name for name in archive.namelist()}
        if "data.pkl" not in names:
            raise DictionaryError(f"'{path}' is a zip archive, but not one that torch.save wrote.")
        if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
            raise DictionaryError(f"'{path}' is big-endian. Load it with torch and save it again on a usual machine.")
        packed = [info.filename for info in archive.infolist() if info.compress_type != zipfile.ZIP_STORED]
        if packed:
            raise DictionaryError(f"'{path}' is compressed ('{packed[0]}'). Load it with torch and save it again.")
        records = {_start_of(path, info): info.file_size for info in archive.infolist()}
    return _map_tensors(_unpickle(path, "meta"), lambda tensor: _torch_entry(path, tensor, records))


def _torch_entry(path: Path, tensor: Tensor, records: dict[int, int]) -> Entry:
    storage, shape, dtype = tensor.untyped_storage(), tuple(tensor.shape), tensor.dtype
    offset = getattr(storage, "_checkpoint_offset", None)  # set by torch.load to where the storage stands in the file
    if offset is None or storage.nbytes() > records.get(offset, -1):
        raise DictionaryError(f"A tensor of the shape {shape} is not where '{path}' says. Download it again.")
    if not (tensor.is_contiguous() or (tensor.ndim == 2 and tensor.T.is_contiguous())):
        raise DictionaryError(f"A tensor of the shape {shape} in '{path}' has gaps. Save it again as `.contiguous()`.")
    return Placed(shape, dtype, path, offset + tensor.storage_offset() * dtype.itemsize, not tensor.is_contiguous())


def _unpickle(path: Path, device: str) -> Any:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if not refused:
            raise DictionaryError(f"'{path}' is no complete torch file. Download it again.") from error
        raise DictionaryError(
            f"'{path}' holds more than tensors ({refused[1]}), and unpickling it could run its code. "
            "If you trust it, load it once with the publisher's package and "
            "save its tensors alone, as `torch.save({name: tensor}, 'weights.pt')`."
        ) from error


def _check_total(path: Path, contents: Any) -> None:
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()

    _map_tensors(contents, note)
    length = path.stat().st_size
    if sum(sizes.values()) > length:
        raise DictionaryError(
            f"'{path}' declares {sum(sizes.values()):,} bytes of tensors and is {length:,} bytes long. "
            "Download it again."
        )


def _map_tensors(value: Any, function: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized:
            raise DictionaryError("A sparse or quantised tensor cannot be read. Save it again as a dense one.")
        return function(value)
    if isinstance(value, dict):
        return {str(name): _map_tensors(item, function) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_tensors(item, function) for item in value]
    return value


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise DictionaryError(f"'{path}' is no complete zip archive: {error}. Download it again.") from error
    for info in archive.infolist():
        name = info.filename
        if name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise DictionaryError(f"'{path}' has a member named '{name}', which points outside. Do not use this file.")
        if info.file_size > MAX_EXPANSION * max(info.compress_size, 1):
            raise DictionaryError(
                f"Member '{name}' of '{path}' would expand from {info.compress_size:,} to {info.file_size:,} bytes; "
                f"at most {MAX_EXPANSION} times is allowed. Do not use this file."
            )
    return archive


def _start_of(path: Path, info: zipfile.ZipInfo) -> int:
    """Offset of a stored member's data; the lengths in its local header may differ from the directory's."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise DictionaryError(f"'{path}' is damaged at its member '{info.filename}'. Download it again.")
    name, extra = struct.unpack("<HH", header[26:30])
    start = info.header_offset + 30 + name + extra
    if start + info.file_size > os.path.getsize(path):
        raise DictionaryError(f"'{path}' ends within its member '{info.filename}'. Download it again.")
    return start
