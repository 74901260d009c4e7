"""The main path of each widget in JupyterLab, Notebook 7, Voila and marimo, by real keys and a real mouse."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe import check
from harness import Panel, Server, text
from hosts import NAMES, PROMPT, Host, in_marimo, in_notebook, in_voila
from playwright.sync_api import BrowserContext, Locator, expect

pytestmark = pytest.mark.browser
WET, DRY = "It rained all day.\nThe rain fell on the roof.", "He sang all day.\nThe cat sat on the roof."


@pytest.fixture(scope="module", params=["lab", "notebook", "voila", "marimo"])
def host(
    request: pytest.FixtureRequest, server: Server, browser: BrowserContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    if request.param == "marimo":
        with in_marimo(tmp_path_factory.mktemp("marimo"), browser) as host:
            yield host
        return
    host = in_voila(server, browser) if request.param == "voila" else in_notebook(request.param, server, browser)
    yield host
    host.page.close()


@pytest.fixture(autouse=True)
def no_errors(host: Host) -> Iterator[None]:
    host.errors.clear()
    yield
    assert host.errors == []


def fill_contrast(view: Locator) -> None:
    view.get_by_label("Texts that have it, a line each").fill(WET)
    view.get_by_label("Texts that lack it, a line each").fill(DRY)
    view.get_by_role("button", name="Contrast").click()
    expect(view.get_by_role("row").nth(1)).to_contain_text("rain")


def test_panel(host: Host) -> None:
    panel = Panel(host.widget("steering-panel"))
    panel.run.press("Enter")
    panel.finish()
    baseline = text(panel.baseline)
    assert text(panel.steered) == baseline != ""
    for _ in range(4):
        panel.slider.press("PageUp")
    panel.finish()
    assert text(panel.baseline) == baseline
    steered = text(panel.steered)
    assert steered != baseline
    if host.execute:
        assert host.execute("print(panel.run.text, end='')") == steered


def test_token_view(host: Host) -> None:
    view = host.widget("token-view")
    view.get_by_role("listitem").nth(2).click()
    found = view.get_by_role("region", name="What fires")
    expect(found.get_by_role("heading")).to_contain_text("token 3")
    found.get_by_role("button", name=re.compile("Colour by")).first.press("Enter")
    expect(view.get_by_role("group", name="Coloured by")).to_contain_text("max")


def test_feature_picker(host: Host) -> None:
    picker = host.widget("feature-picker")
    picker.get_by_role("searchbox", name="Search features").press_sequentially("rain")
    listed = picker.get_by_role("listbox", name="Features")
    expect(listed.get_by_role("option").first).to_have_accessible_name("rain")
    picker.get_by_role("searchbox").press("ArrowDown")
    listed.press("Enter")
    expect(listed.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    picker.get_by_label("Search by").select_option("text")
    picker.get_by_role("searchbox", name="Search features").fill("She sang a song.")
    expect(listed.get_by_role("option").first).not_to_have_accessible_name("rain")


def test_feature_card(host: Host) -> None:
    card = host.widget("feature-card")
    card.get_by_label("Texts to measure over").fill(WET)
    card.get_by_role("button", name="Measure", exact=True).click()
    expect(card.get_by_role("region", name="Where it fires")).to_contain_text("2 texts")


def test_compare_view(host: Host) -> None:
    view = host.widget("compare-view")
    steered = view.get_by_role("region", name="Steered").get_by_role("listitem")
    steered.nth(2).click()
    steered.nth(2).press("Shift+ArrowRight")
    expect(view.get_by_role("status")).to_contain_text("over tokens 3 to 4")


def test_sweep_view(host: Host) -> None:
    view = host.widget("sweep-view")
    texts = view.get_by_role("radiogroup", name="Texts by strength").get_by_role("radio")
    texts.nth(1).check()
    expect(view.get_by_role("status")).to_contain_text("Strength +0.25")


def test_contrast_view(host: Host) -> None:
    view = host.widget("contrast-view")
    fill_contrast(view)
    view.get_by_label("Choose rain", exact=True).check()
    if host.execute:
        # The page shows a choice at once, and tells the kernel a moment later.
        assert any("'rain'" in host.execute("print(contrast.selected)") for _ in range(10))


def test_lab(host: Host) -> None:
    lab = host.widget("lab")
    panel = Panel(lab.locator(".sk-steering-panel"))
    tokens = lab.locator(".sk-token-view")
    search = lab.locator(".sk-feature-picker").get_by_role("searchbox", name="Search features")
    search.press_sequentially("rain")
    listed = lab.get_by_role("listbox", name="Features", exact=True)
    expect(listed.get_by_role("option").first).to_have_accessible_name("rain")
    search.press("ArrowDown")
    listed.press("Enter")
    expect(lab.locator(".sk-feature-card").get_by_role("heading", name="rain", exact=True)).to_be_visible()
    for _ in range(4):
        panel.slider.press("PageUp")
    panel.finish()
    read = tokens.get_by_role("list", name="Tokens")
    expect(read).to_have_text(re.compile(re.escape(PROMPT + text(panel.steered)) + "$"))
    expect(tokens.get_by_role("group", name="Coloured by")).to_contain_text("rain")

    before = panel.number("rain").input_value()
    lab.get_by_role("button", name="Sweep", exact=True).press("Enter")
    strengths = lab.locator(".sk-sweep-view").get_by_role("radio")
    expect(strengths).to_have_count(9)
    strengths.nth(6).check()
    expect(panel.number("rain")).not_to_have_value(before)
    panel.finish()

    fill_contrast(lab.locator(".sk-contrast-view"))
    lab.get_by_role("button", name="Steer with their difference").click()
    expect(panel.root.get_by_role("slider", name="contrast 1")).to_be_visible()
    if host.execute:
        assert host.execute("print(lab.run.text, end='')") == text(panel.steered)
        assert host.execute("print(lab.selected, lab.plan[1].target.label)").count("rain") == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes(host: Host, theme: str, tmp_path: Path) -> None:
    host.theme(theme)
    for name in NAMES:
        root = host.widget(name)
        expect(root).to_have_attribute("data-sk-theme", theme, timeout=60_000)
        root.screenshot(path=tmp_path / f"{name}.png")
        check(root)
