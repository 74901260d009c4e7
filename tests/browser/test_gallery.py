"""The gallery of js/: every widget on a fake model, light and dark side by side, without an error."""

from collections.abc import Iterator

import pytest
from axe import check
from harness import ROOT, Panel, text
from playwright.sync_api import Page, Route, expect

from steerkit_widgets._page import STATIC

pytestmark = pytest.mark.browser
ADDRESS = "http://gallery.test"
# Fields whose placeholders are not in the colour of what is said beside: axe does not look at those.
PALE = """root => {
  const said = root.appendChild(document.createElement('span'));
  said.className = 'sk-dim';
  const { color } = getComputedStyle(said);
  const found = [...root.querySelectorAll('[placeholder]')].filter(field => {
    const shown = getComputedStyle(field, '::placeholder');
    return shown.color !== color || shown.opacity !== '1';
  });
  said.remove();
  return found.map(field => field.placeholder);
}"""


@pytest.fixture
def gallery(offline_page: Page) -> Iterator[Page]:
    errors: list[str] = []
    offline_page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    offline_page.on("pageerror", lambda error: errors.append(str(error)))

    def give(route: Route) -> None:
        path = route.request.url.removeprefix(ADDRESS).partition("#")[0]
        # The wheel's bundles stand where the package is.
        local = STATIC / path.rpartition("/")[2] if "/static/" in path else ROOT / path.strip("/")
        route.fulfill(path=local / "index.html" if local.is_dir() else local)

    offline_page.route(f"{ADDRESS}/**", give)
    offline_page.goto(f"{ADDRESS}/js/gallery/")
    yield offline_page
    assert errors == []


def test_every_widget_stands_in_both_themes(gallery: Page) -> None:
    names = sorted(path.stem for path in STATIC.glob("*.js") if path.stem != "static_page")
    expect(gallery.locator(".sk-lab .sk-root")).to_have_count(12)
    shown = gallery.locator("main > section").evaluate_all("sections => sections.map(section => section.ariaLabel)")
    assert sorted(shown) == names
    for section in gallery.locator("main > section").all():
        for theme in ("light", "dark"):
            root = section.locator(f".{theme} > .sk-root")
            expect(root).to_have_attribute("data-sk-theme", theme)
            assert root.evaluate("root => getComputedStyle(root).colorScheme") == theme
            assert root.evaluate(PALE) == []
            check(root)


def test_its_kernel_writes_what_a_slider_asks_for(gallery: Page) -> None:
    panel = Panel(gallery.locator(".sk-steering-panel").first)
    panel.slider.first.press("PageUp")
    panel.slider.first.press("PageUp")
    panel.finish()
    assert "happily" in text(panel.steered)
    assert "happily" not in text(panel.baseline)
    panel.root.get_by_role("button", name="Copy as Python").click()
    expect(panel.alert).to_contain_text("The gallery has no kernel")
