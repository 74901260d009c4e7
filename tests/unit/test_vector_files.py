"""Files of vectors: steerkit's own, torch's, numpy's and activation-steering's; GGUF is in `test_control_vectors`."""

from __future__ import annotations

import json
import os
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import steerkit as sk
from steerkit.errors import SiteError, VectorError
from steerkit.vectors.provenance import Provenance

pytestmark = pytest.mark.usefixtures("unchecked")
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

MADE = Provenance(
    "mean_difference",
    "gpt2",
    "607a30d",
    token="last",
    positives=40,
    negatives=38,
    data="sha256:5891b5",
    seed=0,
    quality={"held-out AUROC": {"0.mlp_out": 0.1 + 0.2, "1.resid_post": 1.0}},
    dictionaries={"0.mlp_out": "somebody/features"},
    weights={"0.mlp_out": {"12": 0.5, "7": -3.0}},
)
JOY = sk.Vector(
    {"1.resid_post": torch.tensor([1e-45, -0.0, 3.4e38]), "0.mlp_out": torch.tensor([1 / 3, 2.0])},
    "Freude\n\"'\\ 夜",
    {"1.resid_post": 0.1 + 0.2},
    MADE,
)
NPY = b"\x93NUMPY\x01\x00" + struct.pack("<H", 67)
BARE = torch.tensor([1.0, 2.0])


def same(one: sk.Vector, other: sk.Vector) -> bool:
    """To the bit, and with all that is said about them."""
    bits = [[vector[site].numpy().tobytes() for site in vector] for vector in (one, other)]
    return one == other and bits[0] == bits[1] and (one.label, one.provenance) == (other.label, other.provenance)


finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
vectors = st.builds(
    lambda rows, label, offset, made: sk.Vector(
        {site: torch.tensor(row) for site, row in rows.items()}, label, {next(iter(rows)): offset}, made
    ),
    st.dictionaries(
        st.sampled_from(["0.z", "1.resid_pre", "12.resid_post", "40.mlp_post"]),
        st.lists(finite, min_size=1, max_size=5),
        min_size=1,
    ),
    st.text(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.one_of(st.none(), st.builds(Provenance, st.text(), seed=st.integers(), positives=st.integers())),
)


@given(vector=vectors)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_vector_is_read_as_it_was_saved(vector, tmp_path):
    vector.save(tmp_path / "v.safetensors")
    assert same(sk.Vector.load(tmp_path / "v.safetensors"), vector)


def test_combinations_keep_their_parts(tmp_path):
    calm = sk.Vector({"1.resid_post": torch.ones(3)}, "calm")
    mixed = (0.5 * JOY - calm.named("peace")).orthogonalise(calm)
    mixed.save(tmp_path / "v")
    again = sk.Vector.load(tmp_path / "v")
    assert same(again, mixed)
    assert again.provenance.parts[0].provenance.parts[0].provenance == MADE
    plan = sk.Plan(mixed.add(2))
    assert same(sk.Plan.from_json(plan.to_json())[0].target, mixed)


def test_a_saved_file_is_a_safetensors_file_for_others_too(tmp_path):
    JOY.save(tmp_path / "v.safetensors")
    with safe_open(tmp_path / "v.safetensors", "pt") as file:
        assert sorted(file.keys()) == ["0.mlp_out", "1.resid_post"]
        said = json.loads(file.metadata()["steerkit"])
    assert (said["format"], said["version"], said["steerkit"]) == ("steerkit vector", 1, sk.__version__)
    assert said["provenance"]["quality"]["held-out AUROC"]["1.resid_post"] == 1.0


def test_formats_are_told_by_what_is_in_the_file(tmp_path):
    JOY.save(tmp_path / "v.safetensors")
    (tmp_path / "v.safetensors").rename(tmp_path / "v.gguf")
    assert same(sk.Vector.load(str(tmp_path / "v.gguf")), JOY)
    for length in range(30):  # the header's length is what the file starts with, and may look like other formats' magic
        sk.Vector({"0.z": BARE}, "x" * length).save(tmp_path / "v")
        assert sk.Vector.load(tmp_path / "v").label == "x" * length
    save_file({"7": BARE}, tmp_path / "short")
    assert (tmp_path / "short").read_bytes()[8:9] == b"{"


def test_tensors_are_named_by_site_or_layer(tmp_path):
    save_file({"3": BARE, "0.z": 2 * BARE}, tmp_path / "mood.safetensors")
    torch.save({3: BARE, "0.z": 2 * BARE}, tmp_path / "mood.pt")
    for name, format in (("mood.safetensors", "safetensors"), ("mood.pt", "torch")):
        vector = sk.Vector.load(tmp_path / name)
        assert vector == sk.Vector({"0.z": 2 * BARE, "3.resid_post": BARE})
        assert (vector.label, vector.provenance) == ("mood", Provenance(format))


def test_a_bare_tensor_needs_a_site(tmp_path):
    torch.save(BARE, tmp_path / "v.pt")
    torch.save(BARE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "v.npy", BARE.double().numpy())
    for name in ("v.pt", "old.pt", "v.npy"):
        assert sk.Vector.load(tmp_path / name, site="3.mlp_out") == sk.Vector({"3.mlp_out": BARE})
        with pytest.raises(VectorError, match=r"the shape \(2,\) and does not say .*\.load\(path, site="):
            sk.Vector.load(tmp_path / name)
        with pytest.raises(SiteError, match="'middle' is no site"):
            sk.Vector.load(tmp_path / name, site="middle")


def test_a_site_is_not_told_in_vain(tmp_path):
    JOY.save(tmp_path / "v")
    with pytest.raises(VectorError, match=r"says itself where it belongs: 0\.mlp_out, 1\.resid_post\. Leave site="):
        sk.Vector.load(tmp_path / "v", site="1.resid_post")
    JOY.at("0.mlp_out").save(tmp_path / "v")
    assert sk.Vector.load(tmp_path / "v", site="0.mlp_out") == JOY.at("0.mlp_out")


@pytest.mark.parametrize("name", ["gemma-2b-it", "qwen-1_8b-chat"])
def test_published_refusal_directions(name):
    folder = DATA / "vectors" / "refusal_direction" / name
    if not folder.is_dir():
        pytest.skip("refusal_direction is not in shared/data/vectors")
    said = json.loads((folder / "direction_metadata.json").read_text())
    vector = sk.Vector.load(folder / "direction.pt", site=f"{said['layer']}.resid_pre")
    published = torch.load(folder / "direction.pt", weights_only=True, map_location="cpu")
    assert vector[f"{said['layer']}.resid_pre"].equal(published.float())


def svec(path, **changes) -> str:
    said = {"model_type": "llama", "directions": {"3": [1.0, 2], "15": [0.5, -1]}, "explained_variances": {"3": 0.25}}
    path.write_text(json.dumps(said | changes))
    return str(path)


def test_ibm_vectors_are_read_where_they_are_used(tmp_path):
    vector = sk.Vector.load(svec(tmp_path / "refuse.svec"))
    assert vector == sk.Vector({"3.resid_pre": BARE, "15.resid_pre": torch.tensor([0.5, -1.0])})
    assert vector.label == "refuse"
    assert vector.provenance == Provenance("svec", quality={"explained variance": {"3.resid_pre": 0.25}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": {"last": [1.0]}}, "a direction at 'last', where the number of a layer belongs"),
        ({"directions": {"3": 1.0}}, r"layer 3 of '.*' is 1\.0, where a list belongs"),
        ({"directions": {"3": [1.0, "2"]}}, r"a number at layer 3 of '.*' is '2', where a number belongs"),
        ({"directions": {"3": [[1.0]]}}, r"a number at layer 3 of '.*' is \[1\.0\]"),
        ({"directions": {}}, "at least one site"),
        ({"directions": {"3": [1e39]}}, "NaN or infinite"),
        ({"directions": []}, "'directions' of .* where an object belongs"),
        ({"strength": 1}, "'strength', which is not known"),
        ({"model_type": None}, "'model_type' of .* is None"),
    ],
)
def test_damaged_ibm_vectors_are_refused(changes, message, tmp_path):
    with pytest.raises(VectorError, match=message):
        sk.Vector.load(svec(tmp_path / "v.svec", **changes))


def test_json_that_is_no_vector_is_refused(tmp_path):
    (tmp_path / "v.json").write_text('{"a": 1}')
    with pytest.raises(VectorError, match=r"v\.json' is in no format that is read: it is JSON without 'directions'"):
        sk.Vector.load(tmp_path / "v.json")


@dataclass
class SteeringVector:
    """As steering-vectors' users pickle theirs: with the package's own class."""

    layer_activations: dict


class Exploit:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path):
    trap = tmp_path / "trap"
    torch.save({"3": BARE, "x": Exploit(trap)}, tmp_path / "v.pt")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Exploit(trap), protocol=2))
    np.save(tmp_path / "v.npy", np.array([Exploit(trap)], dtype=object))
    for name, message in (("v.pt", "mkdir"), ("plain.pkl", "mkdir"), ("v.npy", "Python objects")):
        with pytest.raises(VectorError, match=message):
            sk.Vector.load(tmp_path / name, site="0.z")
    torch.save(SteeringVector({3: BARE}), tmp_path / "object.pt")
    with pytest.raises(VectorError, match=r"more than tensors \(.*SteeringVector\), and unpickling"):
        sk.Vector.load(tmp_path / "object.pt")
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([BARE, BARE], "holds a list. What is read is one tensor, or a dict"),
        ({"3": {"mean": BARE}}, "holds a dict. What is read"),
        ({}, "has no tensors"),
        ({"mean": BARE}, r"tensors of '.*' are called 'mean'\. Names that are read are sites"),
        ({"3": torch.ones(2, 2)}, r"shape \(2, 2\); it must be one row"),
        ({"3": torch.tensor([1.0, float("nan")])}, "1 values that are NaN or infinite"),
    ],
)
def test_torch_files_of_other_things_are_refused(content, message, tmp_path):
    torch.save(content, tmp_path / "v.pt")
    with pytest.raises(VectorError, match=message):
        sk.Vector.load(tmp_path / "v.pt")


def changed(**changes):
    """What a saved file says, with changes; None takes a field out."""

    def write(path) -> None:
        JOY.save(path)
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            said = json.loads(file.metadata()["steerkit"]) | changes
        text = json.dumps({name: value for name, value in said.items() if value is not None})
        save_file(tensors, path, metadata={"steerkit": text})

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (changed(format="steerkit plan"), "is a 'steerkit plan', where a 'steerkit vector' belongs"),
        (changed(version=2), r"of version 2; this steerkit reads version 1\. Update steerkit"),
        (changed(label=None), "has no 'label'"),
        (changed(mood=1), "'mood', which is not known here"),
        (changed(offsets={"1.resid_post": "0"}), "The offset at 1.resid_post is '0', where a number belongs"),
        (changed(offsets={"2.z": 1.0}), "no direction at '2.z'"),
        (changed(provenance={"quality": {"AUROC": {"0.z": None}}}), "'0.z' of 'AUROC' of .* is None, where a number"),
        (changed(provenance={"parts": [{"label": "a"}]}), r"parts\[0\] of .* has no 'factor'"),
        (changed(provenance={"weights": {"0.z": 3}}), "'0.z' of .* is 3, where an object belongs"),
        (changed(provenance={"dictionaries": {"0.z": 3}}), "'0.z' of .* is 3, where a text belongs"),
        (changed(provenance={"author": "me"}), "'author', which is not known"),
    ],
)
def test_damaged_annotations_are_refused(write, message, tmp_path):
    write(tmp_path / "v.safetensors")
    with pytest.raises((VectorError, SiteError), match=message):
        sk.Vector.load(tmp_path / "v.safetensors")


@pytest.mark.parametrize("name", ["v.safetensors", "v.pt", "v.npy", "v.svec"])
def test_truncated_files_are_refused(name, tmp_path):
    path = tmp_path / name
    {
        "v.safetensors": JOY.save,
        "v.pt": lambda path: torch.save({"3": BARE}, path),
        "v.npy": lambda path: np.save(path, BARE.numpy()),
        "v.svec": svec,
    }[name](path)
    data = path.read_bytes()
    for length in range(0, len(data), max(1, len(data) // 50)):
        path.write_bytes(data[:length])
        with pytest.raises(VectorError):
            sk.Vector.load(path, site="3.resid_post")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "in no format that is read: safetensors, GGUF"),
        (b"label,site\n", "in no format"),
        (b"[1, 2]", "in no format"),
        (b'{"a": NaN}', "no readable JSON: NaN is no number"),
        (b'{"\xff', "no text"),
        (struct.pack("<Q", 2**40) + b"{}", "no complete safetensors file"),
        (NPY + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}", "no readable array"),
        (b"PK\x03\x04 and no more", "no complete torch file"),
    ],
)
def test_what_is_no_vector_is_refused(data, message, tmp_path):
    (tmp_path / "v").write_bytes(data)
    with pytest.raises(VectorError, match=message):
        sk.Vector.load(tmp_path / "v", site="0.z")


def test_archives_and_arrays_of_text_are_refused(tmp_path):
    np.savez(tmp_path / "v.npz", a=BARE.numpy())
    np.save(tmp_path / "v.npy", np.array(["a", "b"]))
    for name, message in (("v.npz", "not one that torch.save wrote"), ("v.npy", "no readable array of numbers")):
        with pytest.raises(VectorError, match=message):
            sk.Vector.load(tmp_path / name, site="0.z")


def test_paths_that_cannot_be(tmp_path):
    with pytest.raises(VectorError, match=r"There is no vector '.*nothing' to be read: No such file"):
        sk.Vector.load(tmp_path / "nothing")
    with pytest.raises(VectorError, match=r"There is no vector '.*nothing' to be read"):
        sk.Vector.from_gguf(tmp_path / "nothing")
    with pytest.raises(VectorError, match="Is a directory"):
        sk.Vector.load(tmp_path)
    for save in (JOY.save, JOY.at("1.resid_post").to_gguf):
        with pytest.raises(VectorError, match=r"cannot be saved as '.*/no/where'"):
            save(tmp_path / "no" / "where")
        with pytest.raises(VectorError, match=r"cannot be saved as '.*/joy\.pt': what is written is "):
            save(tmp_path / "joy.pt")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "v.safetensors"
    JOY.save(path)

    def half(tensors, part, **_):
        part.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("steerkit.vectors.formats.native.save_file", half)
    with pytest.raises(VectorError, match="No space left on device"):
        (2 * JOY.at("0.mlp_out")).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.safetensors"]
    assert same(sk.Vector.load(path), JOY)
