"""`AttentionView` and `TokenTable`, without a kernel or a network; hostile text is shown, not run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Notebook
from playwright.sync_api import Page, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._circuitsvis import Drawing

pytestmark = pytest.mark.browser
EVIL = "</script><img src=x onerror='window.pwned = 1'>&lt;"
# Pictures stand in canvases: whether anything but one colour is in one of them.
PAINTED = """canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size > 2;
}"""


@pytest.fixture
def drawn(offline_page: Page, tmp_path: Path) -> Iterator[Callable[[Drawing], Page]]:
    """Opens a saved picture; its console must stay clean, and it must ask for nothing."""
    wrong: list[str] = []
    offline_page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    offline_page.on("pageerror", lambda error: wrong.append(str(error)))
    offline_page.on("request", lambda r: None if r.url.startswith("file:") else wrong.append(r.url))

    def show(drawing: Drawing) -> Page:
        drawing.save_html(tmp_path / "drawing.html")
        offline_page.goto((tmp_path / "drawing.html").as_uri())
        return offline_page

    yield show
    assert not offline_page.evaluate("'pwned' in window")
    assert offline_page.locator("img").count() == 0
    assert wrong == []


def test_heads_are_drawn_and_enlarged(drawn: Callable[[Drawing], Page], storybook_model: sk.Model) -> None:
    view = skw.AttentionView(storybook_model, f"Mia saw a dog. {EVIL} The dog ran.", layer=2)
    page, n_heads = drawn(view), len(view.weights)
    heads = page.locator("canvas")
    expect(heads).to_have_count(n_heads + 1)  # the last is the one that is enlarged
    page.wait_for_function("[...document.querySelectorAll('canvas')].every(canvas => canvas.width > 50)")
    assert all(heads.nth(k).evaluate(PAINTED) for k in range(n_heads + 1))
    heads.nth(1).click()
    expect(page.get_by_role("heading", name="Head 1 Zoomed")).to_be_visible()
    page.get_by_text("In words").click()
    expect(page.get_by_role("row")).to_have_count(len(view.prompt.tokens) + 1)


def test_texts_stand_in_the_order_of_a_feature(
    drawn: Callable[[Drawing], Page], storybook_model: sk.Model, features: sk.Dictionary
) -> None:
    texts = ["The cat sat in the sun.", f"It rained all day. {EVIL}"]
    readings = [storybook_model.read(text, features) for text in texts]
    page = drawn(skw.TokenTable(readings, [features["rain"], features["cat"]]))
    samples = page.locator(".colored-tokens")
    expect(samples).to_have_count(2)
    assert samples.nth(0).text_content().replace("\u00a0", " ").replace("\u2060", "") == texts[1]
    page.get_by_label("Feature:").select_option("cat")
    expect(samples.nth(0)).to_contain_text("cat")


def test_in_jupyterlab(notebook: Notebook) -> None:
    notebook.run("skw.AttentionView(model, 'One day, Mia saw a dog.', layer=0)")
    expect(notebook.page.locator(".sk-drawing canvas").last).to_be_visible()
    expect(notebook.page.get_by_role("heading", name="Head 0 Zoomed")).to_be_visible()
