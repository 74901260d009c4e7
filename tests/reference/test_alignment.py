"""IBM's published code for alignment scores and for steering by them, against ours.

`tests/reference/make_alignment_fixtures.py` and `make_steering_fixtures.py sae-steering` make the numbers anew, and
tell what they are.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import steerkit as sk
from steerkit.align import distances, score
from steerkit.edits import Edit

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
CASES = ("all_fired", "never_fired", "short_texts", "ties", "model")
TARGETS = ["w1 w2", "w3 w4", "w5 w6"]
EVERY = sk.Where(special=True)


@pytest.fixture(scope="module")
def model() -> sk.Model:
    return sk.load(FIXTURES / "steering" / "gpt2", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def features() -> sk.Dictionary:
    return sk.load_dictionary(FIXTURES / "steering/openai/resid_post_mlp_v5_32k/autoencoders/1.pt")


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    return load_file(FIXTURES / "steering" / "sae-steering.safetensors")


@pytest.fixture(scope="module")
def alignment(features, theirs) -> sk.Alignment:
    scores = theirs["scores"].float()
    return sk.Alignment(features, scores, scores > 0)


def case(name: str) -> dict[str, torch.Tensor]:
    return load_file(FIXTURES / "alignment" / f"{name}.safetensors")


def drawn(made: dict[str, torch.Tensor], texts: list[str], asked: list[str]) -> np.ndarray:
    """The embeddings that were drawn for the reference texts and the targets."""
    rows = [*made["reference_embeddings"].numpy(), *made["target_embeddings"].numpy()]
    return np.stack([rows[[*texts, *TARGETS].index(text)] for text in asked])


@pytest.mark.parametrize("name", CASES)
def test_scores_of_the_same_activations_and_embeddings(name):
    made = case(name)
    summaries = [text[1:].sum(0) for text in made["latents"].split(made["lengths"].tolist())]
    heard = [i for i, summary in enumerate(summaries) if summary.any()]
    away = distances(made["reference_embeddings"][heard].numpy(), made["target_embeddings"].numpy())
    scores, fired = score([summaries[i] for i in heard], away)
    assert scores.max() == 1
    torch.testing.assert_close(scores, made["scores"], rtol=0, atol=1e-6)
    assert fired.double().mean().item() == pytest.approx(made["coverage"].item())


def test_scores_of_the_same_texts(model, features):
    made, texts = case("model"), json.loads((FIXTURES / "alignment" / "made.json").read_text())["texts"]
    references = sk.References(model, features, texts, embed=lambda asked: drawn(made, texts, asked))
    found = references.align(TARGETS)
    torch.testing.assert_close(found.scores.double(), made["scores"], rtol=0, atol=1e-5)
    assert found.coverage == pytest.approx(made["coverage"].item())


def logits(model: sk.Model, edits: tuple[Edit, ...], ids: torch.Tensor) -> torch.Tensor:
    with model.steer(edits), model.nnsight.trace(ids):
        steered = model.nnsight.output.logits.save()
    return steered


def test_logits_as_published(model, features, alignment, theirs):
    published = {
        "SAE": (features.error_term.ablate(EVERY),),
        "swap": (alignment.swap(where=EVERY, as_published=True),),
        "weight": (alignment.weight(where=EVERY, as_published=True),),
        "clamp": alignment.clamp(where=EVERY, as_published=True),
    }
    for method, edits in published.items():
        print(method)
        assert (theirs[method] - theirs["plain"]).abs().max() > 0.1
        found = logits(model, edits, theirs["ids"])
        torch.testing.assert_close(found, theirs[method], rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["swap", "weight"])
def test_activations_of_features_as_published(model, features, theirs, alignment, method):
    site, target = features.reads_at(), getattr(alignment, method)().target
    ((_, activations),) = model.activations([theirs["ids"][0].tolist()], [site])
    before, after = target.reader(()).codes(features.encoder().normalise(activations[site])[0])
    torch.testing.assert_close(before, theirs["SAE_latents"], rtol=0, atol=1e-5)
    torch.testing.assert_close(after, theirs[f"{method}_latents"], rtol=0, atol=1e-5)


def test_where_no_text_makes_a_feature_fire_their_scores_are_0_and_ours_are_refused(model, features):
    assert not case("nothing_fired")["scores"].any()
    with pytest.raises(sk.errors.PromptError, match="No reference text makes a feature fire"):
        sk.References(model, features, ["", "w7"], embed=lambda texts: None).align(["w5"])
