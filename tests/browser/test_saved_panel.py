"""A saved `SteeringPanel`: what it had can be explored, and no change takes it away."""

from collections.abc import Callable

import pytest
from harness import Panel, check_card, text
from playwright.sync_api import Locator, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

pytestmark = pytest.mark.browser


def test_what_it_had_stays(
    saved: Callable[[Widget], Locator], storybook_model: sk.Model, features: sk.Dictionary
) -> None:
    shown = skw.SteeringPanel(storybook_model, [features["rain"]], "One day, Mia went to the park", 12)
    shown.plan = [features["rain"].add(0.35, unit="norm"), features["cat"].add(0)]
    shown.start()
    assert shown.wait(60)
    panel = Panel(saved(shown))
    written = shown.run.text
    shown.close()
    assert text(panel.steered) == written

    panel.slider.first.press("PageUp")
    panel.run.click()
    expect(panel.status).to_contain_text("a saved page has none")
    assert text(panel.steered) == written
    expect(panel.steered.locator(".sk-fading")).to_have_count(0)
    expect(panel.root.locator("[aria-busy=true]")).to_have_count(0)
    panel.steered.get_by_role("listitem").nth(3).hover()
    card = panel.root.get_by_role("tooltip")
    for part in ("likely here", "KL", "rain"):
        expect(card).to_contain_text(part)
    for pane in (panel.baseline, panel.steered):
        check_card(panel.root, pane.get_by_role("listitem").nth(3))
    panel.root.get_by_label("tinted by").select_option(label="cat")
    panel.root.get_by_role("button", name="Undo").click()
    expect(panel.number("rain")).to_have_value("+0.35")
    panel.root.get_by_role("button", name="Copy as Python").click()
    expect(panel.status).to_contain_text("a saved page has none")
