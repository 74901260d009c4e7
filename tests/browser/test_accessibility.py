"""axe-core finds nothing against WCAG 2.2 AA, in light and in dark."""

from collections.abc import Iterator

import pytest
from harness import CALM, PANEL, ROOT, Notebook, Panel
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def check(panel: Panel) -> None:
    # JupyterLab's AMD loader would take the script for itself.
    panel.page.evaluate(
        """source => {
          const { define } = window;
          window.define = undefined;
          (0, eval)(source);
          window.define = define;
          // The body is 0 px high: axe would hold everything for hidden and skip colours in silence.
          document.body.style.height = '100vh';
        }""",
        AXE.read_text(),
    )
    found = panel.root.evaluate(
        """async (root, rules) => {
          const { violations, passes } = await axe.run(root, { runOnly: rules });
          return {
            violations: violations.map(v => [v.id, ...v.nodes.map(node => node.html)]),
            passes: passes.map(pass => pass.id),
          };
        }""",
        RULES,
    )
    assert "color-contrast" in found["passes"]
    assert found["violations"] == []


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
    check(panel)
    panel.slider.first.press("PageUp")
    panel.finish()
    check(panel)
    panel.root.get_by_role("button", name="Tint by calm").click()
    panel.root.get_by_label("length").fill("100000")
    panel.run.click()
    expect(panel.alert).to_be_visible()
    check(panel)


def test_the_checker_can_fail(panel: Panel) -> None:
    panel.root.evaluate("root => root.style.setProperty('--sk-dim', '#ccc')")
    with pytest.raises(AssertionError, match="color-contrast"):
        check(panel)


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
