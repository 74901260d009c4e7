"""`CompareView` and `SweepView` without a page: what they send, and what was chosen by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

import steerkit as sk
import steerkit_widgets as skw

PROMPT = "One day, Mia went to the park"


@pytest.fixture(scope="module")
def comparison(storybook_model: sk.Model, features: sk.Dictionary) -> sk.Comparison:
    return storybook_model.compare(PROMPT, [features["rain"].add(0.35, unit="norm")], max_new_tokens=12)


@pytest.fixture(scope="module")
def sweep(storybook_model: sk.Model, features: sk.Dictionary) -> sk.Sweep:
    edit = features["rain"].add(1, unit="norm")
    return storybook_model.sweep(PROMPT, edit, strengths=[0.4, 0, 0.2], max_new_tokens=12)


def numbers(packed: dict[str, Any]) -> list[float]:
    return np.frombuffer(packed["data"], packed["dtype"]).tolist()


def test_the_page_gets_the_numbers_of_the_comparison(comparison: sk.Comparison) -> None:
    view = skw.CompareView(comparison)
    steered = view._steered
    assert (view._prompt, steered["tokens"]) == (comparison.steered.prompt.text, comparison.steered.tokens)
    assert view._baseline["tokens"] == comparison.baseline.tokens
    assert numbers(steered["differs"]) == comparison.differs
    assert numbers(steered["lanes"]["KL"]) == pytest.approx(comparison.kl.tolist())
    assert numbers(steered["lanes"]["rain"]) == pytest.approx(comparison.steered.coefficients[:, 0].tolist())
    assert numbers(steered["logprobs"]) == pytest.approx(comparison.steered.logprobs.tolist())
    assert numbers(steered["unsteered"]) == pytest.approx(comparison.steered.unsteered_logprobs.tolist())


def test_the_span_of_a_comparison(comparison: sk.Comparison) -> None:
    view = skw.CompareView(comparison)
    view.set_state({"_span": [1, 3]})
    assert view.span == (1, 3)
    with pytest.raises(TraitError, match="no span"):
        view._span = [3, 99]


def test_runs_come_by_strength(sweep: sk.Sweep) -> None:
    view = skw.SweepView(sweep, effect=lambda run: run.text.count("rain"))
    assert [run["strength"] for run in view._runs] == [0, 0.2, 0.4]
    by_strength = dict(zip(sweep.strengths, sweep.runs, strict=True))
    for shown in view._runs:
        run = by_strength[shown["strength"]]
        assert shown["text"] == run.text
        assert (shown["nats"], shown["repetition"]) == pytest.approx((run.nats, run.repetition), rel=1e-3)
        assert shown["effect"] == run.text.count("rain")
    assert view._about == "rain, in norm"


def test_what_has_no_unit_names_none(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    sweep = storybook_model.sweep(PROMPT, features["rain"].scale(2), strengths=[0, 2], max_new_tokens=1)
    assert skw.SweepView(sweep)._about == "rain"


@pytest.mark.parametrize("effect", [float("nan"), float("inf")])
def test_an_effect_that_is_no_number_has_no_point(sweep: sk.Sweep, effect: float, tmp_path: Path) -> None:
    view = skw.SweepView(sweep, effect=lambda _: effect)
    assert [run["effect"] for run in view._runs] == [None] * 3
    view.save_html(tmp_path / "sweep.html")
    (saved,) = re.findall(r'<script type="application/vnd[^>]*>(.*?)</script>', (tmp_path / "sweep.html").read_text())
    json.loads(saved, parse_constant=pytest.fail)


def test_a_page_that_could_not_be_read_is_not_saved(sweep: sk.Sweep, tmp_path: Path) -> None:
    view = skw.SweepView(sweep)
    view._runs = [{**run, "nats": float("nan")} for run in view._runs]
    with pytest.raises(ValueError, match="JSON"):
        view.save_html(tmp_path / "sweep.html")
    assert not (tmp_path / "sweep.html").exists()


def test_the_strength_that_is_chosen(sweep: sk.Sweep) -> None:
    view = skw.SweepView(sweep)
    assert (view.strength, view.run) == (None, None)
    assert view._runs[0]["effect"] is None
    view.set_state({"_chosen": 2})
    assert (view.strength, view.run) == (0.4, sweep[0])
    view.strength = 0.2
    assert view.run is sweep[2]
    with pytest.raises(ValueError, match="was not swept"):
        view.strength = 3
    with pytest.raises(TraitError, match="there are 3"):
        view._chosen = 3


@pytest.mark.parametrize("state", [{"_chosen": 9}, {"_chosen": "x"}, {"_chosen": [1]}])
def test_what_the_page_may_not_write(sweep: sk.Sweep, state: dict[str, Any]) -> None:
    view, sent = skw.SweepView(sweep), []
    view.send = lambda content, buffers=None: sent.append(content)
    view.set_state(state)
    assert sent[0]["op"] == "error"
    assert view._chosen is None


def test_what_they_refuse(storybook_model: sk.Model, sweep: sk.Sweep, comparison: sk.Comparison) -> None:
    with pytest.raises(TypeError, match="CompareView takes a comparison"):
        skw.CompareView(sweep)
    with pytest.raises(TypeError, match="CompareView takes a comparison"):
        skw.CompareView(storybook_model.alternatives(comparison.steered, 1))
    with pytest.raises(TypeError, match="SweepView takes a sweep"):
        skw.SweepView(comparison)
    with pytest.raises(TypeError, match="SweepView takes a sweep"):
        skw.SweepView(sweep).sweep = comparison
    with pytest.raises(TypeError, match="did you mean 'effect'"):
        skw.SweepView(sweep, efect=len)
