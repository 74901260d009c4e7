"""`FeaturePicker` without a page: what it sends, what it answers, and what it says in Python."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets import _worker


class Page(skw.FeaturePicker):
    """A picker whose messages go into a list."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.sent: list[tuple[dict[str, Any], Any]] = []
        super().__init__(*args, **settings)

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.append((content, buffers))

    def ask(self, **args: Any) -> dict[str, Any]:
        n = len(self.sent)
        self._on_message(self, {"v": 1, "rid": "a", "op": "find", "args": args}, [])
        while len(self.sent) == n or self.sent[-1][0]["op"] == "taken":
            time.sleep(0.005)
        return self.sent[-1][0]

    def found(self, **args: Any) -> tuple[list[int], list[float]]:
        assert self.ask(**args)["op"] == "answer"
        indices, values = self.sent[-1][1]
        return np.frombuffer(indices, "<u4").tolist(), np.frombuffer(values, "<f4").tolist()


@pytest.fixture(scope="module")
def picker(storybook_model: sk.Model, features: sk.Dictionary) -> Iterator[Page]:
    picker = Page(features, storybook_model)
    yield picker
    picker.close()


def test_the_page_gets_every_feature(picker: Page, features: sk.Dictionary) -> None:
    labels = picker._features["labels"]["data"].decode().split("\n")[:-1]
    assert len(labels) == features.n_features
    for index in (0, 66, 1000, 4095):
        assert labels[index] == features[index].label
    families = np.frombuffer(picker._families["of"]["data"], "uint8")
    assert picker._families["names"][families[features["rain"].index]] == "weather"


def test_search_by_words(picker: Page, features: sk.Dictionary) -> None:
    found, _ = picker.found(by="words", text="rain")
    assert found[:20] == [feature.index for feature in features.search("rain", 20)]


def test_search_by_nearness(picker: Page, features: sk.Dictionary) -> None:
    found, _ = picker.found(by="nearest", feature=3)
    assert found[:10] == [feature.index for feature in features.nearest(3, 10)]


def test_search_by_a_text(picker: Page, features: sk.Dictionary) -> None:
    found, values = picker.found(by="text", text="It rained.")
    reading = picker.model.read("It rained.", features)
    plain = [i for i, special in enumerate(reading.prompt.special) if not special]
    maxima = reading.codes[0][1].to_dense()[plain].max(0).values
    assert values == pytest.approx(maxima[found].tolist())
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(maxima.max().item())


def test_search_by_a_token(picker: Page, features: sk.Dictionary) -> None:
    found, values = picker.found(by="token", text=" rain")
    token = picker.model.tokenizer(" rain", add_special_tokens=False)["input_ids"][0]
    for index, value in zip(found[:3], values[:3], strict=True):
        effects = picker.model.logit_effects(features[index].direction)
        assert value == pytest.approx(effects[token].item(), rel=1e-4)
    others = [picker.model.logit_effects(features[i].direction)[token].item() for i in range(0, 4096, 500)]
    assert values[0] >= max(others)


def test_search_by_two_texts(picker: Page, features: sk.Dictionary) -> None:
    found, values = picker.found(by="contrast", text="It rained all day.", against="He sang all day.")
    best = sk.contrast(picker.model, ["It rained all day."], ["He sang all day."], features).best(5)
    assert found[:5] == [feature.index for feature in best]
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0


@pytest.mark.parametrize(
    "args",
    [{}, {"by": "smell"}, {"by": "words"}, {"by": "words", "text": 3}, {"by": "nearest", "feature": 10**6}, {"by": []}],
)
def test_a_malformed_question_is_answered(picker: Page, args: dict[str, Any], caplog: Any) -> None:
    reply = picker.ask(**args)
    assert reply["op"] == "error"
    assert reply["rid"] == "a"
    assert caplog.records == []


def test_an_error_of_the_library_is_told(picker: Page) -> None:
    assert "empty" in picker.ask(by="text", text="")["error"]["message"]


def test_messages_that_are_no_questions(picker: Page) -> None:
    for message in ["nonsense", {"op": "sing", "rid": "a", "args": {}}, {"op": "find", "rid": 3, "args": {}}]:
        picker._on_message(picker, message, [])
        assert picker.sent[-1][0]["op"] == "error"


def test_chosen_features(picker: Page, features: sk.Dictionary) -> None:
    picker.selected = [features["rain"], features[3]]
    assert picker._selected == [features["rain"].index, 3]
    picker.set_state({"_selected": [5]})
    assert picker.selected == [features[5]]
    with pytest.raises(ValueError, match=r"is chosen twice\. Give each feature once"):
        picker.selected = [features[5], features[4], features[5]]
    with pytest.raises(ValueError, match="is chosen twice"):
        skw.FeaturePicker(features, selected=[features[5], features[5]])
    picker.follow([features[5], features[4], features[5]])
    assert picker.selected == [features[5], features[4]]


def test_without_a_model_it_searches_labels_alone(features: sk.Dictionary) -> None:
    picker = Page(features, families={"first": [0, 1]})
    assert picker._ways == ["words", "nearest"]
    assert picker._families["names"] == ["first"]
    assert "searches by words, nearest" in picker.ask(by="text", text="x")["error"]["message"]
    picker.close()


def test_close_ends_the_thread(features: sk.Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "IDLE_SECONDS", 600)  # nothing but `close` ends it
    before = set(threading.enumerate())
    picker = Page(features)
    picker.ask(by="words", text="rain")
    (own,) = set(threading.enumerate()) - before
    assert own.name == "Page"
    picker.close()
    own.join(30)
    assert not own.is_alive()


def test_what_it_refuses(features: sk.Dictionary) -> None:
    with pytest.raises(TypeError, match="takes a dictionary"):
        skw.FeaturePicker([features["rain"]])
    with pytest.raises(TypeError, match="did you mean 'families'"):
        skw.FeaturePicker(features, familys={})
    with pytest.raises(TypeError, match=r"takes a model, such as sk.load\(\); got 'storybook'"):
        skw.FeaturePicker(features, "storybook")
    with pytest.raises(ValueError, match=r"Feature 2 is in 'wet' and in 'cold'\. Give it one family"):
        skw.FeaturePicker(features, families={"wet": [1, 2], "cold": [2, 3]})


def test_only_features_of_its_dictionary_are_chosen(picker: Page, features: sk.Dictionary) -> None:
    picker.selected = [picker.model.dictionary()["cat"]]  # opened once more
    assert picker.selected == [features["cat"]]
    elsewhere = picker.model.dictionary("reft_l4")
    for wrong in ("rain", sk.Vector({"3.resid_post": features["rain"].direction}), elsewhere[0]):
        with pytest.raises(ValueError, match=r"is no feature of .*4096 features.*\. Choose from picker.features"):
            picker.selected = [features["joy"], wrong]
        with pytest.raises(ValueError, match="is no feature of"):
            skw.FeaturePicker(features, selected=[wrong])
    assert picker.selected == [features["cat"]]
