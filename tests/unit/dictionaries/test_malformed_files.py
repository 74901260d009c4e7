"""Files that are damaged, hostile or of another kind: one clear error each, nothing executed, nothing written."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from dense import D, N, Numbers
from safetensors.torch import save_file

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError

CFG = {"d_in": D, "d_sae": N, "architecture": "standard", "hook_name": "blocks.0.hook_resid_pre"}


def saelens(**changes) -> dict[str, torch.Tensor]:
    r = Numbers()
    return {"W_enc": r(D, N), "W_dec": r(N, D), "b_enc": r(N), "b_dec": r(D)} | changes


def goodfire(**changes) -> dict:
    r = Numbers()
    return {
        "encoder_linear.weight": r(N, D),
        "encoder_linear.bias": r(N),
        "decoder_linear.weight": r(D, N),
        "decoder_linear.bias": r(D),
    } | changes


def gemma(**changes) -> dict:
    r = Numbers()
    tensors = {"W_enc": r(D, N), "W_dec": r(N, D), "b_enc": r(N), "b_dec": r(D), "threshold": r(N)}
    return {name: value.numpy() for name, value in tensors.items()} | changes


def with_saelens(folder: Path, cfg: dict | str = CFG, **changes) -> Path:
    (folder / "cfg.json").write_text(cfg if isinstance(cfg, str) else json.dumps(cfg))
    tensors = {name: value for name, value in saelens(**changes).items() if value is not None}
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder / "sae_weights.safetensors"


def with_header(folder: Path, header: dict | bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def with_torch(folder: Path, contents, name: str = "x.pt", **options) -> Path:
    torch.save(contents, folder / name, **options)
    return folder / name


def with_npz(folder: Path, save: Callable = np.savez, **changes) -> Path:
    save(folder / "params.npz", **gemma(**changes))
    return folder / "params.npz"


def cut(path: Path, size: int) -> Path:
    """Take bytes off the end, or leave only so many if negative."""
    os.truncate(path, path.stat().st_size - size if size > 0 else -size)
    return path


def change(path: Path, old: bytes, new: bytes) -> Path:
    """Replace bytes by as many others."""
    data = path.read_bytes()
    assert old in data
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def rezip(path: Path, rename: Callable[[str], str] = str, compression: int = zipfile.ZIP_STORED, **replaced) -> Path:
    """The same archive with members renamed, compressed, or replaced."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(rename(name), replaced.get(Path(name).name.replace(".", "_"), data))
    return path


class Hostile:
    """Would make a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def npy(header: dict, data: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def with_member(folder: Path, data: bytes, compression: int = zipfile.ZIP_STORED, name: str = "W_enc.npy") -> Path:
    path = folder / "params.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, data)
    return path


def bomb(folder: Path, declared: int) -> Path:
    """A deflated member that expands to a megabyte, whatever it declares."""
    data = npy({"descr": "<f4", "fortran_order": False, "shape": (2**18,)}, bytes(2**20))
    path = with_member(folder, data, zipfile.ZIP_DEFLATED)
    return change(path, struct.pack("<I", len(data)), struct.pack("<I", declared))


def gguf(folder: Path) -> Path:
    (folder / "x.gguf").write_bytes(b"GGUF")
    return folder / "x.gguf"


def empty(folder: Path, name: str) -> Path:
    (folder / name).touch()
    return folder / name


HUGE = 2**50
F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}

MALFORMED: dict[str, tuple[Callable[[Path], Path], str]] = {
    # what is there at all
    "no such path": (lambda p: p / "nowhere", "There is no file or folder"),
    "an empty folder": (lambda p: p, "is of no known format; it has nothing"),
    "an empty safetensors file": (lambda p: empty(p, "x.safetensors"), "is empty"),
    "an empty torch file": (lambda p: empty(p, "x.pt"), "is empty"),
    "an empty npz file": (lambda p: empty(p, "params.npz"), "is empty"),
    "a control vector": (gguf, "is no tensor file; those are .safetensors"),
    "a pickle of an old SAELens": (lambda p: empty(p, "sae.pkl"), r"pickles of whole objects \(.pkl\) are not opened"),
    "a model's checkpoint": (lambda p: with_torch(p, {"lm_head.weight": torch.ones(2, 2)}), "it has lm_head.weight"),
    "two dictionaries in a folder": (
        lambda p: (with_torch(p, goodfire()), with_torch(p, goodfire(), "y.pt"))[0].parent,
        "no known format; it has x.pt, y.pt",
    ),
    # safetensors
    "text for a safetensors file": (lambda p: with_header(p, b"", b"<html>404</html>", 7 * 10**18), "header of 7,000,"),
    "a header longer than the file": (lambda p: with_header(p, F32, length=2**40), "no complete safetensors file"),
    "a header that is no JSON": (lambda p: with_header(p, b"{'W': 1}"), "no safetensors header"),
    "a header that is a list": (lambda p: with_header(p, b"[1, 2]"), "no safetensors header"),
    "a header nested without end": (lambda p: with_header(p, b"[" * 10**5), "no safetensors header"),
    "a tensor without a type": (lambda p: with_header(p, {"W": {"shape": [2]}}, bytes(8)), "no safetensors header"),
    "a tensor of an unknown type": (lambda p: with_header(p, {"W": F32 | {"dtype": "F4"}}), "of the type 'F4'"),
    "a negative shape": (lambda p: with_header(p, {"W": F32 | {"shape": [-2]}}, bytes(8)), "no safetensors header"),
    "a shape of text": (lambda p: with_header(p, {"W": F32 | {"shape": "ab"}}, bytes(8)), "no safetensors header"),
    "a huge declared shape": (lambda p: with_header(p, {"W": F32 | {"shape": [HUGE, HUGE]}}, bytes(8)), "not fit"),
    "offsets before the data": (
        lambda p: with_header(p, {"W": F32 | {"data_offsets": [-8, 0]}}, bytes(8)),
        "no safetensors header",
    ),
    "offsets after the end": (
        lambda p: with_header(p, {"W": F32 | {"data_offsets": [8, 16]}}, bytes(8)),
        "does not fit",
    ),
    "a safetensors file cut short": (lambda p: cut(with_saelens(p), 30), "does not fit its shape or the file's"),
    # torch
    "a torch file cut short": (lambda p: cut(with_torch(p, goodfire()), 400), "no complete torch file"),
    "a torch file cut to a few bytes": (lambda p: cut(with_torch(p, goodfire()), -20), "no complete torch file"),
    "a hostile pickle": (
        lambda p: with_torch(p, goodfire(extra=Hostile(p / "executed"))),
        r"holds more than tensors \(posix.mkdir\), and unpickling it could run its code",
    ),
    "a hostile pickle in the old format": (
        lambda p: with_torch(p, goodfire(extra=Hostile(p / "executed")), _use_new_zipfile_serialization=False),
        "holds more than tensors",
    ),
    "a bare hostile pickle": (
        lambda p: ((p / "x.pt").write_bytes(pickle.dumps(Hostile(p / "executed"))), p / "x.pt")[1],
        "no complete torch file",
    ),
    "a whole module": (
        lambda p: with_torch(p, torch.nn.Linear(2, 2)),
        r"more than tensors \(torch\.nn\.modules\.linear\.Linear\)",
    ),
    "a compressed torch file": (
        lambda p: rezip(with_torch(p, goodfire()), compression=zipfile.ZIP_DEFLATED),
        "is compressed",
    ),
    "a torch file with a member outside": (
        lambda p: rezip(with_torch(p, goodfire()), lambda name: f"x/../../{name}"),
        "points outside",
    ),
    "a big-endian torch file": (lambda p: rezip(with_torch(p, goodfire()), byteorder=b"big"), "is big-endian"),
    "a zip archive for a torch file": (
        lambda p: with_npz(p).rename(p / "x.pt"),
        "is a zip archive, but not one that torch.save wrote",
    ),
    "a torch file whose storage is too short": (
        lambda p: rezip(with_torch(p, goodfire()), **{"0": b"1234"}),
        "is not where",
    ),
    "an old torch file cut short": (
        lambda p: cut(with_torch(p, goodfire(), _use_new_zipfile_serialization=False), 100),
        "no complete torch file|declares",
    ),
    "a list for a torch file": (lambda p: with_torch(p, [torch.ones(2)]), "holds list"),
    "a sparse tensor": (lambda p: with_torch(p, {"W": torch.eye(2).to_sparse()}), "sparse or quantised"),
    "a tensor with gaps": (lambda p: with_torch(p, goodfire(extra=torch.ones(4, 8)[:, ::2])), "has gaps"),
    # npz
    "an npz file cut short": (lambda p: cut(with_npz(p), 100), "no complete npz archive"),
    "text for an npz file": (lambda p: with_header(p, b"nothing").rename(p / "params.npz"), "no complete npz archive"),
    "objects in an npz file": (lambda p: with_npz(p, W_enc=np.array([Hostile(p / "executed")])), r"of the type '\|O'"),
    "big-endian numbers in an npz file": (lambda p: with_npz(p, b_enc=np.zeros(N, ">f4")), "of the type '>f4'"),
    "an npz file with a member outside": (
        lambda p: with_member(p, npy({"descr": "<f4", "fortran_order": False, "shape": ()}, bytes(4)), name="../a.npy"),
        "points outside",
    ),
    "an npz file with an absolute member": (
        lambda p: with_member(p, npy({"descr": "<f4", "fortran_order": False, "shape": ()}, bytes(4)), name="/a.npy"),
        "points outside",
    ),
    "a huge array in an npz file": (
        lambda p: with_member(p, npy({"descr": "<f4", "fortran_order": False, "shape": (HUGE, HUGE)}, bytes(64))),
        "does not fit the",
    ),
    "a negative array in an npz file": (
        lambda p: with_member(p, npy({"descr": "<f4", "fortran_order": False, "shape": (-1, 2)}, bytes(64))),
        r"its shape is \(-1, 2\)",
    ),
    "a member that is no array": (lambda p: with_member(p, b"nothing at all"), "no readable array"),
    "a header that is code": (
        lambda p: with_member(
            p, npy({"descr": "<f4", "fortran_order": False, "shape": ()}).replace(b"'<f4'", b"f(5) ")
        ),
        "no readable array",
    ),
    "a zip bomb": (lambda p: bomb(p, 2**20 + 128), "at most 100 times is allowed"),
    "a zip bomb that lies about its size": (lambda p: bomb(p, 1024), "does not fit the 1,024 bytes|Bad CRC-32"),
    # what the tensors are
    "a tensor that is missing": (lambda p: with_saelens(p, b_enc=None), "has no tensor 'b_enc'; it has W_dec, W_enc"),
    "a wrong shape": (lambda p: with_saelens(p, b_enc=torch.ones(N + 1)), r"has the shape \(11,\); \(10,\)"),
    "a wrong number of dimensions": (lambda p: with_saelens(p, W_dec=torch.ones(N)), "two dimensions was expected"),
    "a bias of two dimensions": (lambda p: with_saelens(p, b_dec=torch.ones(1, D)), "one dimension was expected"),
    "NaN in a bias": (lambda p: with_saelens(p, b_enc=torch.full((N,), torch.nan)), "'b_enc'.* has NaN or infinity"),
    "NaN in a packed matrix": (
        lambda p: with_npz(p, np.savez_compressed, W_dec=np.full((N, D), np.nan)),
        "'W_dec'.* has NaN or infinity",
    ),
    "NaN in a matrix of an old torch file": (
        lambda p: with_torch(
            p,
            goodfire(**{"decoder_linear.weight": torch.full((D, N), torch.nan)}),
            _use_new_zipfile_serialization=False,
        ),
        "'decoder_linear.weight'.* has NaN or infinity",
    ),
    "infinity in a bias": (lambda p: with_saelens(p, b_dec=torch.full((D,), torch.inf)), "has NaN or infinity"),
    "whole numbers for weights": (
        lambda p: with_saelens(p, W_enc=torch.ones(D, N, dtype=torch.int64)),
        "of the type torch.int64; weights are floating-point",
    ),
    "an encoder the wrong way round": (
        lambda p: with_torch(p, goodfire(**{"encoder_linear.weight": torch.ones(D, N)})),
        r"has the shape \(10,\); \(6,\) was expected",
    ),
    "a number where a tensor was expected": (lambda p: with_torch(p, goodfire(**{"encoder_linear.bias": 3})), "is int"),
    # configs
    "a config that is no JSON": (lambda p: with_saelens(p, "{'d_in': 6}"), "no readable JSON"),
    "a config that is a list": (lambda p: with_saelens(p, "[]"), "holds list"),
    "a config of another shape": (
        lambda p: with_saelens(p, CFG | {"metadata": 3, "hook_name": 5}),
        "not as the format",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(tmp_path, name):
    make, message = MALFORMED[name]
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DictionaryError, match=message) as caught:
        read_parts(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 450
    assert sorted(tmp_path.rglob("*")) == before, "something was written"


def test_a_packed_member_that_is_damaged(tmp_path):
    path = with_npz(tmp_path, np.savez_compressed)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("b_enc.npy")
    data[info.header_offset + 30 + len("b_enc.npy") + 20 + info.compress_size // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DictionaryError, match=r"cannot be unpacked|no readable array"):
        read_parts(path)


def test_an_unknown_format_is_named():
    with pytest.raises(DictionaryError, match=r"There is no format 'sealens'; known are axbench, .*saelens"):
        read_parts(Path(__file__).parent, format="sealens")


def test_an_unknown_hint_is_a_mistake_in_code(tmp_path):
    with pytest.raises(TypeError, match="layer"):
        read_parts(tmp_path, layer=3)


def test_a_named_format_that_is_not_there(tmp_path):
    with pytest.raises(DictionaryError, match=r"exactly one file named sae_weights.safetensors; it has nothing"):
        read_parts(tmp_path, format="saelens")
