"""Whatever a page sends to a widget is answered: with what it asks for, or an error in words; nothing is logged."""

from __future__ import annotations

import copy
import json
import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets._base import Widget

PROMPT = "One day, Mia"
N_MESSAGES = 120
NUMBERS = [0, -1, 1, 2**63, -(2**64), 10**400, 0.5, 1e308, float("nan"), float("inf"), float("-inf"), True]
TEXTS = ["", "\0", "\ud800", "a" * 100_000, "<script>alert(1)</script>", "__class__", "../../etc/passwd", "e0"]


def nested(depth: int, inner: Any = 0) -> Any:
    for level in range(depth):
        inner = [inner] if level % 2 else {"not": inner}
    return inner


JUNK = [
    *(None, [], {}, [None], {"vector": 0}, b"bytes", [0] * 100_000),
    *NUMBERS,
    *TEXTS,
    *map(nested, (30, 300)),
]


class Place:
    """A place in nested data: what holds it, and under which key."""

    def __init__(self, holder: Any, key: Any) -> None:
        self.holder, self.key = holder, key


def places(data: Any) -> Iterator[Place]:
    for key in list(data if isinstance(data, dict) else range(len(data))):
        yield Place(data, key)
        if isinstance(data[key], dict | list):
            yield from places(data[key])


def damaged(messages: list[Any], chance: random.Random) -> Any:
    """One of these messages, with up to three of its parts replaced, taken out or doubled."""
    whole = [copy.deepcopy(chance.choice(messages))]
    known = list(places(whole))
    for place in chance.sample(known, min(len(known), chance.randint(1, 3))):
        found, junk = place.holder[place.key], copy.deepcopy(chance.choice(JUNK))
        how = chance.choice(["replace", "replace", "remove", "double", "extend"])
        if how == "remove" and isinstance(place.holder, dict):
            del place.holder[place.key]
        elif how == "double" and isinstance(found, list):
            place.holder[place.key] = found + copy.deepcopy(found)
        elif how == "extend" and isinstance(found, dict):
            found[chance.choice(["x", "text", "where", "when"])] = junk
        else:
            place.holder[place.key] = junk
    return whole[0]


def _custom(content: Any) -> dict[str, Any]:
    return {"method": "custom", "content": content}


def _update(**state: Any) -> dict[str, Any]:
    return {"method": "update", "state": state, "buffer_paths": []}


def _ask(op: str, **args: Any) -> dict[str, Any]:
    return _custom({"v": 1, "op": op, "rid": "a", "args": args})


def _vector(model: sk.Model, label: str) -> sk.Vector:
    return sk.Vector({"4.resid_post": torch.randn(model.d_model)}, label)


def _panel(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    rain, joy, calm, gloom = features["rain"], *(_vector(model, label) for label in ("joy", "calm", "gloom"))
    edits = [
        rain.add(0.1, unit="norm", where=sk.Where(prompt=False, positions=[(0, 8)], tokens=[3])),
        joy.cap(-1, 1, when=((rain > 0.5) & ~(rain > 9)).so_far()),
        calm.move_to(gloom),
    ]
    panel = skw.SteeringPanel(model, [features], PROMPT, 4, presets={"one": edits})
    panel.plan = edits
    document = copy.deepcopy(panel._document)
    chat = {**copy.deepcopy(document), "prompt": {"messages": [{"role": "user", "content": "Hi"}]}}
    midway = {**copy.deepcopy(document), "before": [{"until": 2, "edits": copy.deepcopy(document["edits"])}]}
    recipe = sk.Recipe(model, sk.Plan(edits), prompt=PROMPT, max_new_tokens=4).to_json()
    messages = [
        *(_custom({"v": 1, "op": "run", "rid": "a", "document": d}) for d in (midway, chat, document)),
        _custom({"v": 1, "op": "change", "rid": "a", "document": document}),
        _custom({"v": 1, "op": "stop", "rid": "a"}),
        _custom({"v": 1, "op": "join"}),
        _custom({"v": 1, "op": "pull", "rid": "a", "have": [{"baseline": 0, "steered": 0, "coefficients": 0}]}),
        *(_update(_document=d) for d in (midway, chat, document)),
        _update(_presets=copy.deepcopy(panel._presets)),
        _custom({"v": 1, "op": "remember", "past": [document], "future": [midway]}),
        _custom({"v": 1, "op": "recall"}),
        _ask("search", words="rain"),
        _ask("script"),
        _ask("recipe"),
        _ask("load", text=recipe),
    ]
    return panel, json.loads(json.dumps(messages))


def _token_view(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    reading = model.read("It rained.", features)
    pair = [0, int(reading.top(1)["feature"].iloc[0])]
    return skw.TokenView(reading), [_update(_selected=[pair]), _update(_span=[1, 2])]


def _picker(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    asked = [
        _ask("find", by="words", text="rain"),
        _ask("find", by="nearest", feature=3),
        _ask("find", by="text", text="It rained."),
        _ask("find", by="token", text=" rain"),
        _ask("find", by="contrast", text="It rained.", against="She sang."),
    ]
    return skw.FeaturePicker(features, model), [*asked, _update(_selected=[3, 4], _listed=[5])]


def _card(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    return skw.FeatureCard(features["rain"], model), [_ask("measure", texts=["It rained."]), _ask("show", feature=3)]


def _compare_view(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    return skw.CompareView(model.compare(PROMPT, [], max_new_tokens=4)), [_update(_span=[1, 2])]


def _sweep_view(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    sweep = model.sweep(PROMPT, features["rain"].add(1), strengths=[0, 1], max_new_tokens=4)
    return skw.SweepView(sweep), [_update(_chosen=1)]


def _contrast_view(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    sides = {"positives": ["It rained."], "negatives": ["She sang."]}
    return skw.ContrastView(features, model), [_ask("contrast", **sides), _update(**sides), _update(_selected=[3])]


def _lab(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, list[Any]]:
    lab = skw.Lab(model, features, PROMPT, 4)
    lab.plan = [features["rain"].add(0.1, unit="norm")]
    sides = {"positives": ["It rained."], "negatives": ["She sang."]}
    lab.contrast.set_state(sides)
    return lab, [_ask("sweep", edit=lab.panel.rows[0].id), _ask("direction")]


MADE: dict[str, Callable[[sk.Model, sk.Dictionary], tuple[Widget, list[Any]]]] = {
    "SteeringPanel": _panel,
    "TokenView": _token_view,
    "FeaturePicker": _picker,
    "FeatureCard": _card,
    "CompareView": _compare_view,
    "SweepView": _sweep_view,
    "ContrastView": _contrast_view,
    "Lab": _lab,
}


def test_every_widget_is_tried() -> None:
    every = [getattr(skw, name) for name in skw.__all__]
    assert {each.__name__ for each in every if isinstance(each, type) and issubclass(each, Widget)} == set(MADE)


class Heard:
    """What a widget answers. Each message must be one that can go to a page."""

    def __init__(self, widget: Widget) -> None:
        self.replies: list[dict[str, Any]] = []
        self.unsendable: list[str] = []
        self._widget, self._any = widget, threading.Condition()
        widget.send = self._hear  # type: ignore[method-assign]
        widget.send_state = lambda key=None: None  # type: ignore[method-assign]

    def _hear(self, content: dict[str, Any], buffers: Any = None) -> None:
        with self._any:
            try:
                assert len(json.dumps(content, allow_nan=False, ensure_ascii=False).encode()) < 2_000_000
            except Exception as error:
                self.unsendable.append(f"{error!r}: {content!r:.500}")
            self.replies.append(content)
            self._any.notify_all()

    def send(self, data: Any) -> None:
        """Send a message, and wait for what answers it."""
        self.replies.clear()
        self._widget._handle_msg({"content": {"data": data}, "buffers": []})
        content = data.get("content") if isinstance(data, dict) else None
        operation = content.get("op") if isinstance(content, dict) else None
        if isinstance(operation, str) and operation in ("run", "change", "stop", "pull", "join", "remember", "recall"):
            self._widget.wait(0.5)
        elif not isinstance(data, dict) or data.get("method") != "update":
            with self._any:
                assert self._any.wait_for(lambda: any(r["op"] in ("answer", "error") for r in self.replies), 60), data
        assert self.unsendable == []
        assert all(reply["error"]["message"] for reply in self.replies if reply["op"] == "error")


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of errors; transformers may say there that a text is long."""
    return [record.getMessage() for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.parametrize("name", MADE)
def test_damaged_messages(
    name: str, storybook_model: sk.Model, features: sk.Dictionary, caplog: pytest.LogCaptureFixture
) -> None:
    widget, messages = MADE[name](storybook_model, features)
    heard = Heard(widget)

    for seed in range(N_MESSAGES):  # hypothesis forbids the random numbers that beartype draws on other threads
        message = damaged(messages, random.Random(seed))
        heard.send(message)
        assert failures(caplog) == [], message
    for message in messages:  # after all that it takes and answers what is whole
        heard.send(message)
        assert [reply for reply in heard.replies if reply["op"] == "error"] == []
    widget.close()
    assert failures(caplog) == []


NO_MESSAGES = [
    *(None, 3, "nonsense", [], {}, {"method": "sing"}, {"method": ["custom"]}, {"method": "custom"}),
    {"method": "custom", "content": nested(300)},
    {"method": "update"},
    {"method": "update", "state": "nonsense"},
    {"method": "update", "state": {}, "buffer_paths": [["_x"]]},
    {"method": "update", "state": {"_esm": "alert(1)"}},
    {"method": "update", "state": {"unknown": 1}},
]


@pytest.mark.parametrize("name", MADE)
def test_what_is_no_message(
    name: str, storybook_model: sk.Model, features: sk.Dictionary, caplog: pytest.LogCaptureFixture
) -> None:
    widget, _ = MADE[name](storybook_model, features)
    heard = Heard(widget)
    for data in NO_MESSAGES:
        heard.send(data)
        assert [reply["op"] for reply in heard.replies] == ["error"]
    widget._handle_msg({"content": {}})
    assert heard.replies[-1]["op"] == "error"
    widget.close()
    assert failures(caplog) == []
