"""A saved `TokenView`, by real keys and a real mouse, without a kernel or a network."""

import re
from collections.abc import Callable

import pytest
from axe import check, dark
from harness import check_card
from long_reading import repeated
from playwright.sync_api import Locator, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

pytestmark = pytest.mark.browser
TEXT = "It rained all day. <img src=x onerror=alert(1)>\n\nShe opened her umbrella and ran home."


@pytest.fixture(scope="module")
def reading(storybook_model: sk.Model, features: sk.Dictionary) -> sk.Reading:
    return storybook_model.read(TEXT, features)


def test_walk_click_select_and_pin(saved: Callable[[Widget], Locator], reading: sk.Reading) -> None:
    root = saved(skw.TokenView(reading))
    tokens = root.get_by_role("listitem")
    assert "".join(tokens.all_text_contents()) == "".join(reading.tokens)
    assert root.page.evaluate("document.images.length") == 0

    place = reading.tokens.index(" umbrella") if " umbrella" in reading.tokens else 1
    tokens.nth(place).click()
    found = root.get_by_role("region", name="What fires")
    expect(found.get_by_role("heading")).to_contain_text(f"token {place + 1}")
    expect(found.get_by_role("row")).not_to_have_count(0)
    pin = found.get_by_role("button", name=re.compile("Colour by")).first
    pin.click()
    expect(pin).to_have_attribute("aria-pressed", "true")
    legend = root.get_by_role("group", name="Coloured by")
    expect(legend).to_contain_text("max")

    tokens.nth(2).click()
    tokens.nth(2).press("Shift+ArrowRight")
    tokens.nth(3).press("Shift+ArrowRight")
    expect(found.get_by_role("heading")).to_contain_text("over tokens 3 to 5")
    expect(tokens.nth(4)).to_be_focused()
    card = root.get_by_role("tooltip")
    expect(card).to_contain_text("token 5")
    assert tokens.nth(4).get_attribute("aria-describedby") == card.get_attribute("id")
    legend.get_by_role("button", name="Unpin").click()
    expect(legend).to_contain_text("the strongest feature at each token")
    check_card(root, tokens.nth(4))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe(saved: Callable[[Widget], Locator], reading: sk.Reading, features: sk.Dictionary, scheme: str) -> None:
    top = [features[int(index)] for index in reading.top(3)["feature"]]
    for selected in ([], top[:1], top):
        view = skw.TokenView(reading, selected=selected)
        view.set_state({"_span": [2, 6]})
        root = saved(view)
        if scheme == "dark":
            dark(root)
        check(root)


def test_eight_thousand_tokens_change_colour_where_they_stand(
    saved: Callable[[Widget], Locator], reading: sk.Reading, features: sk.Dictionary
) -> None:
    view = skw.TokenView(repeated(reading, 8_000))
    view.set_state({"_span": [3, 3]})
    root = saved(view)
    assert root.get_by_role("listitem").count() >= 8_000
    first = root.get_by_role("listitem").first
    first.evaluate("node => { node.kept = true; }")
    shown = set()
    for pin in root.get_by_role("button", name=re.compile("Colour by")).all()[:6]:
        pin.click()
        shown.add(
            root.get_by_role("list", name="Tokens").evaluate("list => list.getAttribute('style') + list.outerHTML")
        )
        pin.click()
    assert len(shown) > 1  # colours do change
    assert first.evaluate("node => node.kept")  # and no token is built anew for it
