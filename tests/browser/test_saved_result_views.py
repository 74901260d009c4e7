"""Saved `CompareView` and `SweepView`, by real keys and a real mouse, without a kernel or a network."""

from collections.abc import Callable

import pytest
from axe import check, dark
from harness import check_card
from playwright.sync_api import Locator, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

pytestmark = pytest.mark.browser
PROMPT = "One day, Mia went to the park"


@pytest.fixture
def compare_view(saved: Callable[[Widget], Locator], storybook_model: sk.Model, features: sk.Dictionary) -> Locator:
    edits = [features["rain"].add(0.35, unit="norm")]
    return saved(skw.CompareView(storybook_model.compare(PROMPT, edits, max_new_tokens=20)))


@pytest.fixture
def sweep_view(saved: Callable[[Widget], Locator], storybook_model: sk.Model, features: sk.Dictionary) -> Locator:
    edit = features["rain"].add(1, unit="norm")
    sweep = storybook_model.sweep(PROMPT, edit, strengths=[0, 0.2, 0.4], max_new_tokens=20)
    return saved(skw.SweepView(sweep, effect=lambda run: len(set(run.tokens))))


def test_compare_token_by_token(compare_view: Locator) -> None:
    steered = compare_view.get_by_role("region", name="Steered").get_by_role("listitem")
    baseline = compare_view.get_by_role("region", name="Baseline").get_by_role("listitem")
    steered.nth(2).click()
    steered.nth(2).press("Shift+ArrowRight")
    expect(baseline.nth(3)).to_have_attribute("aria-current", "true")
    expect(compare_view.get_by_role("status")).to_contain_text("over tokens 3 to 4")
    expect(compare_view.get_by_role("tooltip")).to_contain_text("KL, nats")
    for side in (baseline, steered):
        check_card(compare_view, side.nth(5))
    compare_view.get_by_label("Coloured by").select_option("rain")
    expect(compare_view.get_by_role("status")).to_contain_text("mean rain over")
    check(compare_view)
    dark(compare_view)
    compare_view.get_by_role("button", name="Baseline beneath").click()
    check(compare_view)


def test_choose_a_strength_by_text_and_by_curve(sweep_view: Locator) -> None:
    texts = sweep_view.get_by_role("radiogroup", name="Texts by strength").get_by_role("radio")
    texts.first.check()
    texts.first.press("ArrowDown")
    expect(texts.nth(1)).to_be_checked()
    expect(sweep_view.get_by_role("status")).to_contain_text("Strength +0.2")
    sweep_view.get_by_role("img", name="Effect").locator("g").last.click()
    expect(texts.last).to_be_checked()
    check(sweep_view)
    dark(sweep_view)
    check(sweep_view)
