"""Saved `FeaturePicker` and `FeatureCard`, by real keys and a real mouse, without a kernel or a network."""

import re
from collections.abc import Callable

import pytest
from axe import check, dark
from playwright.sync_api import Locator, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

pytestmark = pytest.mark.browser
TEXTS = ["It rained all day. <img src=x onerror=alert(1)> It rained.", "She opened her umbrella in the rain."]


@pytest.fixture
def picker(saved: Callable[[Widget], Locator], storybook_model: sk.Model, features: sk.Dictionary) -> Locator:
    return saved(skw.FeaturePicker(features, storybook_model, selected=[features["rain"]]))


@pytest.fixture
def card(saved: Callable[[Widget], Locator], storybook_model: sk.Model, features: sk.Dictionary) -> Locator:
    return saved(skw.FeatureCard(features["rain"], storybook_model, TEXTS))


def test_find_filter_and_choose(picker: Locator) -> None:
    listed = picker.get_by_role("listbox", name="Features")
    search = picker.get_by_role("searchbox", name="Search features")
    status = picker.get_by_role("status")
    expect(status).to_have_text("4,096 of 4,096")
    assert listed.get_by_role("option").count() < 40

    search.fill("rain")
    expect(status).to_contain_text("no kernel answers")
    expect(listed.get_by_role("option", name="rain", exact=True)).to_have_attribute("aria-selected", "true")
    picker.get_by_label("label score from").select_option("0.9")
    expect(listed.get_by_role("option")).not_to_have_count(0)
    search.fill("")
    picker.get_by_label("family").select_option("weather")
    expect(listed.get_by_role("option", name="rain", exact=True)).to_be_visible()
    expect(listed.get_by_role("option", name="cat", exact=True)).to_have_count(0)

    search.press("ArrowDown")
    expect(listed).to_be_focused()
    listed.press("End")
    listed.press("Enter")
    chosen = picker.get_by_role("group", name="Chosen features")
    expect(chosen.get_by_role("button")).to_have_count(2)
    active = picker.locator(f"[id='{listed.get_attribute('aria-activedescendant')}']")
    expect(active).to_be_in_viewport()
    expect(active).to_have_attribute("aria-selected", "true")
    chosen.get_by_role("button", name="Take out rain").click()
    expect(chosen.get_by_role("button")).to_have_count(1)


def test_picker_passes_axe(picker: Locator) -> None:
    check(picker)
    dark(picker)
    picker.get_by_role("searchbox").fill("nothing bears these words")
    expect(picker).to_contain_text("Nothing was found")
    check(picker)


def test_card_shows_where_it_fires(card: Locator) -> None:
    expect(card.get_by_role("heading", name="rain")).to_be_visible()
    fires = card.get_by_role("region", name="Where it fires")
    expect(fires.get_by_role("listitem").first).to_contain_text("rain")
    assert card.page.evaluate("document.images.length") == 0
    card.get_by_role("region", name="Nearest features").get_by_role("button").first.press("Enter")
    expect(card.get_by_role("status")).to_contain_text("No answer from a kernel")
    expect(card.get_by_role("heading", name="rain")).to_be_visible()


def test_card_passes_axe(card: Locator) -> None:
    check(card)
    dark(card)
    check(card)


def test_a_hundred_thousand_features_scroll_and_filter(
    saved: Callable[[Widget], Locator], features: sk.Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker = skw.FeaturePicker(features)
    times = 131_072 // features.n_features
    for packed in picker._features.values():
        packed["data"] *= times
    picker._families["of"]["data"] *= times
    root = saved(picker)
    expect(root.get_by_role("status")).to_have_text("131,072 of 131,072")
    listed = root.get_by_role("listbox", name="Features")
    listed.evaluate("list => { list.scrollTop = list.scrollHeight / 2; }")
    expect(listed.get_by_role("option").nth(20)).to_be_visible()
    assert listed.get_by_role("option").count() < 40
    search = root.get_by_role("searchbox")
    search.press_sequentially("rain")
    expect(listed.get_by_role("option").first).to_have_accessible_name(re.compile("rain"))
    assert listed.evaluate("list => list.scrollTop") == 0
    assert listed.get_by_role("option").count() < 40
