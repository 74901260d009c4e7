"""`ContrastView` without a page: what it shows, and what it gives in Python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import steerkit as sk
import steerkit_widgets as skw

WET = ["It rained all day.", "The rain fell on the roof.", "She opened her umbrella in the rain."]
DRY = ["He sang all day.", "The cat sat on the roof.", "She opened her box in the park."]


@pytest.fixture
def view(storybook_model: sk.Model, features: sk.Dictionary) -> Iterator[skw.ContrastView]:
    view = skw.ContrastView(features, storybook_model, WET, DRY)
    yield view
    view.close()


def test_the_page_gets_the_best_marks_of_either_side(view: skw.ContrastView) -> None:
    indices = np.frombuffer(view._found["indices"]["data"], "<u4").tolist()
    auroc = np.frombuffer(view._found["auroc"]["data"], "<f4").tolist()
    assert indices[:3] == [feature.index for feature in view.contrast.best(3)]
    assert indices[-1] == view.contrast.best(1, negative=True)[0].index
    assert auroc == pytest.approx(view.contrast.auroc[indices].tolist())
    assert auroc == sorted(auroc, reverse=True)
    assert view._found["chance"] == view.contrast.chance


def test_a_vector_and_features_come_out(view: skw.ContrastView, features: sk.Dictionary) -> None:
    view.set_state({"_selected": [features["rain"].index]})
    assert view.selected == [features["rain"]]
    vector = view.vector("wet")
    assert (vector.label, list(map(str, vector.sites))) == ("wet", ["4.resid_post"])
    reading = view.model.read("It rained all day.", vector).coefficients.mean()
    assert reading > view.model.read("He sang all day.", vector).coefficients.mean()
    view.positives = ["The dog ran over the roof."]
    changed = view.vector("wet")
    assert not changed["4.resid_post"].equal(vector["4.resid_post"]), "of the texts as they stand"


def test_the_page_asks(view: skw.ContrastView, caplog: Any) -> None:
    sent: list[dict[str, Any]] = []
    view.send = lambda content, buffers=None: sent.append(content)

    def ask(**args: Any) -> str:
        n = len(sent)
        view._on_message(view, {"v": 1, "rid": "a", "op": "contrast", "args": args}, [])
        while len(sent) == n or sent[-1]["op"] == "taken":
            time.sleep(0.005)
        return sent[-1]["op"]

    before = view.contrast
    view.positives = ["What was typed since."]
    assert ask(positives=DRY, negatives=WET) == "answer"
    assert view.positives == ["What was typed since."]
    assert view.contrast.auroc.tolist() == pytest.approx((1 - before.auroc).tolist())
    assert ask(positives=DRY, negatives="wet") == "error"
    assert ask(positives=DRY, negatives=[3]) == "error"
    assert ask(positives=DRY, negatives=[]) == "error"
    assert "at least one" in sent[-1]["error"]["message"]
    assert caplog.records == []


def test_what_it_refuses(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    with pytest.raises(TypeError, match="takes a dictionary"):
        skw.ContrastView(storybook_model, features)
    with pytest.raises(TypeError, match="takes a model"):
        skw.ContrastView(features, "storybook")
    for sides in ({"positives": "It rained."}, {"positives": WET, "negatives": "It rained."}):
        with pytest.raises(TypeError, match=r"'It rained\.' is one text where a list of texts belongs"):
            skw.ContrastView(features, storybook_model, **sides)
    with pytest.raises(TypeError, match="did you mean 'positives'"):
        skw.ContrastView(features, storybook_model, positive=WET)
