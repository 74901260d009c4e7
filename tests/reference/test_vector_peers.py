"""Control vectors exchanged with repeng. `make_vector_fixtures.py` makes the files anew, and tells how."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

import steerkit as sk

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "vectors"


def test_repeng_reads_what_we_write():
    vector = sk.Vector.load(FOLDER / "ours.gguf")
    with safe_open(FOLDER / "read_by_repeng.safetensors", "pt") as file:
        assert file.metadata() == {"model_type": "llama"}
        combined = vector / 2 - vector * 3
        for site in vector:
            assert file.get_tensor(f"{site.layer}").equal(vector[site])
            assert file.get_tensor(f"combined.{site.layer}").allclose(combined[site], rtol=1e-6)
        assert len(file.keys()) == 2 * len(vector)


def test_we_still_write_that_file(tmp_path):
    vector = sk.Vector.load(FOLDER / "ours.gguf")
    assert vector.label == "joy"
    vector.to_gguf(tmp_path / "again.gguf", model_type="llama")
    assert (tmp_path / "again.gguf").read_bytes() == (FOLDER / "ours.gguf").read_bytes()


def test_we_read_what_repeng_writes():
    vector = sk.Vector.load(FOLDER / "repeng.gguf")
    with safe_open(FOLDER / "repeng.safetensors", "pt") as file:
        assert sorted(file.keys()) == sorted(str(site.layer) for site in vector)
        assert all(file.get_tensor(str(site.layer)).equal(vector[site]) for site in vector)
