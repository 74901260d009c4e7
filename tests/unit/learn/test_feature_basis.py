"""Directions learned in the features of a dictionary."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import steerkit as sk
from steerkit.dictionaries.activations import JumpReLU
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.learn import lat, mean_difference, principal_component, probe

GLAD = ["She was so happy.", "He laughed and smiled all day", "What a lovely day it was", "They were glad", "Joy"]
SAD = ["She was so sad.", "He cried and cried all day", "What a horrible day it was", "They were low", "Grief"]
WIDTH, N = 128, 300


def parts(site: str, write: str | None = None, threshold: float = 0.3) -> Parts:
    noise = torch.Generator().manual_seed(0)
    return Parts(
        format="random",
        W_dec=InMemory(torch.randn(N, WIDTH, generator=noise) / WIDTH**0.5),
        b_dec=torch.ones(WIDTH),
        activation=JumpReLU(torch.full((N,), threshold)),
        W_enc=InMemory(torch.randn(WIDTH, N, generator=noise) / WIDTH**0.5),
        b_enc=torch.zeros(N),
        site_in=sk.Site.parse(site),
        site_out=sk.Site.parse(write or site),
    )


@pytest.fixture(scope="module")
def features() -> Dictionary:
    return Dictionary(parts("1.resid_post"), "random")


def test_the_difference_of_means_is_that_of_feature_activations(tinystories, features):
    """By hand: dense activations of all features, their means, and the decoder without its bias."""
    vector = mean_difference(tinystories.model, GLAD, SAD, features=features)
    assert [str(site) for site in vector] == ["1.resid_post"]
    read = [tinystories.model.gather(side, ["1.resid_post"]).activations[vector.sites[0]] for side in (GLAD, SAD)]
    weights = features.encode(read[0]).to_dense().mean(0) - features.encode(read[1]).to_dense().mean(0)
    torch.testing.assert_close(vector["1.resid_post"], weights @ features.parts.W_dec.whole(), rtol=1e-4, atol=1e-5)
    made = vector.provenance
    assert made.dictionaries == {"1.resid_post": "random"}
    assert len(made.weights["1.resid_post"]) == int((weights != 0).sum())
    for index, weight in made.weights["1.resid_post"].items():
        assert weight == pytest.approx(weights[int(index)].item(), abs=1e-4)
    direction = vector["1.resid_post"]
    towards, away = ((x @ direction - vector.offset("1.resid_post")).mean() for x in read)
    torch.testing.assert_close(towards, -away, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", [principal_component, lat, probe])
def test_every_method_gives_weights_that_make_its_direction(tinystories, features, method):
    vector = method(tinystories.model, GLAD, SAD, features=[features])
    weights = vector.provenance.weights["1.resid_post"]
    rows = features.parts.W_dec.rows([int(index) for index in weights])
    torch.testing.assert_close(vector["1.resid_post"], torch.tensor([*weights.values()]) @ rows, rtol=1e-4, atol=1e-5)
    plain = method(tinystories.model, GLAD, SAD, ["1.resid_post"])
    assert plain.provenance.weights == {}
    assert not torch.allclose(vector["1.resid_post"], plain["1.resid_post"], atol=1e-3)


def test_two_dictionaries_serve_two_sites(tinystories, features):
    other = Dictionary(parts("0.resid_post"), "other")
    vector = mean_difference(tinystories.model, GLAD, SAD, features=[features, other])
    assert vector.provenance.dictionaries == {"0.resid_post": "other", "1.resid_post": "random"}
    alone = mean_difference(tinystories.model, GLAD, SAD, ["1.resid_post"], features=[features, other])
    assert alone == vector.at("1.resid_post")


def test_what_does_not_fit_is_refused(tinystories, gpt2, features):
    with pytest.raises(sk.errors.SiteError, match=r"no dictionary that reads at 0\.resid_post"):
        mean_difference(tinystories.model, GLAD, SAD, ["0.resid_post"], features=features)
    misfits = {
        r"reads at '0\.mlp_in' and writes at '0\.mlp_out'": Dictionary(parts("0.mlp_in", "0.mlp_out"), "transcoder"),
        r"both read at '1\.resid_post'": [features, Dictionary(replace(features.parts), "twin")],
        "No feature of asleep is active": Dictionary(parts("1.resid_post", threshold=1e9), "asleep"),
    }
    for message, given in misfits.items():
        with pytest.raises(sk.errors.DictionaryError, match=message):
            mean_difference(tinystories.model, GLAD, SAD, features=given)
    with pytest.raises(sk.errors.VectorError, match="reads activations 128 wide; these are 32 wide"):
        mean_difference(gpt2.model, GLAD, SAD, features=features)
