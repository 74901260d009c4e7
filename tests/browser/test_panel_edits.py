"""The list of edits, its history, seeds and exchange, in JupyterLab and Notebook 7; all text shown is hostile."""

import json
from pathlib import Path

import pytest
from harness import IN_NOTEBOOKS, PANEL, Notebook, Panel, text
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, IN_NOTEBOOKS]

EVIL = "<img src=x onerror='window.pwned = 1'>"
# A dictionary whose every label would run, if it were run.
DICTIONARY = f"""
import torch
from steerkit.dictionaries.activations import ReLU
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
noise = torch.Generator().manual_seed(1)
rows = torch.randn(8, model.d_model, generator=noise)
features = Dictionary(
    Parts(format="plain", W_enc=InMemory(rows.T.contiguous()), W_dec=InMemory(rows), b_dec=torch.zeros(model.d_model),
          activation=ReLU(), site_in=sk.Site.parse("0.resid_post"), site_out=sk.Site.parse("0.resid_post")),
    "eight", labels=None)
for i in range(8): features.set_label(i, f"{EVIL} rain {{i}}")
features.published_maxima = torch.arange(1.0, 9.0)
"""
SHOWN = "panel = skw.SteeringPanel(model, [joy, features], prompt='One day, Mia', max_new_tokens=20)\npanel"


@pytest.fixture
def panel(notebook: Notebook) -> Panel:
    notebook.run(DICTIONARY, SHOWN)
    return notebook.panel()


def await_plan(notebook: Notebook, n_edits: int, last: str) -> None:
    """Wait until the plan has so many edits, of which the last begins with these words."""

    def is_it(described: str) -> bool:
        edits = described.splitlines()
        return len(edits) == n_edits and edits[-1].startswith(last)

    notebook.await_printed("print(panel.plan.describe())", is_it)


def test_an_edit_from_search_to_its_last_setting(notebook: Notebook, panel: Panel) -> None:
    root, label = panel.root, f"{EVIL} rain 3"
    panel.run.click()
    panel.finish()
    baseline = text(panel.baseline)
    search = root.get_by_role("searchbox", name="Search features")
    search.fill("rain 3")
    expect(root.get_by_role("option", name=label, exact=True)).to_be_visible()
    search.press("Enter")
    expect(root.get_by_role("listbox", name="Features found")).to_have_count(0)
    slider = root.get_by_role("slider", name=label)
    slider.press("PageUp")
    panel.finish()
    await_plan(notebook, 2, f"Adds 0.2 × its maximum to '{label}' at 0.resid_post on every token.")

    root.get_by_label(f"{label} unit").select_option("raw")
    expect(panel.number(label)).to_have_value("+0.8")
    root.get_by_label(f"{label} operator").select_option("set")
    root.get_by_role("button", name=f"{label}: more").click()
    root.get_by_label(f"{label} where").select_option("from")
    root.get_by_label(f"{label} new token").fill("5")
    root.get_by_label(f"{label} when").select_option("happy")
    root.get_by_label(f"{label} asked").select_option("so_far")
    root.get_by_label(f"{label} threshold").fill("-100")
    panel.finish()
    said = (
        f"Sets '{label}' to 0.8 at 0.resid_post on new tokens only, at positions from 4 on of the new text, "
        "where 'happy' > -100 at any token so far."
    )
    await_plan(notebook, 2, said)
    expect(root.locator(".sk-details")).to_contain_text(said)
    assert text(panel.baseline) == baseline
    assert text(panel.steered) == notebook.run_text()

    root.get_by_label(f"{label} on").uncheck()
    panel.finish()
    assert text(panel.steered) == baseline
    root.get_by_role("button", name=f"Remove {label}").click()
    await_plan(notebook, 1, "")
    for _ in range(2):
        root.get_by_role("button", name="Undo").click()
    panel.finish()
    await_plan(notebook, 2, said)
    assert not notebook.page.evaluate("'pwned' in window")
    assert root.locator("img").count() == 0


def test_seeds_hover_and_control(notebook: Notebook, panel: Panel) -> None:
    root = panel.root
    panel.number("happy").fill("1.5")
    panel.finish()
    steered = text(panel.steered)
    panel.steered.get_by_role("listitem").nth(3).hover()
    card = root.get_by_role("tooltip")
    for part in ("steered", "baseline", "happy", "KL"):
        expect(card).to_contain_text(part)
    likeliest = notebook.execute("print(panel.alternatives[0][3][0].token)").strip()
    expect(card).to_contain_text(likeliest)

    seed = root.get_by_label("seed")
    seed.fill("0, 4-5")
    seed.press("Enter")
    panel.finish()
    assert text(panel.steered) == notebook.execute(
        "panel.wait(60); print(''.join(run.text for run in panel.runs), end='')"
    )
    expect(panel.steered.get_by_role("list")).to_have_count(3)
    seed.fill("0")
    seed.press("Enter")
    panel.finish()
    assert text(panel.steered) == steered

    root.get_by_label("Random control").check()
    panel.finish()
    assert text(panel.steered) != steered
    assert notebook.execute("print(panel.run.plan[0].target.label)") == "random (happy)\n"
    root.get_by_label("Random control").uncheck()
    panel.finish()
    assert text(panel.steered) == steered

    root.get_by_label("Keep norms").check()
    panel.finish()
    assert text(panel.steered) == notebook.run_text() != steered
    assert notebook.execute("print(panel.run.plan.preserve_norm, panel.plan.preserve_norm)") == "True True\n"


def test_steers_from_a_token_on(notebook: Notebook, panel: Panel) -> None:
    panel.run.click()
    panel.finish()
    panel.await_measures()
    tokens = panel.steered.get_by_role("listitem")
    before = [token.text_content() for token in tokens.all()][:6]
    tokens.nth(6).focus()
    notebook.page.keyboard.press("Enter")
    panel.root.get_by_role("button", name="Steer from").click()
    panel.number("happy").fill("3")
    panel.finish()
    expect(panel.root.get_by_role("button", name="The first 6 tokens are kept")).to_be_visible()
    assert [token.text_content() for token in tokens.all()][:6] == before
    assert text(panel.steered) == notebook.run_text() != text(panel.baseline)


def test_chat_presets_python_and_recipes(notebook: Notebook, panel: Panel, tmp_path: Path) -> None:
    root, page = panel.root, notebook.page
    panel.number("happy").fill("2")
    panel.finish()
    panel.await_measures()
    written = text(panel.steered)
    root.get_by_role("button", name="Presets").click()
    root.get_by_label("Name of the preset").fill(EVIL)
    root.get_by_role("button", name="Keep").click()
    panel.number("happy").fill("0")
    root.get_by_role("button", name="Presets").click()
    root.get_by_role("button", name=EVIL, exact=True).click()
    expect(panel.number("happy")).to_have_value("+2")
    panel.finish()

    with page.expect_download() as download:
        root.get_by_role("button", name="Save recipe").click()
    recipe = tmp_path / "recipe.json"
    download.value.save_as(recipe)
    assert json.loads(recipe.read_text())["text"] == written
    page.evaluate("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    root.get_by_role("button", name="Copy as Python").click()
    expect(root.get_by_role("button", name="Copied")).to_be_visible()
    assert "plan = sk.Plan.from_json(PLAN)" in page.evaluate("window.copied")

    panel.prompt.fill("Another")
    root.get_by_label("Recipe file").set_input_files(recipe)
    expect(panel.prompt).to_have_value("One day, Mia")
    panel.finish()
    assert text(panel.steered) == written
    recipe.write_text(json.dumps({"format": EVIL, "version": 1}))
    root.get_by_label("Recipe file").set_input_files(recipe)
    expect(panel.alert).to_contain_text(EVIL)
    assert not page.evaluate("'pwned' in window")

    notebook.run(PANEL)
    panel = notebook.panel()
    notebook.execute("panel.prompt = [{'role': 'user', 'content': 'Tell me a story.'}]")
    expect(panel.root.get_by_role("textbox", name="Turn 1, user")).to_have_value("Tell me a story.")
    panel.root.get_by_role("button", name="Add a turn").click()
    panel.root.get_by_role("textbox", name="Turn 2, assistant").fill("Once")
    panel.run.click()
    expect(panel.alert).to_contain_text("no chat template")
    panel.root.get_by_role("button", name="Use raw text").click()
    expect(panel.prompt).to_have_value("Tell me a story.")
