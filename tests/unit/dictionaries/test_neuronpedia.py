"""Labels and maxima out of Neuronpedia's export."""

from __future__ import annotations

import gzip
import json

import pytest
from test_steering import N, make

from steerkit.errors import DictionaryError, FeatureError

NAME = "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"  # Neuronpedia: gemma-2-2b/20-gemmascope-res-16k
LAYER = "20-gemmascope-res-16k"


@pytest.fixture
def dictionary(tinystories):
    dictionary = make(tinystories.model)
    dictionary.published_maxima = None
    dictionary.name = NAME
    return dictionary


def batch(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def export(tmp_path):
    """Two dictionaries of an export; batches are in the order of indices as text."""
    for layer, factor in ((LAYER, 1.0), ("19-gemmascope-res-16k", 9.0)):
        here = tmp_path / "v1" / "gemma-2-2b" / layer
        for number, indices in enumerate([(4, 40), (5,)]):
            features = [{"index": str(i), "layer": layer, "maxActApprox": factor * i} for i in indices]
            labels = [
                {"index": str(i), "layer": layer, "modelId": "gemma-2-2b", "description": f"{layer} {i}"}
                for i in indices
            ]
            batch(here / "features" / f"batch-{number}.jsonl.gz", features)
            batch(here / "explanations" / f"batch-{number}.jsonl.gz", labels)
    return tmp_path


def test_a_whole_export_gives_the_part_of_the_dictionary(dictionary, export):
    assert dictionary.import_maxima(export) == 3
    assert dictionary.import_labels(export) == 3
    for index in (4, 5, 40):
        feature = dictionary[index]
        assert feature.max_activation == pytest.approx(index / feature.decoder_norm)
        assert feature.label == f"{LAYER} {index}"
    assert dictionary[3].max_activation is None
    assert dictionary[4].add(2, "max").in_unit("residual").strength == pytest.approx(8)  # as on Neuronpedia


def test_maxima_by_feature(dictionary):
    dictionary.import_maxima({3: 7.0, 4: 0.0})
    assert dictionary[3].max_activation == pytest.approx(7 / dictionary[3].decoder_norm)
    assert dictionary[4].max_activation is None  # never active
    dictionary.import_maxima({3: 8.0})
    assert dictionary[3].max_activation == pytest.approx(8 / dictionary[3].decoder_norm)


@pytest.mark.parametrize("kind", ["topk", "topk layer_norm", "groupmax"])
def test_top_k_is_not_folded(tinystories, kind):
    dictionary = make(tinystories.model, kind)
    dictionary.import_maxima({3: 7.0})
    assert dictionary[3].max_activation == 7.0
    assert dictionary[5].max_activation == 2.0  # as published with the weights


def test_a_calibration_comes_first(dictionary, tinystories):
    dictionary.import_maxima(dict.fromkeys(range(N), 1000.0))
    dictionary.calibrate(tinystories.model, ["Once upon a time"])
    active = int(dictionary.calibration.maximum.argmax())
    assert dictionary[active].max_activation == dictionary.calibration.maximum[active].item()


def test_what_cannot_be_imported_is_refused(dictionary, export, tmp_path):
    with pytest.raises(FeatureError, match="has no feature 48"):
        dictionary.import_maxima({1: 1.0, 48: 1.0})
    assert dictionary.published_maxima is None
    with pytest.raises(DictionaryError, match="has no features"):
        dictionary.import_maxima(tmp_path / "gone")
    mixed = export / "mixed.jsonl.gz"
    batch(mixed, [{"index": str(i), "layer": f"{i}-res", "maxActApprox": 1.0} for i in (1, 2)])
    with pytest.raises(DictionaryError, match="several dictionaries: 1-res, 2-res"):
        dictionary.import_maxima(mixed)
    assert dictionary.import_maxima(mixed, layer="2-res") == 1


@pytest.mark.parametrize(
    "row",
    ["[1]", "{", '{"index": "x", "maxActApprox": 1}', '{"index": 1, "maxActApprox": "NaN"}', '{"maxActApprox": 1}'],
)
def test_damaged_files_are_refused(dictionary, tmp_path, row):
    (tmp_path / "batch-0.jsonl").write_text(row)
    with pytest.raises(DictionaryError, match=r"batch-0\.jsonl' is damaged"):
        dictionary.import_maxima(tmp_path)
