"""Choosing features by what they do to the next token."""

from __future__ import annotations

import plain
import pytest
import torch
from test_showing import Tags
from test_steering import make

import steerkit as sk
from steerkit.errors import EditError, FeatureError, PromptError

TEXTS = ["From my experience,", "One day, there was"]


def score(subject, features: sk.Dictionary, feature: int, text: str, strength: float) -> tuple[float, float, float]:
    """Output score, gain and KL of one feature with torch's hooks on the plain model, a step at a time."""
    ids = subject.ids(text)
    layer = subject.model._runner.sites.locate(features.writes_at()).module
    _, outputs = plain.record(subject.plain, ids)
    largest = features.encode(outputs[layer][-1].detach()[None]).to_dense().max()
    own = subject.model.logit_effects(features[feature].direction).topk(20).indices

    def amplified(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[..., -1, :] += strength * largest * features[feature].direction
        return x

    unsteered = plain.logprobs(subject.plain, ids)[-1]
    with plain.output_changed(subject.plain.get_submodule(layer), amplified):
        steered = plain.logprobs(subject.plain, ids)[-1]
    order = steered.argsort(descending=True).tolist()
    rank = min(order.index(token) for token in own.tolist())
    gain = (steered[own].exp().sum() / unsteered[own].exp().sum()).log()
    kl = (steered.exp() * (steered - unsteered)).sum()
    return (steered[own].exp().max() * (1 - rank / len(order))).item(), gain.item(), kl.item()


@pytest.mark.parametrize("kind", ["relu", "topk"])
def test_the_numbers_are_those_of_the_paper_s_steps(tinystories, kind):
    features = make(tinystories.model, kind)
    found = features.by_effect(tinystories.model, TEXTS, [3, features[7], 40], strength=4.0)
    for i, feature in enumerate((3, 7, 40)):
        each = torch.tensor([score(tinystories, features, feature, text, 4.0) for text in TEXTS]).mean(0)
        torch.testing.assert_close(
            torch.stack([found.score[i], found.gain[i], found.kl[i]]), each, rtol=2e-3, atol=1e-4
        )


def test_the_best_are_those_with_the_highest_score(tinystories):
    features = make(tinystories.model)
    found = features.by_effect(tinystories.model, TEXTS)
    assert found.features.tolist() == list(range(len(features)))
    frame = found.to_frame()
    assert frame.score.is_monotonic_decreasing
    assert [feature.index for feature in found.best(3)] == frame.feature.tolist()[:3]
    assert (found.kl >= 0).all()
    html = found._repr_html_()
    assert "script" not in Tags(html).tags
    assert f"({found.best(1)[0].index})" in html
    assert found.plot().axes


def test_refusals(tinystories):
    features = make(tinystories.model)
    with pytest.raises(PromptError, match="0 texts and 48 features"):
        features.by_effect(tinystories.model, [])
    with pytest.raises(EditError, match="strength=0"):
        features.by_effect(tinystories.model, TEXTS, strength=0)
    with pytest.raises(FeatureError, match="no feature 48"):
        features.by_effect(tinystories.model, TEXTS, [48])
