"""Widgets that several threads write to: callbacks of pages, workers, and the cells of a notebook."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

import steerkit as sk
import steerkit_widgets as skw
from steerkit_widgets import _targets
from steerkit_widgets._base import Widget

PROMPT = "It rained all day."


def picker(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, Callable[[], Any]]:
    picker = skw.FeaturePicker(features)
    return picker, lambda: setattr(picker, "selected", [features["rain"]])


def token_view(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, Callable[[], Any]]:
    view = skw.TokenView(model.read(PROMPT, features))
    return view, lambda: setattr(view, "selected", [features["rain"]])


def sweep_view(model: sk.Model, features: sk.Dictionary) -> tuple[Widget, Callable[[], Any]]:
    view = skw.SweepView(model.sweep(PROMPT, features["rain"].add(1), strengths=[0, 1], max_new_tokens=2))
    return view, lambda: setattr(view, "strength", 1)


@pytest.mark.parametrize("made", [picker, token_view, sweep_view])
def test_who_sets_a_trait_waits_for_who_writes(made: Any, storybook_model: sk.Model, features: sk.Dictionary) -> None:
    widget, write = made(storybook_model, features)
    before = widget.get_state()
    with widget._writing:
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(0.1)
        assert writer.is_alive()
        assert widget.get_state() == before
    writer.join(30)
    assert widget.get_state() != before
    widget.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda panel, cat: panel.follow([cat]),
        lambda panel, cat: panel.add(cat),
        lambda panel, cat: panel.steer(cat.add(1)),
        lambda panel, cat: panel.set_strength(panel.rows[0], 2),
    ],
)
def test_edits_that_two_threads_change_at_once_are_all_there(
    act: Callable[[Any, Any], Any], storybook_model: sk.Model, features: sk.Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = skw.SteeringPanel(storybook_model, [features["rain"], features], PROMPT, 1)
    ask, others = panel._ask, [threading.Thread(target=lambda: panel.add(features["dragon"]))]

    def meanwhile(**changes: Any) -> None:
        if others:
            (other := others.pop()).start()
            other.join(0.2)
        ask(**changes)

    other = others[0]
    monkeypatch.setattr(panel, "_ask", meanwhile)
    act(panel, features["cat"])
    other.join(30)
    alone = skw.SteeringPanel(storybook_model, [features["rain"], features], PROMPT, 1)
    act(alone, features["cat"])
    assert list(panel.plan) == [*alone.plan, features["dragon"].add(0, unit="max")]
    panel.close()
    alone.close()


def test_what_is_pinned_while_a_reading_waits_stays_pinned(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    view, reading = skw.TokenView(storybook_model.read("Mia sang.", features)), storybook_model.read(PROMPT, features)
    with view._writing:
        reader = threading.Thread(target=lambda: setattr(view, "reading", reading))
        reader.start()
        reader.join(0.1)
        view.selected = [features["rain"]]
    reader.join(30)
    assert view.reading is reading
    assert view.selected == [features["rain"]]


def test_targets_that_join_at_once_have_places_of_their_own(
    storybook_model: sk.Model, features: sk.Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(_targets.TargetWriter):
        def __init__(self, *lists: Any) -> None:
            super().__init__(*lists)
            time.sleep(0.02)

    monkeypatch.setattr(_targets, "TargetWriter", Slow)
    panel = skw.SteeringPanel(storybook_model, [])
    vectors = [sk.Vector({"3.resid_post": torch.randn(storybook_model.d_model)}, f"v{n}") for n in range(4)]
    named: dict[str, sk.Vector] = {}
    threads = [
        threading.Thread(target=lambda v=vector: named.update({panel._known.named(v)[0]: v})) for vector in vectors
    ]
    threads.append(threading.Thread(target=lambda: panel._known.join(features)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert named == {f"v{place}": vector for place, vector in enumerate(panel._known.vectors)}
    assert len(named) == len(vectors)
    assert panel._known.dictionaries == [features]
    panel.close()
