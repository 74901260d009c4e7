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


def test_a_strength_of_a_sweep_steers_a_panel(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    rain, cat = features["rain"], features["cat"]
    sweep = storybook_model.sweep("One day, Mia", rain.add(1, unit="norm"), [0, 0.2, 0.8], max_new_tokens=8)
    view = skw.SweepView(sweep)
    panel = skw.SteeringPanel(storybook_model, [cat, rain], "One day, Mia", 8)
    link = skw.link(view, panel)
    assert panel.run is None, "no strength is chosen yet"
    names = [row.id for row in panel.rows]

    view.set_state({"_chosen": 2})
    assert panel.wait(60)
    assert list(panel.plan) == [cat.add(0, unit="max"), rain.add(0.8, unit="norm")]
    assert panel.run.text == view.run.text != panel.baseline.text
    view.strength = 0
    assert panel.wait(60)
    assert [edit.strength for edit in panel.plan] == [0, 0]
    assert panel.run.text == panel.baseline.text
    assert [row.id for row in panel.rows] == names

    panel.plan = [cat.add(0)]
    view.strength = 0.2
    assert list(panel.plan) == [cat.add(0), rain.add(0.2, unit="norm")]
    link.unlink()
    view.strength = 0.8
    assert panel.plan[1].strength == 0.2
    with pytest.raises(TypeError, match="does not steer"):
        skw.link(view, skw.FeatureCard(rain))
    for widget in (panel, view):
        widget.close()


def test_what_cannot_be_linked(features: sk.Dictionary) -> None:
    picker = skw.FeaturePicker(features)
    with pytest.raises(TypeError, match="no features to choose"):
        skw.link(features, picker)
    with pytest.raises(TypeError, match="cannot follow"):
        skw.link(picker, features)
    picker.close()
