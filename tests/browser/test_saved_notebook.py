"""A notebook with saved widgets, turned into HTML by nbconvert, shows them without a kernel or a network."""

from pathlib import Path

import nbformat
import pytest
from ipywidgets.embed import dependency_state
from nbconvert import HTMLExporter
from playwright.sync_api import Page, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._page import STATE, place

pytestmark = pytest.mark.browser


def notebook(widget: skw.FeatureCard, *, state: bool) -> nbformat.NotebookNode:
    """What `display(widget)` leaves in a notebook, with the widget's state or without."""
    data, _ = widget._repr_mimebundle_()
    shown = [{"text/html": place(widget)}, {**data, "text/html": widget.still()}]
    cell = nbformat.v4.new_code_cell(
        "card", outputs=[nbformat.v4.new_output("display_data", data=each) for each in shown]
    )
    made = nbformat.v4.new_notebook(cells=[cell])
    if state:
        models = dependency_state([widget], drop_defaults=False)
        made.metadata["widgets"] = {STATE: {"version_major": 2, "version_minor": 0, "state": models}}
    return made


@pytest.mark.parametrize("state", [True, False])
def test_it_is_never_blank(offline_page: Page, features: sk.Dictionary, tmp_path: Path, state: bool) -> None:
    card = skw.FeatureCard(features["rain"])
    html, _ = HTMLExporter().from_notebook_node(notebook(card, state=state))
    (tmp_path / "notebook.html").write_text(html)
    offline_page.goto((tmp_path / "notebook.html").as_uri(), wait_until="commit")
    expect(offline_page.get_by_role("heading", name="rain", exact=True)).to_be_visible()
    expect(offline_page.locator(".sk-root")).to_have_count(1 if state else 0)
    card.close()
