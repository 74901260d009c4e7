"""`FeatureCard` without a page: what it shows, what it measures, and what it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import steerkit as sk
import steerkit_widgets as skw

TEXTS = ["It rained all day.", "She opened her umbrella in the rain.", "He sang a song."]


class Page(skw.FeatureCard):
    """A card whose messages go into a list."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(*args, **settings)

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.sent.append(content)

    def ask(self, op: str, **args: Any) -> dict[str, Any]:
        n = len(self.sent)
        self.post("a", op, **args)
        while len(self.sent) == n or self.sent[-1]["op"] == "taken":
            time.sleep(0.005)
        return self.sent[-1]

    def post(self, rid: str, op: str, **args: Any) -> None:
        self._on_message(self, {"v": 1, "rid": rid, "op": op, "args": args}, [])

    def replies(self) -> list[tuple[str, str]]:
        return [(message["rid"], message["op"]) for message in self.sent]


@pytest.fixture
def card(storybook_model: sk.Model, features: sk.Dictionary) -> Iterator[Page]:
    card = Page(features["rain"], storybook_model)
    yield card
    card.close()


def test_what_is_known_of_a_feature(card: Page, storybook_model: sk.Model, features: sk.Dictionary) -> None:
    rain = features["rain"]
    shown = card._card
    assert (shown["index"], shown["labels"][0]["text"], shown["site"]) == (rain.index, "rain", "4.resid_post")
    assert (shown["norm"], shown["maximum"]) == (rain.decoder_norm, rain.max_activation)
    top = rain.top_tokens(storybook_model, 8)
    assert [tuple(token) for token in shown["tokens"]["promoted"]] == list(top.promoted)
    assert [tuple(token) for token in shown["tokens"]["suppressed"]] == list(top.suppressed)
    assert [index for index, _ in shown["nearest"]] == [near.index for near in features.nearest(rain, 8)]


def test_it_measures_over_texts_and_leaves_the_dictionary_alone(card: Page, features: sk.Dictionary) -> None:
    assert card._measured is None
    measured = card.measure(TEXTS)
    rain = features["rain"].index
    assert features.calibration is None
    assert card._measured["corpus"] == measured.corpus
    assert card._measured["counts"] == measured.histogram[rain].tolist()
    assert [tuple(passage) for passage in card._measured["passages"]] == measured.passages(rain)
    assert sum(card._measured["counts"]) == round(measured.density[rain].item() * measured.n_tokens) > 0


def test_the_page_measures_and_goes_to_a_neighbour(card: Page, features: sk.Dictionary) -> None:
    assert card.ask("measure", texts=TEXTS)["op"] == "answer"
    corpus = card._measured["corpus"]
    assert corpus.startswith("3 texts")
    assert card.ask("show", feature=3)["op"] == "answer"
    assert card.feature == features[3]
    assert (card._card["index"], card._measured["corpus"]) == (3, corpus)


def test_whatever_pages_ask_meanwhile_is_answered(card: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    began, free = threading.Event(), threading.Event()
    measure = card.measure
    monkeypatch.setattr(card, "measure", lambda texts: (began.set(), free.wait(30), measure(texts)))
    card.post("m1", "measure", texts=TEXTS)
    assert began.wait(30)
    for rid, op, args in [
        ("m2", "measure", {"texts": TEXTS[:1]}),
        ("s1", "show", {"feature": 3}),
        ("m3", "measure", {"texts": TEXTS[:2]}),  # perhaps of another page, to which m2 says nothing
    ]:
        card.post(rid, op, **args)
    taken = [(rid, "taken") for rid in ("m1", "m2", "s1", "m3")]
    assert card.replies() == [*taken, ("m2", "error")], "the page knows that the kernel is at work"
    assert "newer question" in card.sent[-1]["error"]["message"]
    free.set()
    end = time.monotonic() + 30
    while len(card.sent) < 8 and time.monotonic() < end:
        time.sleep(0.005)
    assert card.replies()[5:] == [("m1", "answer"), ("s1", "answer"), ("m3", "answer")]
    assert card._measured["corpus"].startswith("2 texts")
    assert card._card["index"] == 3


def test_texts_at_once(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    card = Page(features["rain"], storybook_model, TEXTS)
    assert card._measured["corpus"].startswith("3 texts")
    card.close()


@pytest.mark.parametrize(
    ("op", "args"),
    [("measure", {"texts": "It rained."}), ("measure", {"texts": []}), ("measure", {"texts": [3]}), ("show", {})],
)
def test_a_malformed_question_is_answered(card: Page, op: str, args: dict[str, Any], caplog: Any) -> None:
    assert card.ask(op, **args)["op"] == "error"
    assert caplog.records == []


def test_an_error_of_the_library_is_told(card: Page) -> None:
    assert "context" in card.ask("measure", texts=["rain " * 5000])["error"]["message"]


def test_without_a_model(features: sk.Dictionary) -> None:
    card = Page(features["rain"])
    assert (card._card["tokens"], card._corpora) == (None, [])
    assert card.ask("measure", texts=TEXTS)["op"] == "error"
    with pytest.raises(ValueError, match="FeatureCard\\(feature, model\\)"):
        card.measure(TEXTS)
    card.close()


def test_what_it_refuses(features: sk.Dictionary) -> None:
    with pytest.raises(TypeError, match="takes a feature"):
        skw.FeatureCard(features)
    with pytest.raises(TypeError, match="did you mean 'texts'"):
        skw.FeatureCard(features["rain"], text=[])
    with pytest.raises(TypeError, match="takes a model"):
        skw.FeatureCard(features["rain"], "storybook")
    card = skw.FeatureCard(features["rain"])
    with pytest.raises(TypeError, match="takes a feature"):
        card.feature = "cat"
    assert card.feature == features["rain"]
