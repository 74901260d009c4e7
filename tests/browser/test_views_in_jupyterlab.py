"""The widgets beside the panel in JupyterLab and Notebook 7, by real keys and a real mouse, linked with each other."""

import re

import pytest
from axe import check
from harness import IN_NOTEBOOKS, Notebook
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, IN_NOTEBOOKS]
VIEWS = (
    "storybook_model = sk.load(); features = storybook_model.dictionary()",
    "picker = skw.FeaturePicker(features, storybook_model)\npicker",
    "card = skw.FeatureCard(features['cat'], storybook_model)\ncard",
    "view = skw.TokenView(storybook_model.read('It rained all day. Mia ran home.', features))\nview",
    "panel = skw.SteeringPanel(storybook_model, [])\npanel",
    "links = [skw.link(picker, target) for target in (card, view, panel)]",
)

# JupyterLab cancels these within 10 ms of a key, so real keys get through where it is slow: here nothing comes between.
CANCELLED = """field => ['insertLineBreak', 'historyUndo', 'historyRedo'].filter(inputType => {
  field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Unidentified', bubbles: true}));
  return !field.dispatchEvent(new InputEvent('beforeinput', {inputType, bubbles: true, cancelable: true}));
})"""


def test_find_choose_and_follow(notebook: Notebook) -> None:
    notebook.run(*VIEWS)
    page = notebook.page
    picker, card, view = (page.locator(f".sk-{name}") for name in ("feature-picker", "feature-card", "token-view"))
    picker.wait_for()

    search = picker.get_by_role("searchbox", name="Search features")
    search.focus()
    page.keyboard.type("rain")
    listed = picker.get_by_role("listbox", name="Features")
    first = listed.get_by_role("option").first
    expect(first).to_have_accessible_name("rain")
    search.press("ArrowDown")
    listed.press("Enter")
    expect(first).to_have_attribute("aria-selected", "true")
    expect(card.get_by_role("heading", name="rain", exact=True)).to_be_visible()
    expect(page.locator(".sk-steering-panel").get_by_role("slider", name="rain")).to_be_visible()
    legend = view.get_by_role("group", name="Coloured by")
    expect(legend).to_contain_text("max")
    notebook.await_printed(
        "print(picker.selected[0].label, card.feature.label, view.selected[0].label)", "rain rain rain\n"
    )

    picker.get_by_label("Search by").select_option("text")
    expect(picker.get_by_text("in text")).to_be_visible()
    search.fill("She sang a song.")
    expect(first).not_to_have_accessible_name("rain")

    card.get_by_label("Texts to measure over").fill("It rained.\nShe sang.")
    card.get_by_role("button", name="Measure", exact=True).click()
    expect(card.get_by_role("region", name="Where it fires")).to_contain_text("2 texts")

    view.get_by_role("listitem").nth(2).click()
    expect(view.get_by_role("heading")).to_contain_text(re.compile("features at"))
    notebook.await_printed("print(view.span)", "(2, 2)\n")
    view.get_by_role("button", name="Unpin rain").click()
    expect(legend).to_contain_text("strongest feature")
    notebook.await_printed("print(view.selected)", "[]\n")

    for theme in ("light", "dark"):
        notebook.theme(theme)
        for root in (picker, card, view):
            expect(root).to_have_attribute("data-sk-theme", theme)
            check(root)
    notebook.theme("light")


def test_texts_typed_by_hand(notebook: Notebook) -> None:
    contrast = "contrast = skw.ContrastView(features, storybook_model)\ncontrast"
    notebook.run(VIEWS[0], contrast, VIEWS[2], VIEWS[4], "link = skw.link(contrast, panel)")
    page, view, panel = notebook.page, notebook.page.locator(".sk-contrast-view"), notebook.panel()
    measured = page.get_by_label("Texts to measure over")
    for field, text in [
        (view.get_by_label("Texts that have it"), "It rained all day.\nShe opened her umbrella.\nThe wet rain fell."),
        (view.get_by_label("Texts that lack it"), "The sun shone.\nMia sang a song."),
        (measured, "It rained.\nShe sang."),
        (panel.prompt, "One day,\nMia"),
    ]:
        field.focus()
        page.keyboard.type(text)
        expect(field).to_have_value(text)
        assert field.evaluate(CANCELLED) == []
    panel.prompt.press("Shift+Enter")
    panel.await_text()
    expect(panel.prompt).to_have_value("One day,\nMia")

    notebook.await_printed("print(len(contrast.positives), len(contrast.negatives))", "3 2\n")
    view.get_by_role("button", name="Contrast").press("Enter")
    view.get_by_label("Choose rain", exact=True).press("Space")
    expect(panel.root.get_by_role("slider", name="rain")).to_be_visible()
    notebook.await_printed("print(contrast.selected[0].label)", "rain\n")

    for theme in ("light", "dark"):
        notebook.theme(theme)
        expect(view).to_have_attribute("data-sk-theme", theme)
        check(view)
    notebook.theme("light")
