"""Every widget, saved: narrow, in dark, by keyboard, in high contrast, without motion, from right to left."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe import check
from playwright.sync_api import Locator, Page, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

pytestmark = pytest.mark.browser
TEXT = "It rained all day. Mia ran home and the cat sat down."
PROMPT = "One day, Mia went to the park"
SHORT = {"max_new_tokens": 12}
ARABIC = ["ذهبت", " ليلى", " إلى", " الحديقة", "،", " 你好", "世界", " 👩‍👩‍👧", " עברית", " ไทย"]


def panel(model: sk.Model, features: sk.Dictionary) -> Widget:
    shown = skw.SteeringPanel(model, [features["rain"], features["cat"], features], PROMPT, **SHORT, seeds=[0, 1])
    shown.plan = [features["rain"].add(0.35, unit="norm"), features["cat"].set(1)]
    shown.start()
    assert shown.wait(60)
    return shown


def tokens(model: sk.Model, features: sk.Dictionary) -> Widget:
    view = skw.TokenView(model.read(TEXT, [features, model.dictionary("reft_l4")]), selected=[features["rain"]])
    view.set_state({"_span": [2, 4]})
    return view


def sweep(model: sk.Model, features: sk.Dictionary) -> Widget:
    swept = model.sweep(PROMPT, features["rain"].add(1, unit="norm"), [0, 0.2, 0.4], **SHORT)
    view = skw.SweepView(swept, effect=lambda run: len(run.text))
    view.strength = 0.2
    return view


def compare(model: sk.Model, features: sk.Dictionary) -> Widget:
    return skw.CompareView(model.compare(PROMPT, [features["rain"].add(0.4, unit="norm")], **SHORT))


def card(model: sk.Model, features: sk.Dictionary) -> Widget:
    return skw.FeatureCard(features["rain"], model, [TEXT])


def contrast(model: sk.Model, features: sk.Dictionary) -> Widget:
    return skw.ContrastView(features, model, ["It rained.", "The wet rain fell."], ["The sun shone.", "Mia sang."])


def picker(model: sk.Model, features: sk.Dictionary) -> Widget:
    return skw.FeaturePicker(features, model, selected=[features["rain"], features[700]])


MAKERS = [panel, tokens, picker, card, sweep, compare, contrast]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def file(
    request: pytest.FixtureRequest,
    storybook_model: sk.Model,
    features: sk.Dictionary,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A widget's saved page."""
    path = tmp_path_factory.mktemp("saved") / "widget.html"
    widget = request.param(storybook_model, features)
    widget.save_html(path)
    widget.close()
    return path


@pytest.fixture
def opened(offline_page: Page, file: Path) -> Iterator[Callable[..., Locator]]:
    """Opens it with the reader's settings; nothing may go wrong, and nothing be asked for."""
    wrong: list[str] = []
    offline_page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    offline_page.on("pageerror", lambda error: wrong.append(str(error)))
    offline_page.on("request", lambda r: None if r.url.startswith(("file:", "blob:")) else wrong.append(r.url))

    def show(width: int = 760, **media: str) -> Locator:
        offline_page.set_viewport_size({"width": width, "height": 900})
        offline_page.emulate_media(**media)
        offline_page.goto(file.as_uri())
        root = offline_page.locator(".sk-root")
        root.wait_for()
        return root

    yield show
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Callable[..., Locator], scheme: str) -> None:
    root = opened(color_scheme=scheme)
    expect(root).to_have_attribute("data-sk-theme", scheme)
    check(root)


def test_nothing_is_cut_off_at_320_pixels(opened: Callable[..., Locator]) -> None:
    """As wide as a page is that is enlarged to 400%."""
    root = opened(width=320)
    assert root.page.evaluate("document.documentElement.scrollWidth") <= 320
    beyond = root.evaluate(
        """root => {
          const { left, right } = root.getBoundingClientRect();
          return [...root.querySelectorAll('button, input, select, textarea, td, th, h2, [role=option]')]
            .filter(element => !element.closest('[hidden], .sk-unseen') && element.checkVisibility())
            .filter(element => {
              const box = element.getBoundingClientRect();
              return box.width > 0 && (box.left < left - 1 || box.right > right + 1);
            })
            .map(element => element.outerHTML.slice(0, 120));
        }"""
    )
    assert beyond == []


def test_high_contrast_keeps_what_stands_for_numbers(opened: Callable[..., Locator]) -> None:
    root = opened(forced_colors="active")
    marks = root.locator(".sk-dot, .sk-bar, .sk-bar-cell span, [role=listitem] > span[style], .sk-fill")
    for mark in marks.all()[:8]:
        assert mark.evaluate(
            "mark => !!mark.closest('.sk-slider') || getComputedStyle(mark).forcedColorAdjust === 'none'"
        )
    for marked in root.locator("[aria-current=true]").all():
        expect(marked).to_have_css("outline-style", "solid")


def test_nothing_moves_where_that_is_asked_for(opened: Callable[..., Locator]) -> None:
    root = opened(reduced_motion="reduce")
    moving = root.evaluate(
        """root => {
          const found = [];
          for (const element of root.querySelectorAll('*')) {
            // Classes that come and go with a running text.
            for (const name of ['', 'sk-fading', 'sk-ghost']) {
              if (name) element.classList.add(name);
              const { transitionDuration, animationName } = getComputedStyle(element);
              if (!/^0s(, 0s)*$/.test(transitionDuration) || animationName !== 'none') found.push(element.className);
              if (name) element.classList.remove(name);
            }
          }
          return found;
        }"""
    )
    assert moving == []


def test_every_control_is_reached_by_tab(opened: Callable[..., Locator]) -> None:
    root = opened()
    assert (
        root.evaluate(
            """root => [...root.querySelectorAll('button, input, select, textarea, [role=listbox], [role=list]')]
          .filter(element => element.checkVisibility() && !element.disabled && !element.closest('ul, [aria-hidden]'))
          .filter(element => {
            if (element.type === 'radio') return false;  // arrow keys walk among those of one name
            const stop = element.role === 'list' ? element.querySelector('[tabindex="0"]') : element;
            if (!stop) return true;
            stop.focus();
            return document.activeElement !== stop || stop.tabIndex < 0;
          })
          .map(element => element.outerHTML.slice(0, 120))"""
        )
        == []
    )
    # Without this JupyterLab takes the keys for itself.
    assert (
        root.evaluate(
            """root => [...root.querySelectorAll('button, input, select, textarea, [tabindex]:not([role=option])')]
          .filter(element => !element.hasAttribute('data-lm-suppress-shortcuts'))
          .map(element => element.outerHTML.slice(0, 120))"""
        )
        == []
    )


def test_a_text_from_right_to_left(
    saved: Callable[[Widget], Locator], storybook_model: sk.Model, features: sk.Dictionary
) -> None:
    reading = storybook_model.read(TEXT, features)
    view = skw.TokenView(reading)
    view._tokens = ["<s>", *(ARABIC * 3)[: len(reading.tokens) - 1]]
    root = saved(view)
    words = root.get_by_role("list", name="Tokens")
    expect(words).to_have_css("direction", "rtl")
    assert "".join(words.get_by_role("listitem").all_text_contents()) == "".join(view._tokens)
    items = words.get_by_role("listitem")
    items.nth(1).focus()
    items.nth(1).press("ArrowLeft")
    expect(items.nth(2)).to_be_focused()
    left, right = items.nth(2).bounding_box(), items.nth(1).bounding_box()
    assert left["x"] < right["x"]
    check(root)
