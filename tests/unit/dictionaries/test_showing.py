"""Features as cards, and readings of several dictionaries as pages and pictures."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
import torch
from test_steering import N, make

import steerkit as sk
from steerkit.dictionaries import catalog
from steerkit.errors import DictionaryError, SettingError

EVIL = "<script>alert('x')</script>"
TEXTS = ["Once upon a time, there was a <b>dog</b>.", "She was happy & glad."]


class Tags(HTMLParser):
    """The tags of a page, which all close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.attributes = [], [], set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture
def dictionary(tinystories):
    return make(tinystories.model)


def test_a_card_of_a_feature_that_nobody_measured(dictionary):
    html = dictionary[0]._repr_html_()
    for part in ("rain", "Feature 0 of random", "1.resid_post", "maximum activation 2 (published)"):
        assert part in html
    assert "svg" not in Tags(html).tags


def test_a_calibration_shows_itself(dictionary, tinystories):
    calibration = dictionary.calibrate(tinystories.model, TEXTS)
    frame = calibration.to_frame()
    assert frame.columns.tolist() == ["feature", "maximum", "density"]
    assert frame["maximum"].tolist() == calibration.maximum.tolist()
    active = int((calibration.maximum > 0).sum())
    assert f"{active} of {N} features were active" in calibration._repr_html_()
    assert sum(patch.get_height() for patch in calibration.plot().axes[0].patches) == active


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda features: features.nearest(0, -3), SettingError, "limit=-3 is no number"),
        (lambda features: features.search("rain", -1), SettingError, "limit=-1 is no number"),
        (lambda features: features.search(3), DictionaryError, "3 is no text"),
        (lambda features: features.set_label(1, 5), DictionaryError, "5 is no text"),
        (lambda features: sk.load_dictionary(None), DictionaryError, "None is no dictionary"),
    ],
)
def test_arguments_that_mean_nothing(unchecked, dictionary, ask, error, message):
    with pytest.raises(error, match=message):
        ask(dictionary)


def test_a_reading_gives_no_less_than_nothing(dictionary, tinystories):
    reading = tinystories.model.read(TEXTS[0], dictionary)
    assert len(reading.top(0)) == 0
    with pytest.raises(SettingError, match="limit=-1 is no number"):
        reading.top(-1)


def test_a_card_shows_what_was_measured(dictionary, tinystories):
    calibration = dictionary.calibrate(tinystories.model, TEXTS)
    index = int(calibration.density.argmax())
    html = dictionary[index]._repr_html_()
    page = Tags(html)
    used = calibration.histogram[index].nonzero()
    assert page.tags.count("rect") == int(used[-1] - used[0]) + 1
    assert page.tags.count("mark") == len(calibration.passages(index)) == 2
    assert f"{calibration.density[index].item():.2%} of tokens" in html
    assert calibration.corpus in html
    assert f"maximum activation {calibration.maximum[index].item():.4g} (calibrated)" in html
    before, token = calibration.passages(index)[0][1:3]
    assert calibration.contexts(index)[["before", "token"]].iloc[0].tolist() == [before, token]


def test_a_card_of_a_feature_that_was_never_active(dictionary, tinystories):
    dictionary.calibrate(tinystories.model, TEXTS)
    dictionary.calibration.histogram[3] = 0
    dictionary.calibration.top_values[3] = 0
    assert "Activations by size: none" in dictionary[3]._repr_html_()


def test_nothing_in_a_card_is_taken_for_html(dictionary, tinystories):
    dictionary.set_label(0, EVIL)
    dictionary.labels.add({0: EVIL + "2"}, source=EVIL)
    dictionary.name = EVIL
    dictionary.calibrate(tinystories.model, TEXTS)
    for index in range(N):
        page = Tags(dictionary[index]._repr_html_())
        assert set(page.tags) <= {"style", "div", "h3", "p", "svg", "rect", "title", "mark"}
        assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "href")}
    assert "&lt;script&gt;" in dictionary[0]._repr_html_()


def test_a_card_needs_no_site(dictionary):
    dictionary.site_in = dictionary.site_out = None
    assert "an unknown site" in dictionary[0]._repr_html_()


def test_several_dictionaries_features_and_vectors_in_one_reading(tinystories):
    model = tinystories.model
    early, late = make(model, "jumprelu", "0.resid_post"), make(model, "topk")
    transcoder = make(model, "relu", "1.mlp_in", "1.mlp_out")
    vector, text = tinystories.vector(), "One day, Mia saw a big dog."
    reading = model.read(text, [early, vector, late, transcoder, transcoder[4]])
    for dictionary in (early, late, transcoder):
        x = model.read(text, dictionary).codes[0][1].to_dense()
        for index in (0, 7):
            torch.testing.assert_close(reading.activations(dictionary[index]), x[:, index], rtol=1e-4, atol=1e-5)
    assert len(reading.activations(vector)) == len(reading.tokens)
    torch.testing.assert_close(reading.activations(transcoder[4]), reading.coefficients[:, 0], rtol=1e-4, atol=1e-5)
    assert set(reading.top(200)["site"]) == {"0.resid_post", "1.resid_post", "1.mlp_in", "1.mlp_out"}
    lines = reading.plot().axes[0].get_legend().get_texts()
    assert len(lines) == 6
    assert [line.get_text() for line in lines[:2]] == ["feature 4", "v0"]  # in the order of depth
    html = reading._repr_html_()
    Tags(html)
    strongest = reading.top(40).dropna(subset="feature").iloc[0]
    assert f"{strongest.label} ({strongest.feature})".replace("'", "&#x27;") in html


def test_a_reading_in_which_nothing_is_active(tinystories):
    dictionary = make(tinystories.model)
    dictionary.parts.b_enc[:] = -1e9
    reading = tinystories.model.read("One day", dictionary)
    assert len(reading.top()) == 0
    assert reading.plot().axes[0].get_legend() is None
    assert "Reading along random" in reading._repr_html_()


def test_the_catalog_by_model():
    found = catalog.of_model("Meta-Llama/Llama-3.3-70B-Instruct")
    assert "goodfire/llama-3.3-70b-instruct-l50" in [entry.name for entry in found]
    assert {entry.model for entry in found} == {"meta-llama/Llama-3.3-70B-Instruct"}
    assert catalog.of_model("nobody/nothing") == []
    assert isinstance(found[0], catalog.Entry)
    assert sk.catalog.of_model is catalog.of_model
