"""A notebook that was executed and saved shows its texts without a kernel and without a network."""

import json
from pathlib import Path

import nbformat
import pytest
from harness import PANEL, SETUP, Panel, text
from nbclient import NotebookClient
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
PAGE = Path(__file__).parent / "static_page.html"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


@pytest.mark.usefixtures("server")
def test_saved_panel(offline_page: Page) -> None:
    cells = [SETUP, PANEL, "panel.plan = joy.add(1.5); panel.start(); panel.wait(60)", "print(panel.run.text, end='')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook).execute()
    models = notebook.metadata["widgets"][WIDGET_STATE]["state"].values()
    state = next(model["state"] for model in models if "_texts" in model["state"])

    errors: list[str] = []
    offline_page.on("pageerror", lambda error: errors.append(str(error)))
    offline_page.set_content(PAGE.read_text().replace("STATE", json.dumps(state).replace("<", "\\u003c")))
    panel = Panel(offline_page.locator(".sk-steering-panel"))
    panel.root.wait_for()
    assert text(panel.steered) == notebook.cells[3].outputs[0].text
    assert text(panel.baseline)
    expect(panel.number("happy")).to_have_value("+1.5")
    panel.run.click()
    expect(panel.status).to_contain_text("No answer from a kernel")
    assert text(panel.steered) == notebook.cells[3].outputs[0].text
    assert errors == []
