"""`SteeringPanel` without a page: what it sends, and what it answers to what a page sends."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from traitlets import TraitError

import steerkit as sk
import steerkit_widgets as skw

MODEL = Path(__file__).parents[3] / "shared" / "data" / "models" / "stories260K"


@pytest.fixture(scope="module")
def model() -> sk.Model:
    if not MODEL.is_dir():
        pytest.skip(f"needs the model in {MODEL}")
    return sk.load(MODEL)


def vector(model: sk.Model, *sites: str, label: str = "joy", seed: int = 0) -> sk.Vector:
    noise = torch.Generator().manual_seed(seed)
    return sk.Vector({site: torch.randn(model.d_model, generator=noise) for site in sites}, label)


class Page(skw.SteeringPanel):
    """A panel whose messages go into a list."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        super().__init__(*args, **settings)

    def send(self, content: dict[str, Any], buffers: object = None) -> None:
        self.sent.append(content)

    def ask(self, **message: Any) -> None:
        self._on_message(self, {"v": 1, **message}, [])

    def run_from_page(self, rid: str, **changes: Any) -> None:
        names = ("prompt", "strengths", "seed", "temperature", "max_new_tokens")
        self.ask(rid=rid, op="run", settings={name: getattr(self, name) for name in names} | changes)

    def gathered(self, rid: str) -> dict[str, list[Any]]:
        """The parts of a run as a page puts them together."""
        parts: dict[str, list[Any]] = {"baseline": [], "steered": [], "coefficients": []}
        for message in self.sent:
            if message["op"] == "tokens" and message["rid"] == rid:
                for part, (first, items) in message["parts"].items():
                    assert first == len(parts[part]), "pushes follow on each other"
                    parts[part] += items
        return parts


@pytest.fixture
def panel(model: sk.Model) -> Iterator[Page]:
    panel = Page(model, [vector(model, "1.resid_post")], prompt="One day", max_new_tokens=20)
    yield panel
    panel.close()


def test_a_run_streams_what_the_result_holds(panel: Page) -> None:
    panel.run_from_page("a", strengths=[0.5])
    assert panel.wait(30)
    parts, end = panel.gathered("a"), panel.sent[-1]["end"]
    assert "".join(parts["steered"]) == panel.run.text
    assert "".join(parts["baseline"]) == panel.baseline.text
    assert len(parts["coefficients"]) == len(panel.run.token_ids) == end["counts"]["coefficients"]
    assert [row[0] for row in parts["coefficients"]] == pytest.approx(panel.run.coefficients[:, 0].tolist(), rel=1e-3)
    assert end["stopped"] == panel.run.stopped
    assert end["error"] is None
    assert panel._texts["steered"] == parts["steered"]


def test_at_rest_the_texts_are_the_same(panel: Page) -> None:
    panel.start()
    panel.wait(30)
    assert panel.run.text == panel.baseline.text


def test_the_baseline_is_written_once(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    stream = panel._model.stream
    monkeypatch.setattr(panel._model, "stream", lambda *a, **k: asked.append(k["baseline"]) or stream(*a, **k))
    for change in [{}, {"strengths": [1.0]}, {"seed": 1}, {"seed": 1, "strengths": [-1.0]}]:
        panel.run_from_page(str(change), **change)
        panel.wait(30)
        assert "".join(panel.gathered(str(change))["baseline"]) == panel.baseline.text
    assert asked == [True, False, True, False]


def test_the_newest_request_wins(panel: Page) -> None:
    for strength in range(10):
        panel.run_from_page(f"r{strength}", strengths=[float(strength)], max_new_tokens=40)
    panel.wait(30)
    assert panel.run.plan[0].strength == 9
    assert "".join(panel.gathered("r9")["steered"]) == panel.run.text


def test_stop_keeps_what_there_is(panel: Page) -> None:
    panel.run_from_page("a", max_new_tokens=200)
    while not panel.gathered("a")["steered"]:
        time.sleep(0.001)
    panel.ask(rid="a", op="stop")
    assert panel.wait(30)
    assert panel.run.stopped == "cancelled"
    assert 0 < len(panel.run.token_ids) < 200
    assert "".join(panel.gathered("a")["steered"]) == panel.run.text


def test_stop_does_not_wait_for_a_model_at_work(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    stream = panel._model.stream
    monkeypatch.setattr(panel._model, "stream", lambda *a, **k: free.wait(30) and stream(*a, **k))
    panel.run_from_page("a")
    panel.ask(rid="a", op="stop")
    assert panel.sent[-1]["end"]["stopped"] == "cancelled"
    free.set()
    panel.run_from_page("b")
    panel.wait(30)
    assert panel.run.stopped != "cancelled"


def test_a_pull_brings_what_was_lost(panel: Page) -> None:
    panel.run_from_page("a")
    panel.wait(30)
    tokens = panel.gathered("a")["steered"]
    panel.ask(rid="a", op="pull", have={"baseline": 20, "steered": 3, "coefficients": 20})
    assert panel.sent[-1]["parts"]["steered"] == [3, tokens[3:]]
    panel.ask(rid="older", op="pull", have={"baseline": 0, "steered": 0, "coefficients": 0})
    assert [message["op"] for message in panel.sent[-2:]] == ["start", "tokens"]
    assert panel.sent[-1]["rid"] == "a"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("nonsense", "nonsense"),
        ({"op": "sing", "rid": "a"}, "sing"),
        ({"op": "run", "rid": "a"}, "prompt=None"),
        ({"op": "run", "rid": "a", "settings": {"prompt": 3}}, "prompt=3"),
        ({"op": "pull", "rid": "a"}, "pull"),
    ],
)
def test_a_malformed_message_is_answered(panel: Page, message: Any, told: str) -> None:
    panel._on_message(panel, message, [])
    assert panel.sent[-1]["op"] == "error"
    assert told in panel.sent[-1]["error"]["message"]


@pytest.mark.parametrize("strengths", [[], [1.0, 2.0], [float("nan")], ["1"]])
def test_strengths_that_fit_no_slider_are_refused(panel: Page, strengths: list[Any]) -> None:
    panel.run_from_page("a", strengths=strengths)
    assert panel.sent[-1]["op"] == "error"


def test_errors_are_told_in_words(panel: Page, caplog: pytest.LogCaptureFixture) -> None:
    panel.run_from_page("a", prompt="")
    panel.wait(30)
    error = panel.sent[-1]["end"]["error"]
    assert error["kind"] == "PromptError"
    assert "empty" in error["message"]
    panel.run_from_page("b")
    panel.wait(30)
    assert panel.run is not None


def test_plan_and_strengths(panel: Page) -> None:
    panel.strengths = [2]
    assert [edit.strength for edit in panel.plan] == [2.0]
    with pytest.raises(TraitError, match="1 sliders"):
        panel.strengths = [1, 2]


def test_coefficients_of_several_vectors_over_several_sites(model: sk.Model) -> None:
    vectors = [vector(model, "3.resid_post", "0.resid_post", label="wide"), vector(model, "1.resid_post", seed=1)]
    panel = Page(model, vectors, prompt="One day", max_new_tokens=5)
    panel.start()
    panel.wait(30)
    run, rows = panel.run, panel._texts["coefficients"]
    for edit in range(2):
        columns = [j for j, column in enumerate(run.columns) if column.edit == edit]
        assert [row[edit] for row in rows] == pytest.approx(run.coefficients[:, columns].mean(1).tolist(), rel=1e-3)
    panel.close()


def test_a_steered_text_that_ends_before_the_baseline(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = panel._model.generate("One day", max_new_tokens=6)
    token = sk.Token(whole.token_ids[0], whole.tokens[0], 0.0, False)
    read = torch.ones(1)
    written = panel._model.generate("One day", [vector(panel._model, "0.resid_post").add(1)], max_new_tokens=1)

    class Ends(list):
        columns = written.columns

        def result(self) -> sk.Run:
            return dataclasses.replace(
                whole,
                token_ids=whole.token_ids[:2],
                tokens=whole.tokens[:2],
                special=whole.special[:2],
                logprobs=whole.logprobs[:2],
                coefficients=torch.ones(2, 1),
                columns=self.columns,
                stopped="end",
            )

        def baseline_result(self) -> sk.Run:
            return whole

    steps = Ends(sk.Step(i, token if i < 2 else None, token, read if i else None) for i in range(6))
    monkeypatch.setattr(panel._model, "stream", lambda *a, **k: steps)
    panel.run_from_page("a")
    panel.wait(30)
    assert panel.sent[-1]["end"]["counts"] == {"baseline": 6, "steered": 2, "coefficients": 2}


def test_sliders_have_names_of_their_own(model: sk.Model) -> None:
    panel = Page(model, [vector(model, "0.resid_post"), vector(model, "1.resid_post")])
    assert [slider["label"] for slider in panel._sliders] == ["joy", "joy (2)"]
    panel.close()


def test_what_is_no_vector_or_no_argument_is_refused(model: sk.Model) -> None:
    joy = vector(model, "0.resid_post")
    with pytest.raises(TypeError, match="did you mean 'prompt'"):
        Page(model, [joy], promt="One day")
    with pytest.raises(TypeError, match=r"SteeringPanel\(model, \[vector\]\)"):
        Page(model, joy)
    with pytest.raises(TypeError, match="list of vectors"):
        Page(model, ["joy"])


def test_close_ends_the_text(model: sk.Model) -> None:
    panel = Page(model, [vector(model, "0.resid_post")], prompt="One day", max_new_tokens=200)
    panel.start()
    panel.close()
    assert panel.wait(30)
