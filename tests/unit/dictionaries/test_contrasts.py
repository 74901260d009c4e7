"""Contrast: which features tell two sets of texts apart."""

from __future__ import annotations

import pytest
import torch
from test_showing import Tags
from test_steering import KINDS, make

import steerkit as sk
from steerkit.errors import PromptError

RAIN = ["It rained all day.", "The rain fell and fell.", "Rain, rain, go away!", "A wet day."]
SUN = ["The sun was hot.", "It was a sunny day, and they played.", "She sat in the sun."]


def largest(model: sk.Model, features: sk.Dictionary, text: str) -> torch.Tensor:
    """The largest activation of each feature, from all activations as a dense matrix."""
    ((prompt, found),) = model.activations([text], [features.reads_at()])
    dense = features.encode(found[features.reads_at()]).to_dense()
    return dense[[i for i, special in enumerate(prompt.special) if not special]].amax(0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_those_of_all_pairs(tinystories, kind):
    model, features = tinystories.model, make(tinystories.model, kind)
    found = sk.contrast(model, RAIN, SUN, features)
    rain, sun = (torch.stack([largest(model, features, text) for text in texts]) for texts in (RAIN, SUN))
    pairs = (rain[:, None] > sun).float() + (rain[:, None] == sun).float() / 2
    torch.testing.assert_close(found.auroc, pairs.mean((0, 1)))
    torch.testing.assert_close(found.difference, rain.mean(0) - sun.mean(0), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.frequency, torch.stack([(x != 0).float().mean(0) for x in (rain, sun)]))


def test_features_are_ranked_by_auroc_then_by_difference(tinystories):
    found = sk.contrast(tinystories.model, RAIN, SUN, make(tinystories.model))
    frame = found.to_frame()
    assert frame.sort_values(["auroc", "difference"], ascending=False).feature.tolist() == frame.feature.tolist()
    assert [feature.index for feature in found.best(3)] == frame.feature.tolist()[:3]
    assert [feature.index for feature in found.best(2, negative=True)] == frame.feature.tolist()[:-3:-1]
    other = sk.contrast(tinystories.model, SUN, RAIN, make(tinystories.model))
    torch.testing.assert_close(other.auroc, 1 - found.auroc)


def test_examples_are_the_texts_that_score_highest(tinystories):
    model, features = tinystories.model, make(tinystories.model)
    found = sk.contrast(model, RAIN, SUN, features)
    best = found.best(1)[0]
    rows = found.examples(best, limit=10)
    scores = {text: largest(model, features, text)[best.index].item() for text in [*RAIN, *SUN]}
    assert rows.activation.tolist() == pytest.approx(sorted((s for s in scores.values() if s), reverse=True), abs=1e-4)
    for row in rows.itertuples():
        shown = (row.before + row.token + row.after).split(">")[-1].strip()
        (text,) = (text for text in scores if text.startswith(shown) or text.endswith(shown))
        assert row.positive == (text in RAIN)
        assert row.activation == pytest.approx(scores[text], abs=1e-4)


def test_it_shows_itself(tinystories):
    found = sk.contrast(tinystories.model, [*RAIN, "<b>It</b> rained."], SUN, make(tinystories.model))
    assert 0.9 < found.chance <= 1
    html = found._repr_html_()
    assert "script" not in Tags(html).tags
    assert "<b>" not in html
    assert f"{found.best(1)[0].label} ({found.best(1)[0].index})" in html
    assert "5 positive and 3 negative texts" in repr(found)
    assert len(found.plot().axes[0].patches) == 20


@pytest.mark.parametrize("sides", [([], SUN), (RAIN, [])], ids=["no positives", "no negatives"])
def test_one_side_alone_is_refused(tinystories, sides):
    with pytest.raises(PromptError, match=r"There are \d positive and \d negative texts. Give at least one"):
        sk.contrast(tinystories.model, *sides, make(tinystories.model))


def test_texts_in_which_nothing_is_active_are_refused(tinystories):
    with pytest.raises(PromptError, match="No feature of random is active"):
        sk.contrast(tinystories.model, [[0]], [[0]], make(tinystories.model))
