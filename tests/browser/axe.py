"""axe-core, run on a part of a page."""

from harness import ROOT
from playwright.sync_api import Locator, expect

AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def check(root: Locator) -> None:
    """Fail unless axe-core finds nothing against WCAG 2.2 AA in `root`."""
    # axe looks at the colours of what is in sight, and of nothing that is scrolled away.
    root.evaluate("root => root.scrollIntoView({ block: 'start', behavior: 'instant' })")
    # JupyterLab's AMD loader would take the script for itself.
    root.page.evaluate(
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
    found = root.evaluate(
        """async (root, rules) => {
          const { violations, passes } = await axe.run(root, { runOnly: rules });
          return {
            violations: violations.map(v => [v.id, ...v.nodes.map(node => node.html)]),
            passes: passes.map(pass => pass.id),
          };
        }""",
        RULES,
    )
    assert "color-contrast" in found["passes"], found
    assert found["violations"] == [], found["violations"]


def dark(root: Locator) -> None:
    """Show a saved page in the dark theme, to which the system changes while it is open."""
    root.page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-sk-theme", "dark")
