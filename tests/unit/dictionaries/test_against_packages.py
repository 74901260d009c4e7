"""Files that the publishers' own packages wrote, against what those packages compute from them.

`tests/reference/make_dictionary_fixtures.py` makes them anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from dense import check
from safetensors.torch import load_file

from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.formats.recognise import read_parts

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "dictionaries"
CASES = sorted(path.parent for path in FOLDER.rglob("made.json"))


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.relative_to(FOLDER).as_posix())
def test_encode_and_decode_agree_with_the_package(folder):
    hints = json.loads((folder / "made.json").read_text())["hints"]
    expected = {name: values.double() for name, values in load_file(folder / "expected.safetensors").items()}
    parts = read_parts(folder, **hints)
    check(parts, expected["f"], expected["y"], expected["x"])
    dictionary = Dictionary(parts, folder.name)
    codes = dictionary.encode(expected["x"].float())
    f, y = codes.to_dense().double(), dictionary.decode(codes).double()
    assert f.ne(0).equal(expected["f"].ne(0))
    assert ((f - expected["f"]).norm() / expected["f"].norm()).item() < 1e-5
    assert ((y - expected["y"]).norm() / expected["y"].norm()).item() < 1e-5
    few = dictionary.encode_features(expected["x"].float(), [7, 0, 3]).double()
    assert torch.allclose(few, expected["f"][:, [7, 0, 3]], rtol=1e-4, atol=1e-5)


def test_there_are_files_of_every_package():
    packages = {"circuit-tracer", "sae-lens", "eai-sparsify", "dictionary-learning", "lm-saes", "sparse-autoencoder"}
    assert {case.relative_to(FOLDER).parts[0] for case in CASES} == packages
