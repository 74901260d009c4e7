"""Whole dictionaries in the place of an activation, by edits of the error term."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_steering import KINDS, make, streams

from steerkit.dictionaries.parts import Parts
from steerkit.errors import DictionaryError, EditError, VectorError

SITE = "1.resid_post"


@pytest.fixture(params=["gpt2", "tinystories"])
def subject(request):
    return request.getfixturevalue(request.param)


def plain(subject) -> list[int]:
    return [i for i, special in enumerate(subject.model.encode(subject.ids()).special) if not special]


@pytest.mark.parametrize("kind", KINDS)
def test_without_its_error_the_activation_is_the_reconstruction(subject, kind):
    dictionary = make(subject.model, kind)
    x = streams(subject, [], SITE)
    expected = x.clone()
    expected[plain(subject)] = dictionary.decode(dictionary.encode(x))[plain(subject)]
    found = streams(subject, [dictionary.error_term.ablate()], SITE)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_its_error_the_activation_stays_bit_for_bit(subject, kind):
    error = make(subject.model, kind).error_term
    x = streams(subject, [], SITE)
    for edit in (error.scale(1), error.set(1), error.add(0)):
        assert torch.equal(streams(subject, [edit], SITE), x)


def test_half_of_the_error_is_half_way(subject):
    error = make(subject.model).error_term
    x, without = streams(subject, [], SITE), streams(subject, [error.ablate()], SITE)
    for edit in (error.scale(0.5), error.set(0.5), error.add(-0.5)):
        torch.testing.assert_close(streams(subject, [edit], SITE), (x + without) / 2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_edits_of_features_act_inside_the_reconstruction(subject, kind):
    dictionary = make(subject.model, kind)
    x = streams(subject, [], SITE)
    codes = dictionary.encode(x).to_dense()
    _, scale, shift = dictionary.encoder().normalise(x)
    edited = codes.clone()
    edited[:, 3], edited[:, 7] = 2.0, 0.0
    made = edited @ dictionary.parts.W_dec.whole() + dictionary.parts.b_dec
    made = made * (1 if scale is None else scale) + (0 if shift is None else shift)
    edits = [dictionary[3].set(2), dictionary.error_term.ablate(), dictionary[7].ablate()]
    found = streams(subject, edits, SITE)
    torch.testing.assert_close(found[plain(subject)], made[plain(subject)], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("skip", [False, True])
def test_a_transcoder_takes_the_place_of_the_mlp(subject, skip):
    dictionary = make(subject.model, "relu", "1.mlp_in", "1.mlp_out")
    if skip:
        d = subject.model.d_model
        object.__setattr__(dictionary.parts, "W_skip", torch.randn(d, d, generator=torch.Generator().manual_seed(1)))
    made = dictionary.decode(dictionary.encode(streams(subject, [], "1.mlp_in")))
    found = streams(subject, [dictionary.error_term.ablate()], "1.mlp_out")
    torch.testing.assert_close(found[plain(subject)], made[plain(subject)], rtol=1e-4, atol=1e-4)


def test_a_centred_dictionary_lets_the_mean_over_dimensions_pass(subject):
    dictionary = make(subject.model)
    object.__setattr__(dictionary.parts, "centred", True)
    x = streams(subject, [], SITE)
    made = dictionary.decode(dictionary.encode(x)) + x.mean(-1, keepdim=True)
    found = streams(subject, [dictionary.error_term.ablate()], SITE)
    torch.testing.assert_close(found[plain(subject)], made[plain(subject)], rtol=1e-4, atol=1e-4)


def test_a_text_is_the_same_with_and_without_a_cache(subject):
    dictionary = make(subject.model)
    edits = [dictionary.error_term.scale(0.7), dictionary[5].add(1)]
    cached, whole = (subject.model.generate(subject.ids(), edits, max_new_tokens=8, use_cache=c) for c in (True, False))
    assert cached.token_ids == whole.token_ids
    assert cached.coefficients.shape == (len(cached.token_ids), 2)


def test_a_row_of_a_padded_batch_is_the_row_alone(subject):
    edit = make(subject.model, "relu unit_rms").error_term.scale(0.5)
    prompts = [subject.ids(), subject.ids()[:3]]
    for prompt, run in zip(prompts, subject.model.generate_many(prompts, [edit], max_new_tokens=6), strict=True):
        assert run.token_ids == subject.model.generate(prompt, [edit], max_new_tokens=6).token_ids


def test_a_sweep_runs_from_the_activation_to_the_reconstruction(subject):
    error = make(subject.model).error_term
    sweep = subject.model.sweep(subject.ids(), error.scale(1), [1, 0], max_new_tokens=6)
    assert sweep[0].token_ids == subject.model.generate(subject.ids(), max_new_tokens=6).token_ids
    assert sweep[1].token_ids == subject.model.generate(subject.ids(), [error.ablate()], max_new_tokens=6).token_ids


def test_what_means_nothing_is_refused(subject):
    first, second = make(subject.model).error_term, make(subject.model, "topk").error_term
    with pytest.raises(
        EditError,
        match=r"one edit of a whole dictionary; here are ablate error of random; scale error of r",
    ):
        subject.model.generate("a", [first.ablate(), second.scale(0.5)])
    with pytest.raises(EditError, match="its strength is in the unit 'raw'"):
        subject.model.generate("a", [first.set(1, unit="norm")])
    with pytest.raises(EditError, match="takes one edit of a whole dictionary"):
        subject.model.generate("a", [first.ablate(), first.ablate()])
    with pytest.raises(EditError, match="its operator none of move_to, rotate"):
        subject.model.generate("a", [make(subject.model)[3].move_to(first)])
    subject.model.generate("a", [first.ablate(), replace(second.ablate(), enabled=False)], max_new_tokens=2)
    with pytest.raises(VectorError, match="another direction at every token"):
        first.direction_at(first.site_out)


def test_supervised_directions_have_no_error_term(subject):
    dictionary = make(subject.model)
    dictionary.parts = Parts(**{**vars(dictionary.parts), "reconstructs": False})
    with pytest.raises(DictionaryError, match="do not make up the activation"):
        _ = dictionary.error_term


def test_another_width_is_refused(gpt2, tinystories):
    with pytest.raises(VectorError, match=r"32 wide at '1\.resid_post', where .* has 128"):
        tinystories.model.generate("a", [make(gpt2.model).error_term.ablate()])


# In a process of its own: the tests' type checks wrap functions in what does not travel.
REMOTE = """
import sys
sys.path.insert(0, sys.argv[1])
import steerkit as sk, torch
from test_steering import make
near, far = sk.load(sys.argv[2]), sk.load(sys.argv[2], remote="local")
for sites in (["1.resid_post"], ["1.mlp_in", "1.mlp_out"]):
    error = make(near, "relu", *sites).error_term
    here, there = (m.generate("One day", [error.scale(0.5)], max_new_tokens=6) for m in (near, far))
    assert there.token_ids == here.token_ids
"""


def test_error_terms_travel_to_a_remote_model(tinystories):
    command = [sys.executable, "-c", REMOTE, str(Path(__file__).parent), tinystories.model.name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
