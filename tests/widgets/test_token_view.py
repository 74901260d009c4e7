"""`TokenView` without a page: what it sends, what it takes, and what it says in Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import steerkit as sk
import steerkit_widgets as skw

TEXT = "It rained. <img src=x> She opened her umbrella."


@pytest.fixture(scope="module")
def reading(storybook_model: sk.Model, features: sk.Dictionary) -> sk.Reading:
    noise = sk.Vector({"1.resid_post": torch.randn(storybook_model.d_model)}, "noise")
    return storybook_model.read(TEXT, [features, noise])


def unpack(packed: dict[str, Any]) -> Any:
    if packed["dtype"] == "lines":
        return packed["data"].decode().split("\n")[:-1]
    return np.frombuffer(packed["data"], packed["dtype"])


def test_the_page_gets_the_numbers_of_the_reading(reading: sk.Reading, features: sk.Dictionary) -> None:
    view = skw.TokenView(reading)
    assert view._tokens == reading.tokens
    assert unpack(view._special).tolist() == list(reading.prompt.special)
    of_features, directions = view._sources
    starts, columns, values = (unpack(of_features[name]) for name in ("starts", "columns", "values"))
    indices = unpack(of_features["indices"])
    dense = torch.zeros(len(reading.tokens), features.n_features)
    for token in range(len(reading.tokens)):
        here = slice(starts[token], starts[token + 1])
        dense[token, indices[columns[here]].tolist()] = torch.tensor(values[here])
    assert torch.equal(dense, reading.codes[0][1].to_dense())
    assert unpack(of_features["labels"]) == [features.label(int(i)) or "" for i in indices]
    known = [features.max_activation(int(i)) for i in indices]
    assert [None if np.isnan(maximum) else maximum for maximum in unpack(of_features["maxima"]).tolist()] == known
    assert unpack(directions["values"]).tolist() == reading.coefficients[:, 0].tolist()
    assert unpack(directions["labels"]) == ["noise"]


def test_selected_features_and_span(reading: sk.Reading, features: sk.Dictionary) -> None:
    fired = reading.codes[0][1].features.tolist()
    rain, quiet = features["rain"], next(feature for feature in features if feature.index not in fired)
    view = skw.TokenView(reading, selected=[rain, quiet])
    assert view.selected == [rain, quiet]
    assert view._silent == [[0, quiet.index, quiet.label]]
    assert view.span is None
    view.set_state({"_selected": [[0, rain.index]], "_span": [1, 3]})
    assert (view.selected, view.span) == ([rain], (1, 3))
    view.selected = []
    assert view.selected == []


def test_pins_that_stay_at_another_text_are_no_news(
    storybook_model: sk.Model, reading: sk.Reading, features: sk.Dictionary
) -> None:
    noise, rain, cat = reading.targets[0], features["rain"], features["cat"]
    view = skw.TokenView(reading, selected=[noise, rain])
    card = skw.FeatureCard(cat)
    skw.link(view, card)
    card.feature = cat
    heard: list[list[Any]] = []
    view.observe(lambda _: heard.append(view.selected), "_selected")
    view.reading = storybook_model.read("He sat in the sun.", [features, noise])
    assert (view.selected, heard, card.feature) == ([noise, rain], [], cat)
    assert view._silent == [[0, rain.index, "rain"]]
    view.reading = storybook_model.read("It rained.", features)
    assert heard == [view.selected] == [[rain]], "the other was not read there"
    assert view._silent == []
    card.close()


def test_vectors_are_pinned_and_ranked_too(
    reading: sk.Reading, storybook_model: sk.Model, features: sk.Dictionary
) -> None:
    noise, rain = reading.targets[0], features["rain"]
    view = skw.TokenView(reading, selected=[noise, rain])
    assert view._selected == [[1, 0], [0, rain.index]]
    assert view.selected == [noise, rain]
    panel = skw.SteeringPanel(storybook_model, [features])
    skw.link(view, panel)
    assert [edit.target for edit in panel.plan] == [noise, rain]
    panel.close()


def test_what_fires_over_a_span(reading: sk.Reading, features: sk.Dictionary) -> None:
    view = skw.TokenView(reading)
    view.set_state({"_span": [1, 3]})
    frame = view.firing.set_index("label")
    rain = reading.activations(features["rain"])[1:4]
    found = frame.loc["rain"]
    assert found["mean"] == pytest.approx(rain.mean().item())
    assert found["size"] == pytest.approx(rain.mean().item() / features["rain"].max_activation)
    assert (found["max"], found["count"]) == (pytest.approx(rain.max().item()), int((rain > 0).sum()))
    assert frame.loc["noise", "mean"] == pytest.approx(reading.coefficients[1:4, 0].mean().item())
    assert frame["size"].is_monotonic_decreasing
    fired = reading.codes[0][1].to_dense()[1:4].any(0).nonzero()[:, 0].tolist()
    assert set(view.firing["feature"].dropna()) == set(fired)


@pytest.mark.parametrize(
    "state",
    [
        {"_selected": [[0, 10**6]]},
        {"_selected": [[7, 0]]},
        {"_selected": [[0]]},
        {"_selected": "rain"},
        {"_selected": [[1, 0]] * 4},
        {"_span": [3, 1]},
        {"_span": [0, 10**6]},
        {"_span": [[0]]},
    ],
)
def test_what_the_page_may_not_write(reading: sk.Reading, state: dict[str, Any]) -> None:
    view = skw.TokenView(reading)
    sent: list[Any] = []
    view.send = lambda content, buffers=None: sent.append(content)
    view._handle_msg({"content": {"data": {"method": "update", "state": state}}, "buffers": []})
    assert sent[0]["op"] == "error"
    assert sent[0]["error"]["message"]
    assert (view._selected, view._span) == ([], [])


def test_messages_are_answered_with_an_error(reading: sk.Reading) -> None:
    view = skw.TokenView(reading)
    sent: list[Any] = []
    view.send = lambda content, buffers=None: sent.append(content)
    for data in [{"method": "custom", "content": "nonsense"}, {"method": "update", "state": "nonsense"}, "nonsense"]:
        view._handle_msg({"content": {"data": data}, "buffers": []})
    assert [message["op"] for message in sent] == ["error"] * 3


def test_what_it_refuses(reading: sk.Reading, features: sk.Dictionary) -> None:
    with pytest.raises(TypeError, match="TokenView takes a reading"):
        skw.TokenView(TEXT)
    with pytest.raises(TypeError, match="TokenView takes a reading"):
        skw.TokenView(reading).reading = TEXT
    with pytest.raises(TypeError, match="did you mean 'selected'"):
        skw.TokenView(reading, select=[])
    with pytest.raises(ValueError, match="was not read here"):
        skw.TokenView(reading, selected=["rain"])
    with pytest.raises(ValueError, match=r"4 features cannot colour the text at once\. Give at most 3"):
        skw.TokenView(reading, selected=[features[i] for i in range(4)])
    view = skw.TokenView(reading, selected=[features["rain"]])
    with pytest.raises(ValueError, match="at most 3"):
        view.selected = [features[i] for i in range(4)]
    assert (view.selected, view._silent) == ([features["rain"]], [])


def test_a_saved_page_has_its_state_and_no_way_out_of_it(reading: sk.Reading, tmp_path: Any) -> None:
    skw.TokenView(reading).save_html(tmp_path / "view.html")
    page = (tmp_path / "view.html").read_text()
    assert "<img src=x>" not in page
    assert page.count("<script") == page.count("</script>") == 2
