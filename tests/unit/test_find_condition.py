"""Conditions found from labelled prompts."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.errors import EditError, PromptError

ANIMALS = ["The dog ran", "A cat sat", "The bird sang", "A fish swam", "The bear slept", "A frog hopped"]
THINGS = ["The car stopped", "A cup fell", "The house stood", "A ball rolled", "The door closed", "A chair broke"]


@pytest.fixture(scope="module")
def vector(tinystories) -> sk.Vector:
    return sk.learn.mean_difference(
        tinystories.model, ANIMALS[:3], THINGS[:3], sites=["0.resid_post", "1.resid_post"], label="animal"
    )


@pytest.mark.parametrize("reading", ["cast", "in_prompt"])
def test_what_it_reports_is_what_the_condition_does(tinystories, vector, reading):
    """Its accuracy is counted again by generating under the condition and looking at who was steered."""
    model = tinystories.model
    found = sk.learn.find_condition(model, vector, ANIMALS, THINGS, reading=reading, seed=1)
    assert found.held_out == 6
    best = max(share for *_, share in found.searched)
    assert next(share for site, *_, share in found.searched if site == found.site) == best
    late = sk.Vector({"1.resid_post": torch.ones(model.d_model)})
    edit = late.add(50, where=sk.Where(prompt=False), when=found.condition)
    texts = [*ANIMALS, *THINGS]
    steered = model.generate_many(texts, edit, max_new_tokens=4)
    plain = model.generate_many(texts, max_new_tokens=4)
    fired = [one.token_ids != other.token_ids for one, other in zip(steered, plain, strict=True)]
    right = sum(fire == (i < len(ANIMALS)) for i, fire in enumerate(fired))
    expected = found.accuracy * 6 + best * 6
    assert right == pytest.approx(expected)
    assert str(found).startswith(str(found.condition))
    assert len(found.to_frame()) == 2
    assert "accuracy where chosen" in found._repr_html_()


def test_prompts_that_are_told_apart_by_one_word(tinystories):
    """The mean of what reads the word itself separates them wholly."""
    model = tinystories.model
    positives = [f"{start} dog" for start in ("The", "A", "One", "His", "Her", "My")]
    negatives = [f"{start} ball" for start in ("The", "A", "One", "His", "Her", "My")]
    direction = sk.learn.mean_difference(model, positives, negatives, sites=["0.resid_pre"], label="dog")
    found = sk.learn.find_condition(model, direction, positives, negatives, reading="in_prompt")
    assert found.accuracy == 1
    assert found.condition.comparisons().__next__().relation == ">"


def test_prompts_that_read_alike(tinystories, vector):
    nothing = sk.Vector({"0.resid_pre": torch.ones(tinystories.model.d_model)}, "nothing")
    with pytest.raises(PromptError, match="No threshold on 'nothing' tells these prompts apart"):
        sk.learn.find_condition(tinystories.model, nothing, ["A dog"] * 2, ["A dog"] * 6, reading="in_prompt")


def test_what_is_refused(tinystories, vector):
    with pytest.raises(PromptError, match="'ab' is one text where a list of texts belongs"):
        sk.learn.find_condition(tinystories.model, vector, "ab", "cd")
    with pytest.raises(PromptError, match="at least two of each"):
        sk.learn.find_condition(tinystories.model, vector, ANIMALS[:1], THINGS)
    with pytest.raises(EditError, match="'cast' or 'in_prompt'"):
        sk.learn.find_condition(tinystories.model, vector, ANIMALS, THINGS, reading="last")
