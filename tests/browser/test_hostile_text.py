"""Text that would run if it were HTML is shown and never run: in every widget, saved page and `_repr_html_`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

import steerkit as sk
import steerkit_widgets as skw
from steerkit.dictionaries.activations import ReLU
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit_widgets._base import Widget

pytestmark = pytest.mark.browser
EVIL = (
    "</script></style></textarea></title>--><script>window.pwned = 1</script>"
    "<img src=x onerror='window.pwned = 1'><svg onload=window.pwned=1>"
)


@pytest.fixture(scope="module")
def hostile(storybook_model: sk.Model) -> Dictionary:
    """A dictionary whose every label, and whose name, would run."""
    noise = torch.Generator().manual_seed(1)
    rows, site = torch.randn(8, storybook_model.d_model, generator=noise), sk.Site.parse("3.resid_post")
    parts = Parts(
        format="plain",
        W_enc=InMemory(rows.T.contiguous()),
        W_dec=InMemory(rows),
        b_dec=torch.zeros(storybook_model.d_model),
        activation=ReLU(),
        site_in=site,
        site_out=site,
    )
    features = Dictionary(parts, EVIL, labels=None)
    features.labels.add({index: f"{EVIL} {index}" for index in range(8)}, source=EVIL)
    features.published_maxima = torch.arange(1.0, 9.0)
    return features


@pytest.fixture(scope="module")
def vector(storybook_model: sk.Model, tmp_path_factory: pytest.TempPathFactory) -> sk.Vector:
    """A vector whose name would run, from a file."""
    path = tmp_path_factory.mktemp("vectors") / "evil.safetensors"
    sk.Vector({"3.resid_post": torch.randn(storybook_model.d_model)}, EVIL).save(path)
    return sk.Vector.load(path)


@pytest.fixture(scope="module")
def results(storybook_model: sk.Model, hostile: Dictionary, vector: sk.Vector) -> dict[str, object]:
    """A result of every kind, made with hostile text, its tokens hostile too."""

    def with_evil_tokens(run: sk.Run) -> sk.Run:
        return dataclasses.replace(run, tokens=[EVIL] * len(run.tokens), special=[False] * len(run.special))

    model, edits = storybook_model, [vector.add(0.1), hostile[3].add(0.1)]
    compared = model.compare(EVIL, edits, max_new_tokens=4)
    reading = model.read(EVIL, [hostile, vector])
    tokens = (EVIL,) * len(reading.prompt.tokens)
    steered = with_evil_tokens(compared.steered)
    return {
        "run": steered,
        "comparison": sk.Comparison(with_evil_tokens(compared.baseline), steered, compared.kl),
        "sweep": sk.Sweep([0.0, 1.0], [steered, steered]),
        "reading": dataclasses.replace(reading, prompt=dataclasses.replace(reading.prompt, tokens=tokens)),
        "contrast": sk.contrast(model, [EVIL], ["The sun shone."], hostile),
        "feature": hostile[3],
        "vector": vector,
        "plan": sk.Plan(edits),
        "recipe": sk.Recipe(model, sk.Plan([vector.add(0.1)]), prompt=EVIL, max_new_tokens=4),
    }


KINDS = ["run", "comparison", "sweep", "reading", "contrast", "feature", "vector", "plan", "recipe"]


def is_harmless(page: Page) -> None:
    page.evaluate("new Promise(done => setTimeout(done, 50))")  # an image that is not there would say so by now
    assert not page.evaluate("'pwned' in window")
    assert page.evaluate("document.images.length") == 0
    assert page.locator("svg[onload]").count() == 0


def poke(root: Locator) -> None:
    """Show all that a widget has: what opens, what is pinned, and the card of each kind of item."""
    for button in root.get_by_role("button").all():
        if button.is_visible() and button.is_enabled():
            button.dispatch_event("click")
    for item in root.get_by_role("listitem").all()[:3] + root.get_by_role("option").all()[:3]:
        if item.is_visible():
            item.hover(force=True)
            item.dispatch_event("click")


def _panel(model: sk.Model, hostile: Dictionary, vector: sk.Vector, _: dict[str, object]) -> Widget:
    edits = [vector.add(0.1, when=hostile[2] > 0.5), hostile[3].add(0.1)]
    panel = skw.SteeringPanel(model, [hostile], EVIL, 4, presets={EVIL: edits})
    panel.plan = edits
    panel.start()
    assert panel.wait(60)
    return panel


def _lab(model: sk.Model, hostile: Dictionary, vector: sk.Vector, _: dict[str, object]) -> Widget:
    lab = skw.Lab(model, hostile, EVIL, 4)
    lab.plan = [vector.add(0.1), hostile[3].add(0.1)]
    lab.selected = [hostile[3]]
    lab.panel.start()
    assert lab.wait(60)
    return lab


WIDGETS: dict[str, Callable[..., Widget]] = {
    "SteeringPanel": _panel,
    "TokenView": lambda _, hostile, __, results: skw.TokenView(results["reading"], [hostile[3]]),
    "FeaturePicker": lambda _, hostile, *__: skw.FeaturePicker(hostile, selected=[hostile[3]], families={EVIL: [3]}),
    "FeatureCard": lambda model, hostile, *_: skw.FeatureCard(hostile[3], model, [EVIL]),
    "CompareView": lambda *given: skw.CompareView(given[-1]["comparison"]),
    "SweepView": lambda *given: skw.SweepView(given[-1]["sweep"]),
    "Lab": _lab,
    "ContrastView": lambda model, hostile, *_: skw.ContrastView(hostile, model, [EVIL], ["The sun shone."]),
}


def test_every_widget_is_tried() -> None:
    every = [getattr(skw, name) for name in skw.__all__]
    assert {each.__name__ for each in every if isinstance(each, type) and issubclass(each, Widget)} == set(WIDGETS)


@pytest.mark.parametrize("name", WIDGETS)
def test_in_a_widget(
    name: str,
    saved: Callable[[Widget], Locator],
    storybook_model: sk.Model,
    hostile: Dictionary,
    vector: sk.Vector,
    results: dict[str, object],
    tmp_path: Path,
) -> None:
    widget = WIDGETS[name](storybook_model, hostile, vector, results)
    root = saved(widget)
    expect(root).to_contain_text("window.pwned")
    is_harmless(root.page)
    poke(root)
    is_harmless(root.page)
    (tmp_path / "still.html").write_text(f'<!doctype html><meta charset="utf-8">{widget.still()}')
    root.page.goto((tmp_path / "still.html").as_uri())
    is_harmless(root.page)
    assert root.page.evaluate("document.scripts.length") == 0
    widget.close()


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_result(kind: str, offline_page: Page, results: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "result.html").write_text(f'<!doctype html><meta charset="utf-8">{results[kind]._repr_html_()}')
    offline_page.goto((tmp_path / "result.html").as_uri())
    is_harmless(offline_page)
    assert offline_page.evaluate("document.scripts.length") == 0
    expect(offline_page.locator("body")).to_contain_text("window.pwned")
