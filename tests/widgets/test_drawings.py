"""Pictures by CircuitsVis: what they show, and that nothing in their HTML asks the network."""

import sys

import pytest
import torch

import steerkit as sk
import steerkit_widgets as skw

PROMPT = "Mia saw <b>a dog</b> & ran."


def test_attention_is_the_models(storybook_model: sk.Model) -> None:
    view = skw.AttentionView(storybook_model, PROMPT, layer=1)
    assert torch.equal(view.weights, storybook_model.attention(PROMPT, 1))
    html = view._repr_html_()
    assert "CircuitsVis.render" in html
    assert "unpkg" not in html
    assert "<b>" not in html.rpartition("CircuitsVis.render")[2]
    assert repr(view) == "AttentionView(Attention in layer 1)"


def test_a_table_takes_the_strongest_features_where_none_are_named(
    storybook_model: sk.Model, features: sk.Dictionary
) -> None:
    reading = storybook_model.read("It rained all day.", features)
    table = skw.TokenTable([reading])
    strongest = [int(index) for index in reading.top(len(table.along))["feature"]]
    assert [feature.index for feature in table.along] == strongest
    assert "unpkg" not in table._repr_html_()


def test_without_circuitsvis_they_say_what_to_install(
    storybook_model: sk.Model, features: sk.Dictionary, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "circuitsvis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "circuitsvis", None)
    told = r"needs the package circuitsvis, which is not installed. Install steerkit-lab\[lab\]."
    with pytest.raises(ImportError, match=f"AttentionView {told}"):
        skw.AttentionView(storybook_model, PROMPT, layer=1)
    with pytest.raises(ImportError, match=f"TokenTable {told}"):
        skw.TokenTable([storybook_model.read(PROMPT, features)])


def test_what_is_no_reading_is_refused(storybook_model: sk.Model, features: sk.Dictionary) -> None:
    with pytest.raises(TypeError, match="TokenTable takes readings"):
        skw.TokenTable(["a text"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="nothing to show"):
        skw.TokenTable([])
    with pytest.raises(TypeError, match="unknown argument 'layers'"):
        skw.AttentionView(storybook_model, PROMPT, 1, layers=2)
    with pytest.raises(TypeError, match="AttentionView takes a model"):
        skw.AttentionView("storybook", PROMPT, 1)
