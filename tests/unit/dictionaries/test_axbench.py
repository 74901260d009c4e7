"""AxBench's dictionaries: readouts, sites and labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from dense import D, Numbers, activations, check, double

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError

C = 4
CONCEPTS = ["rivers", "the verb 'to be'", "C++ <template>", "années"]


def save(folder: Path, concepts: list[str] = CONCEPTS, **tensors) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in tensors.items():
        torch.save(value, folder / f"{name}.pt")
    lines = [json.dumps({"concept_id": i, "concept": text, "ref": "https://x"}) for i, text in enumerate(concepts)]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_published_dictionary(tmp_path):
    weight = Numbers()(C, D, dtype=torch.bfloat16)
    repo = tmp_path / "models--pyvene--gemma-reft-2b-it-res" / "snapshots" / "1" / "l20"
    folder = save(repo, weight=weight)
    f = (activations() @ weight.double().T).clamp(min=0)
    parts = read_parts(folder)
    check(parts, f, f @ weight.double())
    assert parts.labels == dict(enumerate(CONCEPTS))
    assert (parts.model, str(parts.site_in), parts.chat) == ("google/gemma-2-2b-it", "20.resid_post", True)


@pytest.mark.parametrize(
    ("method", "bias", "rectified"),
    [
        ("LsReFT", False, True),
        ("SteeringVector", False, True),
        ("DiffMean", True, False),
        ("PCA", True, False),
        ("LAT", True, False),
        ("MeanEmbedding", True, False),
        ("MeanActivation", True, False),
        ("LinearProbe", False, False),
    ],
)
def test_a_run_directory(tmp_path, method, bias, rectified):
    """The probe's saved bias is left alone, as by AxBench."""
    r = Numbers()
    weight, stored = r(C, D), r(C)
    folder = save(tmp_path / "prod_2b_l10_v1" / "train", **{f"{method}_weight": weight, f"{method}_bias": stored})
    p = activations() @ weight.double().T + bias * stored.double()
    f = p.clamp(min=0) if rectified else p
    parts = read_parts(folder)
    check(parts, f, f @ weight.double())
    assert str(parts.site_in) == "10.resid_post"
    assert read_parts(folder / f"{method}_weight.pt").labels[0] == "rivers"


def test_several_methods_in_one_directory(tmp_path):
    r = Numbers()
    folder = save(tmp_path, PCA_weight=r(C, D), LsReFT_weight=r(C, D))
    with pytest.raises(DictionaryError, match=r"is of no known format; it has LsReFT_weight\.pt, PCA_weight\.pt"):
        read_parts(folder)
    assert read_parts(folder, kind="PCA").W_dec.rows([1]).equal(torch.load(folder / "PCA_weight.pt")[[1]])


def test_a_method_that_nobody_tells(tmp_path):
    folder = save(tmp_path / "l20", weight=Numbers()(C, D))
    with pytest.raises(DictionaryError, match="Give it as kind=, one of LsReFT"):
        read_parts(folder)
    assert read_parts(folder, kind="DiffMean").n_features == C


def test_the_pruned_gemma_scope(tmp_path):
    r = Numbers()
    tensors = {"W_enc": r(D, C), "W_dec": r(C, D), "b_enc": r(C), "b_dec": r(D), "threshold": r.positive(C)}
    folder = save(tmp_path, GemmaScopeSAE=tensors)
    t = double(tensors)
    p = activations() @ t["W_enc"] + t["b_enc"]
    f = p.clamp(min=0) * (p > t["threshold"])
    parts = read_parts(folder)
    check(parts, f, f @ t["W_dec"] + t["b_dec"])
    assert parts.labels[3] == "années"
    assert parts.format == read_parts(folder / "GemmaScopeSAE.pt").format == "axbench"


def test_labels_that_do_not_fit(tmp_path):
    folder = save(tmp_path, CONCEPTS[:3], PCA_weight=Numbers()(C, D))
    with pytest.raises(DictionaryError, match="names 3 concepts for 4 directions"):
        read_parts(folder)
    (folder / "metadata.jsonl").write_text('{"concept": 1}\nnot json\n')
    with pytest.raises(DictionaryError, match="not one JSON object with a 'concept' a line"):
        read_parts(folder)
    (folder / "metadata.jsonl").unlink()
    assert read_parts(folder).labels == {}
