"""Effects on the output, against plain transformers, and the ranking by them."""

from __future__ import annotations

import plain
import pytest
import torch

import steerkit as sk
from steerkit.dictionaries.reconstruction import ErrorTerm, Reconstruction
from steerkit.learn import Completion, by_effect, mean_difference

GLAD = ["She was so happy", "Tom was so glad", "Mia was very happy", "The dog was happy"]
SAD = ["She was so sad", "Tom was so low", "Mia was very sad", "The dog was upset"]
WANTED = [Completion("The girl was very", " happy"), Completion("One day, the dog", " smiled and was glad.")]


@pytest.fixture(scope="module")
def joy(tinystories) -> sk.Vector:
    return mean_difference(tinystories.model, GLAD, SAD, label="joy")


def test_effects_are_those_of_plain_transformers(subject):
    """Log-probabilities of the completion's tokens and KL over the vocabulary, text by text."""
    vector = subject.vector(norm=0.3)
    gains, divergences = subject.model.effects(vector.add(1), WANTED)
    location = subject.model._runner.sites.locate(sk.Site.parse(subject.site))
    for i, (prompt, start) in enumerate(subject.model.encode_all(WANTED)):
        ids, add = list(prompt.ids), ~torch.tensor(prompt.special)[None, :, None] * vector[subject.site]
        before = plain.logprobs(subject.plain, ids)
        with plain.output_changed(subject.plain.get_submodule(location.module), lambda x, add=add: x + add):
            after = plain.logprobs(subject.plain, ids)
        gain = plain.chosen(after, ids) - plain.chosen(before, ids)
        kl = (after.exp() * (after - before)).sum(-1)[:-1]
        assert gains[i].item() == pytest.approx(gain[start - 1 :].mean().item(), rel=2e-3, abs=1e-4)
        assert divergences[i].item() == pytest.approx(kl[start - 1 :].mean().item(), rel=2e-3, abs=1e-4)


def test_every_target_costs_what_was_asked_for(tinystories, joy):
    effects = by_effect(tinystories.model, joy, WANTED, kl=0.05)
    assert sorted(str(one.target.sites[0]) for one in effects.ranked) == ["0.resid_post", "1.resid_post"]
    for one in effects.ranked:
        assert one.kl == pytest.approx(0.05, rel=0.05)
        gains, divergences = tinystories.model.effects(one.target.add(one.strength), WANTED)
        assert one.gain == pytest.approx(gains.mean().item())
        assert one.per_kl == pytest.approx(gains.mean().item() / divergences.mean().item())
    first, second = effects.ranked
    assert first.per_kl >= second.per_kl
    assert effects.best_layer() == first.target.sites[0]


def test_the_length_of_a_direction_does_not_matter(tinystories, joy):
    one = by_effect(tinystories.model, joy.at("1.resid_post"), WANTED).ranked[0]
    other = by_effect(tinystories.model, (joy * 100).at("1.resid_post"), WANTED).ranked[0]
    assert one.strength == pytest.approx(100 * other.strength, rel=0.1)
    assert one.per_kl == pytest.approx(other.per_kl, rel=0.1)


def test_vectors_can_be_compared_with_each_other(tinystories, joy):
    random = tinystories.vector(site="1.resid_post")
    effects = by_effect(tinystories.model, [joy.at("1.resid_post"), random, -joy.at("1.resid_post")], WANTED)
    assert len(effects.to_frame()) == 3
    assert effects.to_frame()["gain_per_kl"].is_monotonic_decreasing
    assert "gain per KL" in effects._repr_html_()
    assert len(effects.plot().axes[0].patches) == 3


def test_one_target_that_is_no_vector_is_tried_alone(tinystories):
    site = sk.Site(1, "resid_post")
    term = ErrorTerm(Reconstruction(b_dec=torch.zeros(tinystories.model.d_model)), "what is there", site, site)
    assert [one.target for one in by_effect(tinystories.model, term, WANTED).ranked] == [term]


def test_what_is_refused(tinystories, gpt2, joy):
    with pytest.raises(sk.errors.VectorError, match=r"was learned on .*tinystories656K; this model is GPT2"):
        by_effect(gpt2.model, joy, WANTED)
    with pytest.raises(sk.errors.VectorError, match="nothing to compare"):
        by_effect(tinystories.model, [], WANTED)
    for kl in (0, -1, float("nan"), float("inf")):
        with pytest.raises(sk.errors.SettingError, match="must be a positive number of nats"):
            by_effect(tinystories.model, joy, WANTED, kl=kl)
    bos = tinystories.model.tokenizer.bos_token_id
    with pytest.raises(sk.errors.PromptError, match="no token that something predicts"):
        tinystories.model.effects(joy.add(1), [[bos]])
