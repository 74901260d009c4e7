"""Directions and steered texts of repeng, steering-vectors and scikit-learn, beside ours on the same pairs and models.

`make_learning_fixtures.py` made theirs. repeng reads the last layer after the final norm and writes it before; ours
reads where it writes, so the last layer is left out there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import steerkit as sk
from steerkit.learn import Examples, mean_difference, principal_component, probe

HERE = Path(__file__).resolve().parent
FOLDER, MODELS = HERE.parent / "fixtures" / "learning", HERE.parents[2] / "shared" / "data" / "models"
EVERY = sk.Where(special=True)

sys.path.insert(0, str(HERE))
from make_learning_fixtures import NEW_TOKENS, PROMPT, STRENGTHS, pairs  # noqa: E402


@pytest.fixture(scope="module", params=["tinystories656K", "stories260K"])
def model(request) -> sk.Model:
    if not (MODELS / request.param).is_dir():
        pytest.skip(f"the model {request.param} is not in shared/data/models")
    return sk.load(MODELS / request.param)


def theirs(peer: str, model: sk.Model, method: str) -> dict[int, torch.Tensor]:
    start = f"{Path(model.name).name}.{method}."
    found = load_file(FOLDER / f"{peer}.safetensors")
    return {int(key.removeprefix(start)): x for key, x in found.items() if key.startswith(start)}


@pytest.fixture(scope="module")
def components(model) -> dict[str, sk.Vector]:
    examples = Examples.from_pairs(pairs())
    of = {"pca_diff": "differences", "pca_center": "centred pairs"}
    return {method: principal_component(model, examples, of=name) for method, name in of.items()}


@pytest.mark.parametrize("method", ["pca_diff", "pca_center"])
def test_repeng_principal_components_agree(model, components, method):
    directions = theirs("repeng", model, method)
    assert set(directions) == set(range(model.n_layers))
    for layer in range(model.n_layers - 1):
        cosine = torch.cosine_similarity(components[method][f"{layer}.resid_post"], directions[layer], dim=0)
        assert cosine > 0.9999


@pytest.mark.parametrize("method", ["pca_diff", "pca_center"])
def test_texts_steered_along_repeng_and_ours_agree_token_for_token(model, components, method):
    name = Path(model.name).name
    texts = json.loads((FOLDER / "repeng.json").read_text(encoding="utf-8"))["texts"]
    vector = components[method]
    part = sk.Vector({site: vector[site] for site in vector.sites[:-1]})
    written = {}
    for strength in STRENGTHS[name]:
        run = model.generate(PROMPT, part.add(strength, where=EVERY), max_new_tokens=NEW_TOKENS, temperature=0)
        written[strength] = run.token_ids
        assert run.token_ids == texts[f"{name}.{method}.{strength}"]
    assert len({tuple(ids) for ids in written.values()}) == len(STRENGTHS[name])


def test_steering_vectors_means_agree(model):
    vector = mean_difference(model, Examples.from_pairs(pairs()))
    for layer, direction in theirs("steering-vectors", model, "mean").items():
        difference = vector[f"{layer}.resid_post"] - direction
        assert difference.abs().max() < 1e-5 * max(1, direction.norm())


def test_steering_vectors_components_agree(model, components):
    """Theirs is not centred, as pairs from their middles are not; its sign is the mean's, not that of most pairs."""
    for layer, direction in theirs("steering-vectors", model, "pca").items():
        cosine = torch.cosine_similarity(components["pca_center"][f"{layer}.resid_post"], direction, dim=0)
        assert cosine.abs() > 0.9999


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_scikit_learn_classifiers_agree(model, loss):
    vector = probe(model, Examples.from_pairs(pairs()), loss=loss)
    for layer, direction in theirs("steering-vectors", model, loss).items():
        difference = vector[f"{layer}.resid_post"] - direction
        # The optimum is flat: activations that a processor rounds otherwise move it by a thousandth.
        assert difference.norm() < 2e-3 * direction.norm()
