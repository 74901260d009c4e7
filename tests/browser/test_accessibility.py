"""axe-core finds nothing against WCAG 2.2 AA, in light and in dark."""

from collections.abc import Iterator

import pytest
from axe import check
from harness import CALM, PANEL, Notebook, Panel
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def panel(notebook: Notebook) -> Panel:
    notebook.run(CALM, PANEL.replace("joy", "joy, calm"))
    return notebook.panel()


@pytest.fixture(params=["light", "dark"])
def theme(notebook: Notebook, request: pytest.FixtureRequest) -> Iterator[str]:
    notebook.theme(request.param)
    yield request.param
    notebook.theme("light")


def test_axe(theme: str, panel: Panel) -> None:
    expect(panel.root).to_have_attribute("data-sk-theme", theme)
    check(panel.root)
    panel.slider.first.press("PageUp")
    panel.finish()
    check(panel.root)
    panel.root.get_by_label("tinted by").select_option(label="calm")
    panel.root.get_by_role("button", name="calm: more").click()
    panel.root.get_by_label("calm when").select_option(label="happy")
    panel.root.get_by_role("button", name="Presets").click()
    panel.root.get_by_label("Name of the preset").fill("one")
    panel.root.get_by_role("button", name="Keep").click()
    panel.root.get_by_role("searchbox").fill("x")
    expect(panel.root.get_by_text("no dictionary to search")).to_be_visible()
    panel.steered.get_by_role("listitem").first.hover()
    expect(panel.root.get_by_role("tooltip")).to_contain_text("steered")
    check(panel.root)
    panel.root.get_by_role("searchbox").fill("")
    panel.root.get_by_label("length").fill("100000")
    panel.run.click()
    expect(panel.alert).to_be_visible()
    check(panel.root)


def test_the_checker_can_fail(panel: Panel) -> None:
    panel.root.evaluate("root => root.style.setProperty('--sk-fg', 'color-mix(in srgb, #888 60%, var(--sk-bg))')")
    with pytest.raises(AssertionError, match="color-contrast"):
        check(panel.root)


def test_names_and_roles(panel: Panel) -> None:
    panel.run.click()
    panel.finish()
    tree = panel.root.aria_snapshot()
    for line in [
        '- textbox "Prompt"',
        '- slider "happy"',
        '- textbox "happy strength"',
        '- button "Stop"',
        '- button "Run"',
        '- region "Baseline"',
        '- region "Steered"',
        "- list",
        "- listitem",
    ]:
        assert line in tree
