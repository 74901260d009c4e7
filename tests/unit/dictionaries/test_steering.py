"""Features of dictionaries as targets of edits, on a real and a random model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import steerkit as sk
from steerkit.dictionaries.activations import GroupMax, JumpReLU, ReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.errors import DictionaryError, EditError, FeatureError, PromptError, SiteError

N = 48
KINDS = {
    "relu": (ReLU(), "none"),
    "jumprelu": (JumpReLU(torch.linspace(0, 1, N)), "none"),
    "topk": (TopK(6), "none"),
    "topk layer_norm": (TopK(6), "layer_norm"),
    "relu unit_rms": (ReLU(), "unit_rms"),
    "groupmax": (GroupMax(8), "none"),
}


def make(model: sk.Model, kind: str = "relu", site: str = "1.resid_post", site_out: str | None = None) -> Dictionary:
    """A random dictionary of 48 features whose maxima are 2."""
    activation, normalisation = KINDS[kind]
    noise = torch.Generator().manual_seed(0)
    d = model.d_model
    parts = Parts(
        format="random",
        W_dec=InMemory(torch.randn(N, d, generator=noise) / d**0.5),
        b_dec=torch.randn(d, generator=noise),
        activation=activation,
        W_enc=InMemory(torch.randn(d, N, generator=noise) / d**0.5),
        b_enc=torch.randn(N, generator=noise) / 10,
        b_pre=torch.randn(d, generator=noise) / 10,
        normalisation=normalisation,
        site_in=sk.Site.parse(site),
        site_out=sk.Site.parse(site_out or site),
        max_activations=torch.full((N,), 2.0),
        labels={0: "rain", 1: "sun", 2: "sun"},
    )
    return Dictionary(parts, "random")


@pytest.fixture(params=["gpt2", "tinystories"])
def subject(request):
    return request.getfixturevalue(request.param)


def streams(subject, edits, site: str) -> torch.Tensor:
    """Activations at a site and every token, under edits."""
    runner, prompt = subject.model._runner, subject.model.encode(subject.ids())
    program = runner.compile([sk.Plan(edits)], capture=[sk.Site.parse(site)])
    return runner.read(program, [prompt])["captured"][site][0].clone()


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_keeps_the_error_of_the_reconstruction(subject, kind):
    """x becomes decode(f') + (x - decode(f)), with f' the edited codes."""
    dictionary = make(subject.model, kind)
    x = streams(subject, [], "1.resid_post")
    codes = dictionary.encode(x).to_dense()
    _, scale, _ = dictionary.encoder().normalise(x)
    scale = 1 if scale is None else scale
    edited = codes.clone()
    edited[:, 0] += 1.5
    edited[:, 3] = 2.0
    edited[:, 7] = 0.0
    edited[:, 9] *= 3
    expected = x + scale * (edited - codes) @ dictionary.parts.W_dec.whole()
    special = list(subject.model.encode(subject.ids()).special)
    expected[special] = x[special]
    edits = [dictionary[0].add(1.5), dictionary[3].set(2), dictionary[7].ablate(), dictionary[9].scale(3)]
    torch.testing.assert_close(streams(subject, edits, "1.resid_post"), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_edits_at_their_identity_leave_the_activation_bit_for_bit(subject, kind):
    dictionary = make(subject.model, kind)
    x = streams(subject, [], "1.resid_post")
    identity = [dictionary[0].add(0), dictionary[9].scale(1)]
    assert torch.equal(streams(subject, identity, "1.resid_post"), x)
    assert subject.model.generate(subject.ids(), identity).token_ids == subject.model.generate(subject.ids()).token_ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_features_read_as_all_of_them_do(subject, kind):
    dictionary = make(subject.model, kind)
    x = streams(subject, [], "1.resid_post")
    dense = dictionary.encode(x).to_dense()
    torch.testing.assert_close(dictionary.encode_features(x, [3, 40]), dense[:, [3, 40]], rtol=1e-4, atol=1e-5)
    small = dictionary.encode(x, budget=4 * N * 2)
    torch.testing.assert_close(small.to_dense(), dense, rtol=1e-4, atol=1e-5)
    reading = subject.model.read(subject.ids(), [dictionary[3], dictionary])
    torch.testing.assert_close(reading.coefficients[:, 0], dense[:, 3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reading.activations(dictionary[40]), dense[:, 40], rtol=1e-4, atol=1e-5)


def test_a_transcoder_reads_at_one_site_and_writes_at_another(subject):
    dictionary = make(subject.model, "relu", "1.mlp_in", "1.mlp_out")
    read = streams(subject, [], "1.mlp_in")
    before = streams(subject, [], "1.mlp_out")
    active = dictionary.encode_features(read, [4])
    expected = before - active * dictionary[4].direction
    special = list(subject.model.encode(subject.ids()).special)
    expected[special] = before[special]
    after = streams(subject, [dictionary[4].ablate()], "1.mlp_out")
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)


def test_units_agree_where_they_must(subject):
    dictionary = make(subject.model)
    feature, norm = dictionary[5], dictionary[5].decoder_norm
    site = "1.resid_post"
    raw = streams(subject, [feature.add(3)], site)
    torch.testing.assert_close(streams(subject, [feature.add(1.5, unit="max")], site), raw, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        streams(subject, [feature.add(3 * norm, unit="residual")], site), raw, rtol=1e-4, atol=1e-4
    )


def test_features_and_vectors_at_one_site_add_up(subject):
    dictionary, vector = make(subject.model), subject.vector(site="1.resid_post")
    site = "1.resid_post"
    x = streams(subject, [], site)
    apart = [streams(subject, [edit], site) - x for edit in (dictionary[5].set(2), vector.add(0.1))]
    together = streams(subject, [vector.add(0.1), dictionary[5].set(2)], site) - x
    torch.testing.assert_close(together, apart[0] + apart[1], rtol=1e-3, atol=1e-3)


def test_coefficients_come_with_the_text_with_and_without_a_cache(subject):
    dictionary = make(subject.model)
    edits = [dictionary[5].set(2), dictionary[6].add(1)]
    cached, plain = (subject.model.generate(subject.ids(), edits, max_new_tokens=8, use_cache=c) for c in (True, False))
    assert cached.token_ids == plain.token_ids
    torch.testing.assert_close(cached.coefficients, plain.coefficients, rtol=1e-3, atol=1e-3)
    assert cached.coefficients.shape == (len(cached.token_ids), 2)


def test_the_same_feature_twice_is_refused(subject):
    dictionary = make(subject.model)
    with pytest.raises(EditError, match="different values of one feature"):
        subject.model.generate("a", [dictionary[5].set(2), dictionary[5].ablate()])
    prompt, new = sk.Where(generated=False), sk.Where(prompt=False)
    subject.model.generate("a", [dictionary[5].set(2, where=prompt), dictionary[5].ablate(new)], max_new_tokens=2)


def test_features_by_label(subject):
    dictionary = make(subject.model)
    assert dictionary["rain"].index == 0
    assert dictionary["rain"].label == "rain"
    with pytest.raises(FeatureError, match=r"2 features .* are called 'sun': 1, 2"):
        dictionary["sun"]
    with pytest.raises(FeatureError, match=r"0 features .* are called 'snow'"):
        dictionary["snow"]
    with pytest.raises(FeatureError, match="has no feature 48: its features are 0 to 47"):
        dictionary[48]
    dictionary.set_label(3, "snow")
    assert dictionary["snow"].index == 3
    assert [feature.index for feature in dictionary.search("sun")] == [1, 2]


def test_a_dictionary_of_unknown_site_asks_for_one(subject):
    dictionary = make(subject.model)
    dictionary.site_in = dictionary.site_out = None
    dictionary.encode(torch.ones(2, subject.model.d_model))
    with pytest.raises(DictionaryError, match="Load it with site="):
        _ = dictionary[5].sites  # which every edit of it is asked for
    with pytest.raises(DictionaryError, match="Load it with site="):
        subject.model.read("a", dictionary)


def test_max_without_a_maximum_is_refused(subject):
    dictionary = make(subject.model)
    dictionary.published_maxima = None
    with pytest.raises(EditError, match="Calibrate its"):
        subject.model.generate("a", [dictionary[5].add(1, unit="max")])


def test_calibration_measures_what_reading_shows(tinystories):
    model, texts = tinystories.model, ["Once upon a time", "The cat sat on the big mat", "She was happy"]
    dictionary = make(model)
    calibration = dictionary.calibrate(model, texts)
    readings = [model.read(text, dictionary) for text in texts]
    for feature in (0, 5, 20):
        active = torch.cat([r.activations(dictionary[feature])[[not s for s in r.prompt.special]] for r in readings])
        assert calibration.maximum[feature].item() == pytest.approx(active.max().item(), rel=1e-4)
        assert calibration.density[feature].item() == pytest.approx((active > 0).float().mean().item(), abs=1e-3)
        assert int(calibration.histogram[feature].sum()) == int((active > 0).sum())
        assert dictionary[feature].max_activation == calibration.maximum[feature].item()
        contexts = calibration.contexts(feature)
        assert contexts["activation"].tolist() == sorted(contexts["activation"], reverse=True)
        assert contexts["activation"].iloc[0] == pytest.approx(active.max().item(), rel=1e-4)
    assert "3 texts" in calibration.corpus
    assert (calibration.dictionary, calibration.revision) == (dictionary.name, dictionary.revision)


def test_nearest_features_are_those_of_the_largest_cosine(subject):
    dictionary = make(subject.model)
    rows = torch.nn.functional.normalize(dictionary.parts.W_dec.whole(), dim=-1)
    expected = (rows @ rows[5]).argsort(descending=True)[1:4].tolist()
    assert [feature.index for feature in dictionary.nearest(dictionary[5], 3)] == expected


# In a process of its own: the tests' type checks wrap functions in what does not travel.
REMOTE = """
import sys
sys.path.insert(0, sys.argv[1])
import steerkit as sk, torch
from test_steering import make
near, far = sk.load(sys.argv[2]), sk.load(sys.argv[2], remote="local")
here, there = (m.generate("One day", [make(m)[5].set(2)], max_new_tokens=6) for m in (near, far))
assert there.token_ids == here.token_ids
torch.testing.assert_close(there.coefficients, here.coefficients)
"""


def test_features_travel_to_a_remote_model(tinystories):
    command = [sys.executable, "-c", REMOTE, str(Path(__file__).parent), tinystories.model.name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_feature_has_its_direction_at_its_own_site_only(subject):
    feature = make(subject.model)[3]
    assert torch.equal(feature.direction_at("1.resid_post"), feature.direction)
    with pytest.raises(SiteError, match=r"written at '1\.resid_post', not at '0\.resid_post'"):
        feature.direction_at("0.resid_post")


@pytest.mark.parametrize("texts", [[], [[0]]])
def test_nothing_is_calibrated_without_a_token(subject, texts):
    dictionary = make(subject.model)
    with pytest.raises(PromptError, match="no token that is not special"):
        dictionary.calibrate(subject.model, texts)
    assert dictionary.calibration is None
