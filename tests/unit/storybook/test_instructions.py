"""Requests for stories, and whether the answer follows them."""

import pytest

from steerkit import storybook


def test_an_answer_expresses_all_that_was_asked() -> None:
    for seed in range(200):
        messages, told = storybook.instruction(seed)
        assert [message["role"] for message in messages] == ["user", "assistant"]
        assert messages[1]["content"] == told.text
        assert 1 <= len(told.about) <= 3
        assert set(told.about) <= storybook.expressed(messages[1]["content"])


def test_requests_are_varied_and_clean() -> None:
    requests = [storybook.instruction(seed)[0][0]["content"] for seed in range(300)]
    assert len(set(requests)) > 285
    for request in requests:
        assert "{" not in request
        assert request[0].isupper()
        assert request[-1] in ".?"


def test_a_place_can_be_where_it_happens() -> None:
    requests = {storybook.instruction(seed, about=["fox", "rain"])[0][0]["content"] for seed in range(60)}
    assert any("fox in the rain" in request for request in requests)


def test_one_concept_needs_no_list() -> None:
    assert storybook.instruction(0, "rain") == storybook.instruction(0, ["rain"])
    with pytest.raises(storybook.ConceptError, match="no concept 'rainn'"):
        storybook.instruction(0, "rainn")


def test_the_same_seed_asks_the_same() -> None:
    assert storybook.instruction(7) == storybook.instruction(7)
    assert storybook.instruction(7)[0] != storybook.instruction(8)[0]
    held = storybook.instruction(7, split="held_out")[1]
    assert held.text != storybook.instruction(7)[1].text
