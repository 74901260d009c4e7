"""What a notebook shows of each widget when it was saved without their states: never nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

PROMPT = "One day, Mia & Tom"
SHORT = {"max_new_tokens": 3}
MAKERS: dict[str, Callable[[sk.Model, sk.Dictionary], Widget]] = {
    "Prompt: One day, Mia &amp; Tom": lambda model, found: skw.SteeringPanel(model, [found["rain"]], prompt=PROMPT),
    "No feature is chosen": lambda model, found: skw.FeaturePicker(found, model),
    "storybook": lambda model, found: skw.FeatureCard(found["rain"]),
    "Strongest:": lambda model, found: skw.TokenView(model.read(PROMPT, found)),
    "Baseline": lambda model, found: skw.CompareView(model.compare(PROMPT, [found["rain"].add(9)], **SHORT)),
    "+9": lambda model, found: skw.SweepView(model.sweep(PROMPT, found["rain"].add(1), [0, 9], **SHORT)),
    "not run yet": lambda model, found: skw.ContrastView(found, model, ["It rained."]),
}


@pytest.mark.parametrize("said", MAKERS)
def test_it_says_what_it_is(storybook_model: sk.Model, features: sk.Dictionary, said: str) -> None:
    widget = MAKERS[said](storybook_model, features)
    assert said in widget.still()
    widget.close()


@pytest.mark.parametrize("said", MAKERS)
def test_a_closed_widget_shows_that_alone_and_is_not_saved(
    storybook_model: sk.Model,
    features: sk.Dictionary,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    widget = MAKERS[said](storybook_model, features)
    widget.close()
    shown: list[dict[str, str]] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: shown.append(data))
    widget._ipython_display_()
    assert shown == [{"text/plain": repr(widget), "text/html": widget.still()}]
    with pytest.raises(RuntimeError, match=f"This {type(widget).__name__} is closed"):
        widget.save_html(tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_panels_texts_stand_there(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    panel = skw.SteeringPanel(storybook_model, [features["rain"]], prompt=PROMPT, max_new_tokens=4)
    panel.plan = [features["rain"].add(9)]
    panel.start()
    assert panel.wait(60)
    html = panel.still()
    assert "Adds 9 to &#x27;rain&#x27;" in html
    assert "Steered" in html
    panel.close()
