"""Control vectors in GGUF: what is written, llama.cpp's rules admit; what others wrote is read."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
import torch
from gguf import GGUFWriter

import steerkit as sk
from steerkit.errors import VectorError
from steerkit.vectors.provenance import Provenance

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PUBLISHED = sorted((DATA / "vectors" / "gguf").glob("*.gguf"))
MADE = Provenance("mean_difference", "gpt2", quality={"held-out AUROC": {"3.resid_post": 0.875}})


@pytest.fixture
def joy() -> sk.Vector:
    """As wide as no alignment is, and deeper than one digit."""
    draw = torch.Generator().manual_seed(0)
    directions = {f"{layer}.resid_post": torch.randn(7, generator=draw) for layer in (1, 3, 12)}
    return sk.Vector(directions, "joy 夜", {"3.resid_post": -2.5}, MADE)


@pytest.fixture
def file(joy, tmp_path):
    joy.to_gguf(tmp_path / "joy.gguf", model_type="llama")
    return tmp_path / "joy.gguf"


def gguf_file(path, tensors: dict[str, np.ndarray], **fields: str | float) -> str:
    writer = GGUFWriter(path, "controlvector")
    for name, value in fields.items():
        add = writer.add_string if isinstance(value, str) else writer.add_float32
        add(f"controlvector.{name}", value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return str(path)


def row(width: int = 4) -> np.ndarray:
    return np.arange(1, width + 1, dtype=np.float32)


def test_llama_cpp_would_load_what_is_written(joy, file):
    said, directions = llama_cpp.control_vector(file.read_bytes())
    assert sorted(directions) == [1, 3, 12]
    for layer, direction in directions.items():
        assert direction.tobytes() == joy[f"{layer}.resid_post"].numpy().tobytes()
    assert said["general.architecture"] == "controlvector"
    assert said["controlvector.model_hint"] == "llama"
    assert said["controlvector.layer_count"] == 3


def test_what_is_written_is_read_whole(joy, file):
    for again in (sk.Vector.from_gguf(file), sk.Vector.load(file)):
        assert again == joy
        assert (again.label, again.provenance) == (joy.label, joy.provenance)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_files_are_read_as_they_are(path, tmp_path):
    vector = sk.Vector.load(path)
    data = path.read_bytes()
    assert [site.layer for site in vector] == list(range(len(vector)))
    assert {site.kind for site in vector} == {"resid_post"}
    for site in vector:
        assert vector[site].numpy().tobytes() in data
    assert vector.provenance.method in ("center", "diffmean", "linear_probe")
    assert vector.provenance.positives == vector.provenance.negatives > 0
    with pytest.raises(llama_cpp.RefusedError, match="layer 0"):
        llama_cpp.control_vector(data)
    with pytest.raises(VectorError, match=r"llama\.cpp cannot load a control vector with layer 0"):
        vector.to_gguf(tmp_path / "again.gguf")
    loadable = sk.Vector({site: vector[site] for site in vector if site.layer}, vector.label, None, vector.provenance)
    loadable.to_gguf(tmp_path / "again.gguf")
    assert sk.Vector.load(tmp_path / "again.gguf") == loadable
    _, directions = llama_cpp.control_vector((tmp_path / "again.gguf").read_bytes())
    assert len(directions) == len(vector) - 1


def test_there_are_published_files():
    if not DATA.is_dir():
        pytest.skip("shared/data is not there")
    assert len(PUBLISHED) == 5


def test_what_others_say_of_the_method_is_kept(tmp_path):
    said = {"method": "pca", "token_pos": -1.0, "n_positive": 3.0, "n_negative": 4.0, "normalize": 1.0}
    measures = {"explained_variance.2": 0.5, "classification_scores.2": float("nan")}
    path = gguf_file(tmp_path / "happy.gguf", {"direction.2": row()}, **said, **measures)
    vector = sk.Vector.load(path)
    assert vector.label == "happy"
    assert vector.provenance == Provenance(
        "pca", token="-1", positives=3, negatives=4, quality={"explained variance": {"2.resid_post": 0.5}}
    )


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floating_points_are_read_in_float32(kind, tmp_path):
    path = gguf_file(tmp_path / "v.gguf", {"direction.1": row().astype(kind)})
    assert sk.Vector.load(path)["1.resid_post"].tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ({"0.resid_post": 4, "1.resid_post": 4}, r"direction at '0\.resid_post', and llama.cpp cannot load .* layer 0"),
        ({"2.resid_pre": 4}, r"'2\.resid_pre'; a control vector is added to what leaves a layer: '2\.resid_post'"),
        ({"1.resid_post": 4, "1.mlp_out": 4}, r"'1\.mlp_out'; a control vector is added"),
        ({"1.resid_post": 4, "2.resid_post": 5}, r"widths \(4 at '1\.resid_post', 5 at '2\.resid_post'\)"),
    ],
)
def test_what_llama_cpp_could_not_load_is_not_written(sites, message, tmp_path):
    vector = sk.Vector({site: torch.ones(width) for site, width in sites.items()})
    with pytest.raises(VectorError, match=message):
        vector.to_gguf(tmp_path / "v.gguf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "has no tensors"),
        ({"blk.0.attn_q.weight": row()}, r"a tensor 'blk\.0\.attn_q\.weight'; those of a control vector are called"),
        ({"direction.x": row()}, r"'direction\.x'"),
        ({"direction.01": row()}, r"'direction\.01'"),
        ({"direction.-1": row()}, r"'direction\.-1'"),
        ({"direction.1": row().reshape(2, 2)}, r"the shape \(2, 2\); a direction is one row"),
        ({"direction.1": row().astype(np.int32)}, "of the type int32"),
        ({"direction.1": np.array([1, np.nan], dtype=np.float32)}, "1 values that are NaN or infinite"),
    ],
)
def test_what_is_no_control_vector_is_refused(tensors, message, tmp_path):
    path = gguf_file(tmp_path / "v.gguf", tensors)
    with pytest.raises(VectorError, match=message):
        sk.Vector.from_gguf(path)


def test_every_shorter_file_is_refused(file, tmp_path):
    data = file.read_bytes()
    used = len(data) - 4  # the last tensor's 28 bytes are padded to 32
    for length in [*range(0, used - 90, 7), *range(used - 90, used)]:
        short = tmp_path / "short.gguf"
        short.write_bytes(data[:length])
        with pytest.raises(VectorError, match="no complete GGUF file"):
            sk.Vector.from_gguf(short)


def test_an_array_that_is_declared_longer_than_the_file_is_refused(tmp_path):
    """Or reading it would go on until memory ends."""
    key = b"controlvector.bomb"
    array = struct.pack("<IIQ", 9, 0, 2**60)
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", len(key)) + key + array
    (tmp_path / "v.gguf").write_bytes(data + bytes(64))
    with pytest.raises(VectorError, match="is no complete GGUF file: it is 130 bytes long, and declares more"):
        sk.Vector.load(tmp_path / "v.gguf")


def test_damaged_annotations_are_refused(tmp_path):
    path = gguf_file(tmp_path / "v.gguf", {"direction.1": row()}, steerkit='{"label": 3}')
    with pytest.raises(VectorError, match=r"'label' of what '.*v.gguf' says of its vector is 3"):
        sk.Vector.load(path)


def test_without_the_package_the_error_says_what_to_install(joy, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    monkeypatch.delitem(sys.modules, "steerkit.vectors.formats.control_vector")
    monkeypatch.delattr("steerkit.vectors.formats.control_vector")
    for use in (joy.to_gguf, sk.Vector.from_gguf, sk.Vector.load):
        with pytest.raises(VectorError, match=r"not installed\. Install steerkit-lab\[gguf\]"):
            use(file)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda data: b"FUGG" + data[4:], "the magic"),
        (lambda data: data[:4] + b"\x01" + data[5:], "the version"),
        (lambda data: data[:-32], "ends early"),
        (lambda data: data.replace(b"direction.1", b"direction.3", 1), "comes twice"),
        (lambda data: data.replace(b"direction.3", b"direction.0", 1), "layer 0"),
    ],
)
def test_the_rules_refuse_what_llama_cpp_refuses(change, rule, file):
    with pytest.raises(llama_cpp.RefusedError, match=rule):
        llama_cpp.control_vector(change(file.read_bytes()))
