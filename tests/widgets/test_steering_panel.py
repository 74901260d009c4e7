"""`SteeringPanel` without a page: what it sends, and what it answers to what a page sends."""

from __future__ import annotations

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panel_page import LONG, Page, vector
from traitlets import TraitError

import steerkit as sk
import steerkit_widgets as skw
from steerkit.errors import EditError, SettingError
from steerkit_widgets import _worker


def test_a_run_streams_what_the_result_holds(panel: Page) -> None:
    panel.run_from_page("a", [0.5])
    assert panel.wait(30)
    parts = panel.gathered("a")
    end = next(message["end"] for message in reversed(panel.sent) if message["op"] == "tokens")
    assert "".join(parts["steered"]) == panel.run.text
    assert "".join(parts["baseline"]) == panel.baseline.text
    assert len(parts["coefficients"]) == len(panel.run.token_ids) == end["counts"][0]["coefficients"]
    read = [row["e0"] for row in parts["coefficients"]]
    assert read == pytest.approx(panel.run.coefficients[:, 0].tolist(), rel=1e-3)
    assert end["stopped"] == [panel.run.stopped]
    assert end["error"] is None
    sample = panel._texts["samples"][0]
    assert sample["steered"] == parts["steered"]
    assert panel._texts["described"] == panel.run.plan.describe().splitlines()


def test_what_a_token_might_have_been_is_that_of_the_library(panel: Page) -> None:
    panel.run_from_page("a", [0.5])
    panel.wait(30)
    measures, found = panel._texts["samples"][0]["measures"], panel._model.alternatives(panel.run, 4)
    for place, shown in enumerate(measures["tokens"]):
        assert shown["kl"] == pytest.approx(found.kl[place].item(), rel=1e-3, abs=1e-6)
        assert [a[0] for a in shown["alternatives"]] == [a.token for a in found[place]]
        assert [a[1] for a in shown["alternatives"]] == pytest.approx([a.steered for a in found[place]], rel=1e-3)
    assert measures["nats"][0] == pytest.approx(panel.run.nats, rel=1e-3)
    assert measures["repetition"] == pytest.approx([panel.run.repetition, panel.baseline.repetition], abs=1e-3)
    assert panel.alternatives[0].kl.tolist() == found.kl.tolist()


def test_at_rest_the_texts_are_the_same(panel: Page) -> None:
    panel.start()
    panel.wait(30)
    assert panel.run.text == panel.baseline.text


def test_several_seeds_are_the_texts_of_each(panel: Page) -> None:
    panel.run_from_page("a", [0.5], seeds=[3, 0, 5])
    panel.wait(60)
    joy = vector(panel._model, "1.resid_post")
    for sample, seed in enumerate([3, 0, 5]):
        alone = panel._model.compare("One day", [joy.add(0.5)], max_new_tokens=20, seed=seed)
        assert panel.runs[sample].text == alone.steered.text == "".join(panel.gathered("a", sample)["steered"])
        assert panel.baselines[sample].text == alone.baseline.text


def test_the_baseline_is_written_once(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    stream = panel._model.stream
    monkeypatch.setattr(panel._model, "stream", lambda *a, **k: asked.append(k["baseline"]) or stream(*a, **k))
    for rid, change in enumerate([{}, {"strengths": [1.0]}, {"seeds": [1]}, {"seeds": [1], "strengths": [-1.0]}]):
        panel.run_from_page(str(rid), **change)
        panel.wait(30)
        assert "".join(panel.gathered(str(rid))["baseline"]) == panel.baseline.text
    assert asked == [True, False, True, False]


def test_the_newest_request_wins(panel: Page) -> None:
    for strength in range(10):
        panel.run_from_page(f"r{strength}", [float(strength)], max_new_tokens=40)
    panel.wait(30)
    assert panel.run.plan[0].strength == 9
    assert "".join(panel.gathered("r9")["steered"]) == panel.run.text


def test_stop_keeps_what_there_is(panel: Page) -> None:
    panel.run_from_page("a", **LONG)
    while not panel.gathered("a")["steered"]:
        time.sleep(0.001)
    panel.ask(rid="a", op="stop")
    assert panel.wait(30)
    assert panel.run.stopped == "cancelled"
    assert 0 < len(panel.run.token_ids) < 200
    assert "".join(panel.gathered("a")["steered"]) == panel.run.text
    panel.ask(op="recipe", rid="recipe", args={})
    assert sk.Recipe.from_json(panel.reply("recipe")["result"]).run(panel._model).same


def test_stop_does_not_wait_for_a_model_at_work(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    stream = panel._model.stream
    monkeypatch.setattr(panel._model, "stream", lambda *a, **k: free.wait(30) and stream(*a, **k))
    panel.run_from_page("a")
    panel.ask(rid="a", op="stop")
    assert panel.sent[-1]["end"]["stopped"] == ["cancelled"]
    free.set()
    panel.run_from_page("b")
    panel.wait(30)
    assert panel.run.stopped != "cancelled"


def test_a_pull_brings_what_was_lost(panel: Page) -> None:
    panel.run_from_page("a")
    panel.wait(30)
    tokens = panel.gathered("a")["steered"]
    panel.ask(rid="a", op="pull", have=[{"baseline": 20, "steered": 3, "coefficients": 20}])
    assert panel.sent[-1]["parts"][0]["steered"] == [3, tokens[3:]]
    panel.ask(rid="older", op="pull", have=[])
    assert [message["op"] for message in panel.sent[-2:]] == ["start", "tokens"]
    assert panel.sent[-1]["rid"] == "a"


def test_steered_from_a_token_on(panel: Page) -> None:
    row = panel._document["edits"][0]
    strong = {**row, "edit": {**row["edit"], "strength": 3.0}}
    panel.run_from_page("a", [0.5])
    panel.wait(30)
    first = panel.run
    panel.run_from_page("b", [3.0], before=[{"until": 8, "edits": panel.document([0.5])["edits"]}])
    panel.wait(30)
    assert panel.run.token_ids[:8] == first.token_ids[:8]
    joy = vector(panel._model, "1.resid_post")
    with panel._model.stream("One day", [joy.add(0.5)], max_new_tokens=20) as stream:
        for step in stream:
            if step.index == 7:
                stream.update([joy.add(3)])
        assert panel.run.token_ids == stream.result().token_ids
    assert panel.run.plan[0].strength == strong["edit"]["strength"]
    shown = panel._texts["samples"][0]["measures"]["tokens"]
    assert [token is None for token in shown] == [i < 8 for i in range(len(shown))]


def test_a_running_text_takes_a_change(panel: Page) -> None:
    panel.run_from_page("a", **LONG)
    while not panel.gathered("a")["steered"]:
        time.sleep(0.001)
    panel.ask(rid="a", op="change", document=panel.document([4.0], **LONG))
    assert panel.wait(60)
    assert panel.run.plan[0].strength == 4
    changed = panel._texts["document"]["before"]
    assert [stage["edits"][0]["edit"].get("strength", 0) for stage in changed] == [0]
    panel.ask(rid="b", op="run", document=panel._texts["document"])
    written = panel.run.token_ids
    assert panel.wait(60)
    assert panel.run.token_ids == written, "the document says how to write it again"


def test_a_random_control_is_as_long(panel: Page) -> None:
    panel.run_from_page("a", [2.0], control=True)
    panel.wait(30)
    edit, joy = panel.run.plan[0], vector(panel._model, "1.resid_post")
    assert edit.target.label == "random (joy)"
    assert edit.target.norm("1.resid_post") == pytest.approx(joy.norm("1.resid_post"), rel=1e-5)
    assert edit.target != joy


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("nonsense", "nonsense"),
        ({"op": "sing", "rid": "a"}, "sing"),
        ({"op": "run", "rid": "a"}, "None"),
        ({"op": "run", "rid": 3}, "names no run"),
        ({"op": "run", "rid": "a", "document": {"prompt": 3}}, "settings"),
        ({"op": "search", "rid": "a"}, "search"),
        ({"op": ["run"], "rid": "a"}, "run"),
    ],
)
def test_a_malformed_message_is_answered(panel: Page, message: Any, told: str) -> None:
    panel._on_message(panel, message, [])
    assert panel.sent[-1]["op"] == "error"
    assert told in panel.sent[-1]["error"]["message"]


def test_a_malformed_pull_is_answered(panel: Page) -> None:
    panel.run_from_page("a")
    panel.wait(30)
    for have in (None, [], [{"baseline": 1}], [{"baseline": "1", "steered": 0, "coefficients": 0}]):
        panel.ask(rid="a", op="pull", have=have)
        assert "have=" in panel.sent[-1]["error"]["message"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"edits": [{"id": "e0"}]}, "has no 'hue'"),
        ({"edits": [{"id": "e0", "hue": 0, "edit": {"target": {"vector": 0}, "operator": "add", "x": 1}}]}, "'x'"),
        ({"edits": [{"id": "e0", "hue": 0, "edit": {"target": {"vector": 9}, "operator": "add"}}]}, "there are 1"),
        ({"edits": [{"id": "e0", "hue": 0, "edit": {"target": {"vector": 0}, "operator": "sing"}}]}, "no operator"),
        ({"seeds": []}, "no seed"),
        ({"seeds": ["1"]}, "where a whole number belongs"),
        ({"temperature": -1}, "out of range"),
        ({"prompt": {"messages": [{"role": "user"}]}}, "has no 'content'"),
        ({"prompt": {"text": ""}}, "The prompt is empty"),
    ],
)
def test_errors_are_told_in_words(panel: Page, change: dict[str, Any], told: str) -> None:
    panel.run_from_page("a", **change)
    panel.wait(30)
    last = panel.sent[-1]
    error = last["error"] if last["op"] == "error" else last["end"]["error"]
    assert told in error["message"]
    panel.run_from_page("b")
    panel.wait(30)
    assert panel.run is not None


def test_python_sets_what_the_screen_asks_for(panel: Page) -> None:
    joy, calm = vector(panel._model, "1.resid_post"), vector(panel._model, "0.resid_post", label="calm", seed=1)
    edits = [joy.add(2, when=calm > 0.5), calm.ablate(where=sk.Where(prompt=False, new_positions=[(2, None)]))]
    panel.plan = edits
    panel.prompt, panel.settings = "The dog", {"seeds": [4], "temperature": 0}
    assert list(panel.plan) == edits
    assert [row["hue"] for row in panel._document["edits"]] == [0, 1]
    assert {shown["label"] for shown in panel._targets.values()} == {"joy", "calm"}
    panel.start()
    panel.wait(30)
    alone = panel._model.generate("The dog", edits, max_new_tokens=20, temperature=0, seed=4)
    assert panel.run.text == alone.text
    with pytest.raises(TypeError, match="text or a list of chat messages"):
        panel.prompt = [3]
    before = panel.document()
    for name, told in {"temprature": "did you mean 'temperature'", "prompt": "it takes max_new_tokens"}.items():
        with pytest.raises(TypeError, match=f"unknown argument '{name}': {told}"):
            panel.settings = {name: 1}
    assert panel.document() == before
    with pytest.raises(TraitError, match="edits"):
        panel._document = {**panel._document, "edits": 3}


@pytest.mark.parametrize(
    ("seeds", "read"), [(3, [3]), (np.int64(3), [3]), (np.arange(2), [0, 1]), (range(2), [0, 1]), ([4, 2], [4, 2])]
)
def test_whole_numbers_of_any_type_are_settings(model: sk.Model, seeds: Any, read: list[int]) -> None:
    panel = Page(model, [], seeds=seeds, max_new_tokens=np.int32(4))
    assert (panel.settings["seeds"], panel.settings["max_new_tokens"]) == (read, 4)
    panel.settings = {"seeds": 7}
    panel.settings = {"max_new_tokens": np.int64(5)}
    assert (panel.settings["seeds"], panel.settings["max_new_tokens"]) == ([7], 5)
    panel.settings = {"seeds": seeds}
    assert panel.settings["seeds"] == read
    for wrong in (1.5, True, "3", None):
        with pytest.raises(TraitError, match="where a whole number belongs"):
            panel.settings = {"seeds": wrong}
    panel.close()


def test_presets_are_plans(panel: Page) -> None:
    joy = vector(panel._model, "1.resid_post")
    presets = {"loud": sk.Plan([joy.add(3)], preserve_norm=True), "still": sk.Plan()}
    panel.presets = presets
    panel._document = panel.document(control=True, preserve_norm=True)
    assert panel.presets == presets


def test_a_plan_keeps_the_norm_in_the_panel_too(panel: Page) -> None:
    plan = sk.Plan([vector(panel._model, "1.resid_post").add(3)], preserve_norm=True)
    panel.plan = plan
    assert panel.plan == plan
    assert "gets back the norm" in panel.still()
    panel.start()
    panel.wait(30)
    written = panel._model.generate("One day", plan, max_new_tokens=20).text
    assert panel.run.text == written != panel._model.generate("One day", plan.edits, max_new_tokens=20).text
    panel.run_from_page("control", control=True)
    panel.wait(30)
    assert panel.run.plan.preserve_norm

    recipe = sk.Recipe(panel._model, plan, prompt="One day", max_new_tokens=20)
    panel.plan = []
    assert panel.plan == sk.Plan()
    panel.ask(op="load", rid="load", args={"text": recipe.to_json()})
    assert panel.reply("load")["op"] == "answer"
    panel.wait(30)
    assert panel.run.text == recipe.text == written


def test_a_plan_that_acts_is_refused(panel: Page) -> None:
    joy, before = vector(panel._model, "1.resid_post"), panel.document()
    stopping = sk.Plan([joy.add(1), sk.StopText(when=joy > 3)])
    told = "holds edits alone, and this plan would stop the text when joy > 3. Take that out, or .*generate"
    with pytest.raises(EditError, match=told):
        panel.plan = stopping
    with pytest.raises(EditError, match="would call print when joy > 3"):
        panel.plan = sk.Call(print, when=joy > 3)
    with pytest.raises(EditError, match=told):
        panel.presets = {"stopping": stopping}
    recipe = sk.Recipe(panel._model, stopping, prompt="Another", max_new_tokens=2)
    panel.ask(op="load", rid="load", args={"text": recipe.to_json()})
    assert "would stop the text when joy > 3" in panel.reply("load")["error"]["message"]
    assert panel.document() == before


def test_a_script_and_a_recipe_write_the_text_again(panel: Page) -> None:
    panel.ask(op="recipe", rid="none", args={})
    assert "Press Run first" in panel.reply("none")["error"]["message"]
    panel._document = panel.document([1.5])
    panel.start()
    panel.wait(30)
    panel.ask(op="script", rid="script", args={})
    space: dict[str, Any] = {}
    exec(panel.reply("script")["result"], space)
    assert space["run"].text == panel.run.text
    panel.ask(op="recipe", rid="recipe", args={})
    text = panel.reply("recipe")["result"]
    assert sk.Recipe.from_json(text).run(panel._model).same
    panel.plan, panel.prompt = [], "Another"
    panel.ask(op="load", rid="load", args={"text": text})
    assert panel.reply("load")["op"] == "answer"
    assert panel.prompt == "One day"
    assert panel.plan[0].strength == 1.5
    other = json.dumps({**(made := json.loads(text)), "made_with": {**made["made_with"], "model": "other"}})
    panel.ask(op="load", rid="other", args={"text": other})
    assert f"model: {panel._model.name} here, other in the recipe" in panel.reply("other")["result"]
    damaged: list[tuple[dict[str, Any], str]] = [
        ({"prompt": {"text": "\ud83d"}}, r"cannot be shown in a panel\. .* half a character"),
        ({"text": "\ud83d"}, "half a character"),
        ({"prompt": {"messages": [{"content": "Hello"}]}}, r"messages\[0\] .* has no 'role'"),
        ({"prompt": {"messages": []}}, r"cannot be shown in a panel: .* got \[\]"),
        ({"tokens": [1e301]}, "number without bounds"),
    ]
    before = panel._document
    for n, (wrong, told) in enumerate(damaged):
        panel.ask(op="load", rid=f"damaged {n}", args={"text": json.dumps({**made, **wrong})})
        error = panel.reply(f"damaged {n}")["error"]
        assert error["kind"] == "PlanError"
        assert re.search(told, error["message"])
    assert panel._document == before
    panel.ask(op="load", rid="hostile", args={"text": '{"format": "<script>alert(1)</script>"}'})
    assert panel.reply("hostile")["op"] == "error"


def test_features_are_searched_and_steered() -> None:
    model = sk.load()
    features = model.dictionary()
    panel = Page(model, features, prompt="One day, Mia", max_new_tokens=4)
    panel.ask(op="search", rid="s", args={"words": "rain"})
    first = panel.reply("s")["result"][0]
    rain = features["rain"]
    assert first["label"] == "rain"
    assert first["target"] == {"dictionary": 0, "feature": rain.index, "label": "rain"}
    assert first["unit"] == "max"
    assert first["units"]["max"]["times"] == pytest.approx(1 / rain.max_activation)
    assert first["units"]["norm"]["times"] is None
    edit = {"target": first["target"], "operator": "add", "strength": 1.2, "unit": "max"}
    panel._document = {**panel._document, "edits": [{"id": "e0", "hue": 0, "edit": edit}]}
    assert list(panel.plan) == [rain.add(1.2, unit="max")]
    assert panel._targets["d0:" + str(rain.index)]["label"] == "rain"
    panel.follow([rain, features["joy"]])
    assert [edit.target.label for edit in panel.plan] == ["rain", "joy"]
    panel.follow([])
    assert [edit.target.label for edit in panel.plan] == ["rain"], "only those at rest that came so go"
    panel.close()


def test_what_acts_on_the_whole_dictionary_is_shown_and_steered(
    storybook_model: sk.Model, features: sk.Dictionary
) -> None:
    texts = ["It rained all day.", "The cat sat on a mat."]
    rainy = sk.References(storybook_model, features, texts).align(texts[:1], label="rainy")
    panel = Page(storybook_model, features, prompt="One day, Mia", max_new_tokens=4)
    for edit in (rainy.swap(), rainy.weight(0.5), features.error_term.ablate()):
        panel.plan = edit
        assert list(panel.plan) == [edit]
        panel.start()
        panel.wait(30)
        assert panel.run.text == storybook_model.generate("One day, Mia", edit, max_new_tokens=4).text
    shown = {target["label"] for target in panel._targets.values()}
    assert shown == {"swap by rainy", "weight by rainy", features.error_term.label}
    panel.close()


def test_coefficients_of_several_vectors_over_several_sites(model: sk.Model) -> None:
    vectors = [vector(model, "3.resid_post", "0.resid_post", label="wide"), vector(model, "1.resid_post", seed=1)]
    panel = Page(model, vectors, prompt="One day", max_new_tokens=5)
    panel.start()
    panel.wait(30)
    run, rows = panel.run, panel._texts["samples"][0]["coefficients"]
    for edit in range(2):
        columns = [j for j, column in enumerate(run.columns) if column.edit == edit]
        assert [row[f"e{edit}"] for row in rows] == pytest.approx(
            run.coefficients[:, columns].mean(1).tolist(), rel=1e-3
        )
    panel.close()


def test_an_edit_that_is_off_has_no_effect(panel: Page) -> None:
    row = panel._document["edits"][0]
    off = {**row, "edit": {**row["edit"], "strength": 3.0, "enabled": False}}
    panel.run_from_page("a", edits=[off])
    panel.wait(30)
    assert panel.run.text == panel.baseline.text


def test_what_undo_goes_to_is_remembered(panel: Page) -> None:
    panel.ask(op="recall")
    assert panel.sent[-1] == {"v": 1, "op": "history", "past": [], "future": []}
    past, future = [panel.document([1.0]), panel.document([2.0])], [panel.document([3.0])]
    panel.ask(op="remember", past=past, future=future)
    panel.ask(op="recall")
    assert panel.sent[-1] == {"v": 1, "op": "history", "past": past, "future": future}
    panel.ask(op="remember", past=[{"prompt": 3}], future=[])
    assert panel.sent[-1]["op"] == "error"
    panel.ask(op="recall")
    assert panel.sent[-1]["past"] == past


def test_what_was_deleted_is_not_saved(model: sk.Model, tmp_path: Path) -> None:
    first = vector(model, "0.resid_post", label="my first label")
    panel = Page(model, [first], prompt="My first prompt", max_new_tokens=2)
    start = panel.document()
    panel.ask(op="remember", past=[panel.document(prompt={"text": "My second prompt"}), start], future=[start])
    panel.prompt = "My last prompt"
    panel.plan = [vector(model, "0.resid_post", label="my last label").add(1)]
    panel.start()
    assert panel.wait(30)
    panel.save_html(tmp_path / "panel.html")
    page = (tmp_path / "panel.html").read_text()
    for kept in ("My last prompt", "my last label"):
        assert kept in page
    for deleted in ("My first prompt", "my first label", "My second prompt"):
        assert deleted not in page
    # Notebooks save every trait. Reset goes to what the code of the cell says.
    assert "My second prompt" not in json.dumps(panel.get_state(panel.keys))
    panel.close()


def test_nothing_is_left_behind(model: sk.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "IDLE_SECONDS", 600)  # nothing but `close` ends a thread

    def hooks() -> int:
        modules = model.nnsight._module.modules()
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    before, hooked = set(threading.enumerate()), hooks()
    for _ in range(3):
        panel = Page(model, [vector(model, "0.resid_post")], prompt="One day", **LONG)
        panel.start()
        panel.close()
        assert panel.wait(30)
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread
    assert hooks() == hooked


def test_a_storm_of_requests_ends_in_the_last_one(panel: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    write = panel._writer.write

    def counted(*arguments: Any) -> Any:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return write(*arguments)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(panel._writer, "write", counted)
    for n in range(300):
        panel.run_from_page(f"r{n}", [n / 100])
        time.sleep(0.002)
    assert panel.wait(30)
    assert most == 1
    assert panel.run.plan[0].strength == 2.99
    assert "".join(panel.gathered("r299")["steered"]) == panel.run.text


def test_what_is_no_target_or_no_argument_is_refused(model: sk.Model) -> None:
    joy = vector(model, "0.resid_post")
    with pytest.raises(TypeError, match="did you mean 'prompt'"):
        Page(model, [joy], promt="One day")
    with pytest.raises(TypeError, match=r"SteeringPanel\(model, \[vector\]\)"):
        Page(model, joy)
    with pytest.raises(TypeError, match="list of vectors"):
        Page(model, ["joy"])
    with pytest.raises(TypeError, match=r"takes a model, such as sk.load\(\); got 'storybook'"):
        skw.SteeringPanel("storybook", [joy])
    for limit in (0, -2, float("nan"), float("inf")):
        with pytest.raises(SettingError, match=f"limit={limit} leaves the sliders no room. Give a number above 0"):
            Page(model, [joy], limit=limit)
