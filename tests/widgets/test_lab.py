"""`Lab` without a page: its views are linked, and everything they show can be read back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import steerkit as sk
import steerkit_widgets as skw
from steerkit.errors import PromptError
from steerkit_widgets import _sweeping, _worker

WET = ["It rained all day.", "The rain fell on the roof."]
EARLY = "3.resid_post"
DRY = ["He sang all day.", "The cat sat on the roof."]


@pytest.fixture
def lab(storybook_model: sk.Model, features: sk.Dictionary) -> Iterator[skw.Lab]:
    lab = skw.Lab(storybook_model, features, prompt="One day, Mia", max_new_tokens=12)
    yield lab
    lab.close()


def ask(lab: skw.Lab, operation: str, **arguments: Any) -> dict[str, Any]:
    """What the page gets for a question."""
    sent: list[dict[str, Any]] = []
    lab.send = lambda content, buffers=None: sent.append(content)
    lab._on_message(lab, {"v": 1, "rid": "a", "op": operation, "args": arguments}, [])
    while not sent or sent[-1]["op"] == "taken":
        time.sleep(0.005)
    return sent[-1]


def test_a_choice_shows_everywhere(lab: skw.Lab, features: sk.Dictionary) -> None:
    lab.picker.set_state({"_selected": [features["cat"].index, features["rain"].index]})
    assert [edit.target for edit in lab.plan] == lab.selected == [features["cat"], features["rain"]]
    assert lab.card.feature == features["rain"]
    assert lab.tokens.selected == lab.selected
    assert [edit["label"] for edit in lab._edits] == ["cat", "rain"]


def test_each_text_is_read(lab: skw.Lab, features: sk.Dictionary) -> None:
    assert lab.run is None
    assert lab.tokens.reading.prompt.text == "One day, Mia"
    lab.selected = [features["rain"]]
    lab.tokens.set_state({"_span": [1, 2]})
    lab.card.feature = features["cat"]  # by hand, as its neighbours are looked at
    lab.plan = [features["rain"].add(0.5, unit="max")]
    lab.panel.start()
    assert lab.wait(60)
    reading = lab.tokens.reading
    assert reading.prompt.text == "One day, Mia" + lab.run.text
    assert list(reading.prompt.ids) == [*lab.run.prompt.ids, *lab.run.token_ids]
    assert reading.codes[0][0] is features
    assert lab.tokens.selected == [features["rain"]]
    assert lab.tokens.span is None, "it spoke of another text"
    assert lab.card.feature == features["cat"], "a new text is no choice of a feature"


def test_a_sweep_starts_from_the_edits_and_leads_back_to_them(lab: skw.Lab, features: sk.Dictionary) -> None:
    lab.plan = [features["cat"].ablate(), features["rain"].add(1, unit="max")]
    (edit,) = lab._edits
    assert edit["label"] == "rain", "what has no strength cannot be swept"
    assert ask(lab, "sweep", edit=edit["id"])["op"] == "answer"
    strengths = lab.sweep.sweep.strengths
    assert (strengths[0], strengths[4], strengths[-1]) == (0, 1, 2)
    for strength, run in zip(strengths, lab.sweep.sweep, strict=True):
        assert {(e.target, e.operator, e.strength) for e in run.plan} == {
            (features["cat"], "ablate", 0.0),
            (features["rain"], "add", strength),
        }
    effects = [run["effect"] for run in lab.sweep._runs]
    assert effects[-1] > effects[0]

    lab.sweep.set_state({"_chosen": 6})
    assert lab.wait(60)
    assert lab.plan[1].strength == lab.run.plan[1].strength == 1.5
    lab.plan = [features["cat"].add(0)]
    lab.sweep.set_state({"_chosen": 2})
    assert lab.plan[0].strength == 0, "the edit that was swept is gone"


def test_a_sweep_steers_what_was_swept_and_nothing_else(lab: skw.Lab, features: sk.Dictionary) -> None:
    rain, dragon = features["rain"], features["dragon"]
    lab.plan = [rain.cap(0, 1, unit="max")]
    name = lab._edits[0]["id"]
    ask(lab, "sweep", edit=name)
    for others in ([dragon.cap(0, 1, unit="max")], [rain.add(1, unit="max")]):
        lab.plan = others  # under the name that the other had
        assert lab._edits[0]["id"] == name
        lab.sweep.strength = None
        lab.sweep.set_state({"_chosen": 6})
        assert list(lab.plan) == others

    where = sk.Where(prompt=False)
    lab.plan = [rain.cap(7, 8, unit="norm", where=where)]
    lab.sweep.set_state({"_chosen": 8})
    assert list(lab.plan) == [rain.cap(0, 2, unit="max", where=where)], "strengths count in the unit that was swept"


def test_an_edit_at_rest_is_swept_along_its_slider(lab: skw.Lab, features: sk.Dictionary) -> None:
    lab.plan = [features["rain"].add(0, unit="max")]
    ask(lab, "sweep", edit=lab._edits[0]["id"])
    assert lab.sweep.sweep.strengths[-1] == lab.panel.limit(lab.plan[0]) > 0


def test_a_cap_is_swept_from_its_lower_bound(lab: skw.Lab, features: sk.Dictionary) -> None:
    lab.plan = [features["rain"].cap(1, 2)]
    assert ask(lab, "sweep", edit=lab._edits[0]["id"])["op"] == "answer"
    assert [run.plan[0].low for run in lab.sweep.sweep] == [1] * 9
    assert (lab.sweep.sweep.strengths[0], lab.sweep.sweep.strengths[4], lab.sweep.sweep.strengths[-1]) == (1, 2, 3)


@pytest.mark.parametrize(
    ("low", "strength", "swept"),
    [
        (None, -1.0, (0.0, -1.0, -2.0)),
        (None, 0.0, (0.0, 2.5, 5.0)),
        (-2.0, -1.0, (-2.0, -1.0, 0.0)),
        (2.0, 2.0, (2.0, 4.5, 7.0)),
        (2 / 3, 1.0, (2 / 3, 1.0, 1.333333)),
        (2e-7, 1.0, (2e-7, 1.0, 2.0)),
    ],
)
def test_which_strengths_are_swept(
    features: sk.Dictionary, low: float | None, strength: float, swept: tuple[float, float, float]
) -> None:
    rain = features["rain"]
    edit = rain.add(strength) if low is None else rain.cap(low, strength)
    strengths = _sweeping.strengths(edit, 5.0)
    assert (strengths[0], strengths[4], strengths[-1]) == pytest.approx(swept)
    assert all(math.copysign(1, s) > 0 for s in strengths if s == 0), "-0 is read as a strength of its own"
    for value in strengths:
        edit.with_strength(value)  # none is below the lower bound


def test_a_sweep_keeps_the_norm_where_the_panel_does(lab: skw.Lab, features: sk.Dictionary) -> None:
    lab.plan = sk.Plan([features["rain"].add(1, unit="max")], preserve_norm=True)
    ask(lab, "sweep", edit=lab._edits[0]["id"])
    assert all(run.plan.preserve_norm for run in lab.sweep.sweep)


def test_contrasts_add_features_and_a_direction(lab: skw.Lab, features: sk.Dictionary) -> None:
    lab.selected = [features["cat"]]
    lab.contrast.positives, lab.contrast.negatives = WET, DRY
    lab.contrast.run()
    lab.contrast.set_state({"_selected": [features["rain"].index]})
    assert lab.selected == [features["cat"], features["rain"]]
    lab.contrast.set_state({"_selected": []})
    assert lab.selected == [features["cat"]]

    for _ in range(2):
        assert ask(lab, "direction")["op"] == "answer"
    assert [edit.target.label for edit in lab.plan] == ["cat", "contrast 1", "contrast 2"]
    lab.contrast.positives = []
    assert ask(lab, "direction")["op"] == "error"


def test_it_takes_vectors_and_several_dictionaries(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    vector = sk.Vector({"3.resid_post": features["rain"].direction}, "wet")
    second = storybook_model.dictionary("reft_l4")
    lab = skw.Lab(storybook_model, [vector, features["cat"], features, second])
    assert [edit.target.label for edit in lab.plan] == ["wet", "cat"]
    assert lab.card.feature == features["cat"]
    assert [dictionary for dictionary, _ in lab.tokens.reading.codes] == [features, second]
    lab.close()


def test_features_of_one_name_can_be_told_apart(
    storybook_model: sk.Model, lab: skw.Lab, features: sk.Dictionary
) -> None:
    def told(feature: sk.Feature) -> str:
        name, shown = lab.panel._known.named(feature)
        assert lab.panel._targets[name] == shown, "what is shown goes with the dictionaries that there are"
        return shown["detail"].partition(" · ")[0]

    rain, cat = features["rain"], features["cat"]
    early, reft = (storybook_model.dictionary(name)["rain"] for name in (EARLY, "reft_l4"))
    lab.plan = [rain.add(1)]
    assert told(rain) == f"feature {rain.index}"
    lab.plan = [early.add(1), cat.add(1)]
    assert told(cat) == f"feature {cat.index} at 4.resid_post"
    lab.plan = [rain.add(1), early.add(1), reft.add(1), cat.add(1)]
    assert told(rain) == f"feature {rain.index} of storybook/4.resid_post", "another is at this site too"
    assert told(early) == f"feature {early.index} at {EARLY}"
    assert told(reft) == f"feature {reft.index} of storybook/reft_l4"
    details = [lab.panel._known.named(feature)[1]["detail"] for feature in (rain, early, reft)]
    assert [edit["label"] for edit in lab._edits] == [*(f"rain · {detail}" for detail in details), "cat"]


def test_it_saves_itself(lab: skw.Lab, tmp_path: Any) -> None:
    lab.save_html(tmp_path / "lab.html")
    written = (tmp_path / "lab.html").read_text()
    for name in ("panel", "tokens", "picker", "card", "sweep", "contrast"):
        assert getattr(lab, name).model_id in written
    assert ask(lab, "page")["result"] == written
    assert "<html" not in lab.still()
    lab.card.close()
    with pytest.raises(RuntimeError, match="This FeatureCard is closed"):
        lab.save_html(tmp_path / "lab.html")
    assert "This FeatureCard is closed" in ask(lab, "page")["error"]["message"]


def test_what_it_refuses(lab: skw.Lab, storybook_model: sk.Model, features: sk.Dictionary) -> None:
    with pytest.raises(TypeError, match="takes a dictionary"):
        skw.Lab(storybook_model, [features["rain"]])
    with pytest.raises(TypeError, match="Lab takes a model"):
        skw.Lab("storybook")
    with pytest.raises(TypeError, match="did you mean 'prompt'"):
        skw.Lab(storybook_model, features, promt="One day")
    with pytest.raises(PromptError):
        skw.Lab(storybook_model, features, prompt="")
    for wrong in ({"edit": "e9"}, {"edit": 3}, {}):
        assert ask(lab, "sweep", **wrong)["op"] == "error"
    assert ask(lab, "wrong")["op"] == "error"


def test_closing_ends_its_threads(
    storybook_model: sk.Model, features: sk.Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_worker, "IDLE_SECONDS", 600)  # nothing but `close` ends them
    before = set(threading.enumerate())
    lab = skw.Lab(storybook_model, features, max_new_tokens=2)
    lab.panel.start()
    assert lab.wait(60)
    own = set(threading.enumerate()) - before
    assert own
    lab.close()
    for thread in own:
        thread.join(30)
        assert not thread.is_alive(), thread
