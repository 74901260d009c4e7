"""Steering by re-weighing every feature of a dictionary, in a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_steering import KINDS, N, make, streams

import steerkit as sk
from steerkit.errors import EditError, VectorError

SITE = "1.resid_post"


@pytest.fixture(params=["gpt2", "tinystories"])
def subject(request):
    return request.getfixturevalue(request.param)


def align(dictionary: sk.Dictionary, scores: torch.Tensor | None = None) -> sk.Alignment:
    """Scores from 0 to 1 in the order of features, unless given."""
    scores = torch.linspace(0, 1, N) if scores is None else scores
    return sk.Alignment(dictionary, scores, scores > 0, "rain")


def steered(alignment: sk.Alignment) -> dict[str, sk.Edit]:
    return {"swap": alignment.swap(), "weight": alignment.weight()}


def plain(subject) -> list[int]:
    return [i for i, special in enumerate(subject.model.encode(subject.ids()).special) if not special]


def decoded(dictionary: sk.Dictionary, codes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    _, scale, shift = dictionary.encoder().normalise(x)
    made = codes @ dictionary.parts.W_dec.whole() + dictionary.parts.b_dec
    return made * (1 if scale is None else scale) + (0 if shift is None else shift)


def after(edit: sk.Edit, x: torch.Tensor) -> torch.Tensor:
    """The activations that an edit leaves."""
    dictionary = edit.target.dictionary
    return edit.target.reader(()).codes(dictionary.encoder().normalise(x)[0])[1]


@pytest.mark.parametrize("how", ["swap", "weight"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_the_dictionary_does_not_explain_stays(subject, kind, how):
    dictionary = make(subject.model, kind)
    edit, x = steered(align(dictionary))[how], streams(subject, [], SITE)
    expected, at = x.clone(), plain(subject)
    error = x - decoded(dictionary, dictionary.encode(x).to_dense(), x)
    expected[at] = (decoded(dictionary, after(edit, x), x) + error)[at]
    assert not torch.allclose(expected, x, atol=1e-2)
    torch.testing.assert_close(streams(subject, [edit], SITE), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["swap", "weight"])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_1_and_a_strength_of_0_leave_the_activation_bit_for_bit(subject, kind, how):
    dictionary = make(subject.model, kind)
    x = streams(subject, [], SITE)
    for edit in (steered(align(dictionary, torch.ones(N)))[how], steered(align(dictionary))[how].with_strength(0)):
        assert torch.equal(streams(subject, [edit], SITE), x)
    identity = steered(align(dictionary, torch.ones(N)))[how]
    assert subject.model.generate(subject.ids(), identity).token_ids == subject.model.generate(subject.ids()).token_ids


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_edits_of_features_act_on_the_activations_that_it_leaves(subject, kind, as_published):
    dictionary = make(subject.model, kind)
    edit, x, at = align(dictionary).swap(as_published=as_published), streams(subject, [], SITE), plain(subject)
    before, codes = dictionary.encode(x).to_dense(), after(edit, x)
    codes[:, 3], codes[:, 7], codes[:, 40] = 2.0, 0.0, codes[:, 40] * 3
    codes[:, 41] += 1.5
    expected = x.clone()
    error = 0 if as_published else x - decoded(dictionary, before, x)
    expected[at] = (decoded(dictionary, codes, x) + error)[at]
    edits = [dictionary[3].set(2), dictionary[7].ablate(), edit, dictionary[40].scale(3), dictionary[41].add(1.5)]
    torch.testing.assert_close(streams(subject, edits, SITE), expected, rtol=1e-4, atol=1e-4)
    run = subject.model.generate(subject.ids(), edits, max_new_tokens=4, temperature=0)
    assert [column.label for column in run.columns] == [e.target.label for e in edits]


def test_half_of_it_is_half_way_and_where_it_does_not_act_features_are_as_they_were(subject):
    dictionary = make(subject.model, "topk")
    edit, x, at = align(dictionary).swap(), streams(subject, [], SITE), plain(subject)
    half = streams(subject, [edit.with_strength(0.5)], SITE)
    torch.testing.assert_close(half, (x + streams(subject, [edit], SITE)) / 2, rtol=1e-4, atol=1e-4)
    feature = int((after(edit, x) != dictionary.encode(x).to_dense())[at].any(0).nonzero()[0])
    both = [align(dictionary).swap(where=sk.Where(prompt=False)), dictionary[feature].scale(2)]
    torch.testing.assert_close(streams(subject, both, SITE), streams(subject, both[1:], SITE))


@pytest.mark.parametrize("normalisation", ["relu", "relu unit_rms"])
def test_clamp_adds_to_the_best_and_as_published_drops_the_error(subject, normalisation):
    dictionary = make(subject.model, normalisation)
    alignment, x, at = align(dictionary), streams(subject, [], SITE), plain(subject)
    codes = dictionary.encode(x).to_dense()
    error = x - decoded(dictionary, codes, x)
    codes[:, 43:] += 10
    for edits, left in ((alignment.clamp(), error), (alignment.clamp(as_published=True), 0)):
        expected = x.clone()
        expected[at] = (decoded(dictionary, codes, x) + left)[at]
        torch.testing.assert_close(streams(subject, edits, SITE), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("as_published", [False, True])
def test_a_transcoder_reads_at_one_site_and_writes_at_another(subject, as_published):
    dictionary = make(subject.model, "jumprelu", "1.mlp_in", "1.mlp_out")
    edit, at = align(dictionary).swap(as_published=as_published), plain(subject)
    read, before = streams(subject, [], "1.mlp_in"), streams(subject, [], "1.mlp_out")
    codes, expected = after(edit, read), before.clone()
    codes[:, 40] += 1.5
    error = 0 if as_published else before - dictionary.decode(dictionary.encode(read))
    expected[at] = (decoded(dictionary, codes, read) + error)[at]
    found = streams(subject, [edit, dictionary[40].add(1.5)], "1.mlp_out")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("how", ["swap", "weight"])
def test_a_text_is_the_same_with_and_without_a_cache_and_in_a_batch(subject, how):
    dictionary = make(subject.model, "topk layer_norm")
    edits = [steered(align(dictionary))[how], dictionary[5].add(1)]
    cached, whole = (subject.model.generate(subject.ids(), edits, max_new_tokens=8, use_cache=c) for c in (True, False))
    assert cached.token_ids == whole.token_ids
    torch.testing.assert_close(cached.coefficients, whole.coefficients, rtol=1e-3, atol=1e-3)
    assert not cached.coefficients[:, 0].any()
    runs = subject.model.generate_many([subject.ids(), subject.ids()[:3]], edits, max_new_tokens=8)
    assert runs[0].token_ids == cached.token_ids


def test_a_sweep_runs_from_the_activation_as_it_is(subject):
    alignment = align(make(subject.model, "topk"))
    sweep = subject.model.sweep(subject.ids(), alignment.swap(), [0, 1], max_new_tokens=6)
    assert sweep[0].token_ids == subject.model.generate(subject.ids(), max_new_tokens=6).token_ids
    assert sweep[1].token_ids == subject.model.generate(subject.ids(), [alignment.swap()], max_new_tokens=6).token_ids


def test_without_direct_it_is_taken_out_again(subject):
    """Above the last layer's output, what was written below is gone from the stream."""
    alignment, last = align(make(subject.model, "topk", "0.resid_post")), subject.model.n_layers - 1
    edit = alignment.swap()
    written = streams(subject, [edit], "0.resid_post") - streams(subject, [], "0.resid_post")
    passing = sk.Edit(edit.target, "add", 1.0, direct=False)
    kept, gone = (streams(subject, [one], f"{last}.resid_post") for one in (edit, passing))
    torch.testing.assert_close(gone, kept - written, rtol=1e-4, atol=1e-3)


def test_what_cannot_be_served_is_refused_by_name(subject):
    dictionary = make(subject.model, "topk layer_norm")
    alignment = align(dictionary)
    swap, weight = alignment.swap(), alignment.weight()
    with pytest.raises(EditError, match=r"takes one edit of a whole .* add swap by rain \+1; add weight by rain \+1"):
        subject.model.generate("a", [swap, weight])
    with pytest.raises(EditError, match=r"add swap by rain \(as published\) \+1; ablate error of random"):
        subject.model.generate("a", [alignment.swap(as_published=True), dictionary.error_term.ablate()])
    with pytest.raises(EditError, match="undoes the normalisation of its dictionary by other numbers"):
        subject.model.generate("a", [alignment.weight(as_published=True), dictionary[3].add(1)])
    with pytest.raises(EditError, match="so its strength is in the unit 'raw'"):
        subject.model.generate("a", [swap.target.add(1, unit="norm")])
    with pytest.raises(VectorError, match="another direction at every token"):
        subject.model.generate("a", [dictionary[3].add(1, when=swap.target > 0)])
    with pytest.raises(EditError, match="All scores of 'rain' are 0"):
        align(dictionary, torch.zeros(N)).swap()


def test_edits_compare_and_say_what_they_are(subject):
    dictionary = make(subject.model, "topk")
    alignment = align(dictionary)
    assert alignment.swap() == align(dictionary).swap()
    assert hash(alignment.swap()) == hash(align(dictionary).swap())
    assert len({alignment.swap(), alignment.weight(), alignment.swap(as_published=True), alignment.swap(0.5)}) == 4
    assert alignment.swap() != align(dictionary, torch.ones(N)).swap()
    assert str(sk.Plan([alignment.swap(0.5), *alignment.clamp(n=1)])) == "add swap by rain +0.5, add feature 47 +10"


def test_plans_with_them_are_json_both_ways(subject):
    dictionary = make(subject.model, "topk")
    for edit in (
        align(dictionary).swap(0.5),
        align(dictionary).weight(as_published=True),
        dictionary.error_term.ablate(),
    ):
        plan = sk.Plan([edit])
        again = sk.Plan.from_json(plan.to_json(), dictionaries=[dictionary])
        assert again == plan
        assert again.describe() == plan.describe()
    assert "swap by rain" in sk.Plan([align(dictionary).swap()]).describe()


# In a process of its own: the tests' type checks wrap functions in what does not travel.
REMOTE = """
import sys
sys.path.insert(0, sys.argv[1])
import steerkit as sk, torch
from test_steering import make
from test_reweighing_edits import align
near, far = sk.load(sys.argv[2]), sk.load(sys.argv[2], remote="local")
for sites in (["1.resid_post"], ["1.mlp_in", "1.mlp_out"]):
    dictionary = make(near, "topk", *sites)
    for edit in (align(dictionary).swap(), align(dictionary).weight(as_published=True)):
        plan = [edit, dictionary[3].add(1)]
        here, there = (m.generate("One day", plan, max_new_tokens=6) for m in (near, far))
        assert there.token_ids == here.token_ids
"""


def test_it_travels_to_a_remote_model(tinystories):
    command = [sys.executable, "-c", REMOTE, str(Path(__file__).parent), tinystories.model.name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
