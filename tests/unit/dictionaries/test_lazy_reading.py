"""Matrices stay in their files: what comes out is right, and few bytes are read for it."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from dense import Numbers
from safetensors.torch import save_file

from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.dictionaries.matrix import InMemory, OnDisk
from steerkit.errors import DictionaryError

ROWS, COLUMNS = 40, 7


class Reads:
    """Counts positioned reads and their bytes."""

    def __init__(self, monkeypatch) -> None:
        self.calls = self.bytes = 0
        preadv = os.preadv

        def counted(file, buffers, offset):
            self.calls += 1
            self.bytes += sum(map(len, buffers))
            return preadv(file, buffers, offset)

        monkeypatch.setattr(os, "preadv", counted)


@pytest.fixture
def reads(monkeypatch) -> Reads:
    return Reads(monkeypatch)


def write(kind: str, folder, values: torch.Tensor):
    path = folder / f"weights.{kind.split()[0]}"
    match kind:
        case "safetensors":
            save_file({"other": values[:3].clone(), "W": values, "b": values[0].clone()}, path)
        case "pt":
            torch.save({"other": values[:3], "W": values, "b": values[0].clone()}, path)
        case "pt transposed":
            torch.save({"W": values.T.contiguous().T, "b": values[0].clone()}, path)
        case "pt slice":
            torch.save({"W": torch.cat([values, values])[ROWS:], "b": values[0].clone()}, path)
        case "pt parameter":
            torch.save({"W": torch.nn.Parameter(values), "b": values[0].clone()}, path)
        case "npz":
            np.savez(path, W=values.numpy(), b=values[0].numpy())
        case "npz column-major":
            np.savez(path, W=np.asfortranarray(values.numpy()), b=values[0].numpy())
    return path


KINDS = ["safetensors", "pt", "pt transposed", "pt slice", "pt parameter", "npz", "npz column-major"]


DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
STORED = [(k, d) for k in KINDS for d in DTYPES if not (k.startswith("npz") and d == torch.bfloat16)]  # numpy has none


@pytest.mark.parametrize(("kind", "dtype"), STORED)
def test_rows_columns_and_blocks(tmp_path, reads, kind, dtype):
    values = Numbers()(ROWS, COLUMNS, dtype=dtype)
    file = TensorFile.open(write(kind, tmp_path, values))
    matrix = file.matrix("W", (ROWS, COLUMNS))
    assert not reads.bytes, "opening reads no weights"
    dense = values.float()
    size = dtype.itemsize
    for some in (matrix, matrix.T.T, matrix.T.scaled(torch.ones(COLUMNS), torch.ones(ROWS)).T):
        reads.bytes = 0
        assert some.rows([3, 0, 39]).equal(dense[[3, 0, 39]])
        assert reads.bytes == 3 * COLUMNS * size
        reads.bytes = 0
        assert some.columns([6, 2]).equal(dense[:, [6, 2]])
        assert reads.bytes == 2 * ROWS * size
        assert some.block(5, 9).equal(dense[5:9])
        assert some.whole().equal(dense)
        assert some.T.block(2, 5).equal(dense.T[2:5])
        assert some.rows([]).shape == (0, COLUMNS)
        assert some.columns([]).shape == (ROWS, 0)
        assert torch.allclose(some.row_norms(), dense.norm(dim=1))
    assert file.vector("b", COLUMNS).equal(dense[0])


@pytest.mark.parametrize("kind", ["npz packed", "pt old"])
def test_files_that_can_only_be_read_whole(tmp_path, kind):
    values = Numbers()(ROWS, COLUMNS)
    path = tmp_path / f"weights.{kind.split()[0]}"
    if kind == "npz packed":
        np.savez_compressed(path, W=values.numpy(), b=values[0].numpy())
    else:
        torch.save({"W": values, "b": values[0]}, path, _use_new_zipfile_serialization=False)
    file = TensorFile.open(path)
    matrix = file.matrix("W", (ROWS, COLUMNS))
    assert matrix.rows([3, 0]).equal(values[[3, 0]])
    assert matrix.columns([6]).equal(values[:, [6]])
    assert matrix.T.block(2, 5).equal(values.T[2:5])
    assert file.vector("b", COLUMNS).equal(values[0])


def test_neighbouring_columns_are_read_together(tmp_path, reads):
    values = Numbers()(ROWS, COLUMNS)
    matrix = TensorFile.open(write("safetensors", tmp_path, values)).matrix("W", (ROWS, COLUMNS))
    assert matrix.columns([4, 5, 6, 0, 1]).equal(values[:, [4, 5, 6, 0, 1]])
    assert reads.calls == 2 * ROWS


def test_norms_of_more_than_one_block(tmp_path, monkeypatch):
    values = Numbers()(ROWS, COLUMNS)
    matrix = TensorFile.open(write("safetensors", tmp_path, values)).matrix("W", (ROWS, COLUMNS))
    monkeypatch.setattr("steerkit.dictionaries.matrix.BLOCK", 3 * COLUMNS)
    assert torch.allclose(matrix.row_norms(), values.norm(dim=1))
    assert torch.allclose(matrix.T.row_norms(), values.norm(dim=0))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_one_feature_of_a_dictionary_is_a_row_and_a_column(tmp_path, reads, suffix):
    """In bfloat16, as Goodfire's 70B one, where the two matrices hold a gigabyte each."""
    r, d, n = Numbers(), 64, 512
    if suffix == ".pth":
        tensors = {
            "encoder_linear.weight": r(n, d, dtype=torch.bfloat16),
            "encoder_linear.bias": r(n, dtype=torch.bfloat16),
            "decoder_linear.weight": r(d, n, dtype=torch.bfloat16),
            "decoder_linear.bias": r(d, dtype=torch.bfloat16),
        }
        torch.save(tensors, tmp_path / "dictionary.pth")
        W_enc, W_dec = tensors["encoder_linear.weight"].T, tensors["decoder_linear.weight"].T
    else:
        W_enc, W_dec = r(d, n, dtype=torch.bfloat16), r(n, d, dtype=torch.bfloat16)
        tensors = {"w_enc": W_enc, "w_dec": W_dec, "b_enc": r(n), "b_dec": r(d), "threshold": r(n)}
        save_file(tensors, tmp_path / "params.safetensors")
    parts = read_parts(tmp_path)
    assert parts.W_dec.rows([100]).equal(W_dec[[100]].float())
    assert parts.W_enc.columns([100]).equal(W_enc[:, [100]].float())
    assert reads.bytes == 2 * d * 2


def test_a_file_cut_short_after_opening(tmp_path):
    values = Numbers()(ROWS, COLUMNS)
    path = write("safetensors", tmp_path, values)
    matrix = TensorFile.open(path).matrix("W", (ROWS, COLUMNS))
    os.truncate(path, path.stat().st_size - 400)
    with pytest.raises(DictionaryError, match="ends within a weight matrix"):
        matrix.whole()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_numbers_in_a_matrix_are_found_when_read(tmp_path, value):
    values = Numbers()(ROWS, COLUMNS)
    values[30, 2] = value
    matrix = TensorFile.open(write("safetensors", tmp_path, values)).matrix("W", (ROWS, COLUMNS))
    assert isinstance(matrix, OnDisk)
    assert matrix.rows([29]).equal(values[[29]])
    with pytest.raises(DictionaryError, match="NaN or infinity in a weight matrix"):
        matrix.columns([2])


def test_samples_are_evenly_spread_rows_as_they_are_stored(tmp_path, monkeypatch, reads):
    values = Numbers()(ROWS, COLUMNS)
    (tmp_path / "raw").write_bytes(values.numpy().tobytes())
    stored = OnDisk(tmp_path / "raw", 0, (ROWS, COLUMNS), torch.float32)
    for matrix in (stored, stored.T, stored.scaled(rows=torch.rand(ROWS)), stored.T.scaled(), InMemory(values).T):
        assert matrix.sample().equal(values)
    monkeypatch.setattr("steerkit.dictionaries.matrix.SAMPLE", 4 * COLUMNS)
    reads.bytes = 0
    assert stored.T.sample().equal(values[[0, 10, 20, 30]])
    assert reads.bytes == 4 * COLUMNS * 4
