"""`link`: what is chosen in one widget shows in another."""

from __future__ import annotations

import pytest

import steerkit as sk
import steerkit_widgets as skw


def test_a_choice_travels(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    picker = skw.FeaturePicker(features, selected=[features["rain"]])
    card = skw.FeatureCard(features["cat"])
    view = skw.TokenView(storybook_model.read("It rained.", features))
    second = skw.FeaturePicker(features)
    links = [skw.link(picker, target) for target in (card, view, second)]
    assert card.feature == features["rain"]
    assert view.selected == second.selected == [features["rain"]]

    picker.set_state({"_selected": [1, 2, 3, 4]})
    assert card.feature == features[4]
    assert view.selected == [features[2], features[3], features[4]]
    assert second.selected == picker.selected

    links.pop().unlink()
    picker.selected = []
    assert view.selected == []
    assert card.feature == features[4]
    assert len(second.selected) == 4
    for widget in (picker, card, second):
        widget.close()


def test_links_both_ways_come_to_rest(features: sk.Dictionary) -> None:
    one, other = skw.FeaturePicker(features), skw.FeaturePicker(features)
    skw.link(one, other)
    skw.link(other, one)
    other.selected = [features["rain"]]
    assert one.selected == [features["rain"]]
    one.selected = []
    assert other.selected == []
    for widget in (one, other):
        widget.close()


def test_features_of_other_dictionaries_stay_where_they_are(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    view = skw.TokenView(storybook_model.read("It rained.", features))
    view.follow([storybook_model.dictionary()["rain"]])
    assert view.selected == []


def test_what_cannot_be_linked(features: sk.Dictionary) -> None:
    picker = skw.FeaturePicker(features)
    with pytest.raises(TypeError, match="no features to choose"):
        skw.link(features, picker)
    with pytest.raises(TypeError, match="cannot follow"):
        skw.link(picker, features)
    picker.close()
