"""Re-weighing every feature of a dictionary, as pure functions of an activation."""

from __future__ import annotations

from dataclasses import replace

import dense
import pytest
import torch
from dense import D, N, Numbers

from steerkit.dictionaries import reconstruction as reconstructing
from steerkit.dictionaries.activations import Gated, GroupMax, JumpReLU, Linear, ReLU, TanhReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.reweighing import HOW, Reweighed
from steerkit.sites import Site

numbers = Numbers(3)
KINDS = {
    "relu": ReLU(),
    "tanh": TanhReLU(),
    "linear": Linear(),
    "jumprelu": JumpReLU(numbers.positive(N)),
    "gated": Gated(numbers(N), numbers(N) / 4, numbers(N)),
    "topk": TopK(3),
    "topk by magnitude": TopK(3, by_magnitude=True),
    "topk with signs": TopK(3, relu=False),
    "topk weighted": TopK(3, weight=numbers.positive(N)),
    "groupmax": GroupMax(5),
}
NORMALISATIONS = ("none", "layer_norm", "unit_rms")
ONE = Site(1, "resid_post")


def make(activation="relu", normalisation="none", d_out: int = D, skip: bool = False) -> Dictionary:
    noise = Numbers(1)
    parts = Parts(
        format="random",
        W_dec=InMemory(noise(N, d_out)),
        b_dec=noise(d_out),
        activation=KINDS[activation],
        W_enc=InMemory(noise(D, N)),
        b_enc=noise(N) / 2,
        b_pre=noise(D) / 2,
        normalisation=normalisation,
        W_skip=noise(D, d_out) if skip else None,
        site_in=ONE,
        site_out=ONE if d_out == D else Site(1, "mlp_out"),
    )
    return Dictionary(parts, "random")


def reweighed(dictionary: Dictionary, scores, how: str, as_published: bool = False, followed=()) -> Reweighed:
    return Reweighed(dictionary.error_term.reconstruction, scores, how, as_published, tuple(followed))


def scores() -> torch.Tensor:
    """From 0 to 1, some of them 0 and one of them 1."""
    drawn = Numbers(2).positive(N) / 1.1
    drawn[[1, 4]] = 0
    drawn[6] = 1
    return drawn


X = dense.activations().float()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_1_change_nothing_at_all(kind, normalisation, how):
    value, moved = reweighed(make(kind, normalisation), torch.ones(N), how, followed=[0, 5]).read(X)
    assert torch.equal(value, torch.zeros(len(X), D))
    assert torch.equal(moved, torch.zeros(len(X), 2))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_weight_runs_the_activation_on_weighted_preactivations(kind, normalisation):
    """A feature's pre-activation times a score is that of an encoder whose column and biases are."""
    dictionary = make(kind, normalisation)
    parts, by = dictionary.parts, scores()
    biases = {"b_gate": by, "b_mag": by} if kind == "gated" else {}
    activation = replace(parts.activation, **{name: getattr(parts.activation, name) * by for name in biases})
    W_enc = InMemory(parts.W_enc.whole() * by)
    weighted = Dictionary(replace(parts, W_enc=W_enc, b_enc=parts.b_enc * by, activation=activation), "weighted")
    before, after = dictionary.encode(X), weighted.encode(X)
    assert not torch.equal(before.to_dense(), after.to_dense())
    value, moved = reweighed(dictionary, by, "weight", followed=range(N)).read(X)
    close(moved, after.to_dense() - before.to_dense())
    close(value, weighted.decode(after) - dictionary.decode(before))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_swap_changes_who_is_active_and_no_value(kind, normalisation):
    dictionary, by = make(kind, normalisation), scores()
    swapped, weighted = (reweighed(dictionary, by, how) for how in HOW)
    normalised = dictionary.encoder().normalise(X)[0]
    before, after = swapped.codes(normalised)
    assert torch.equal(after != 0, weighted.codes(normalised)[1] != 0)
    both = (before != 0) & (after != 0)
    assert torch.equal(after[both], before[both])
    assert not after[:, [1, 4]].any()
    assert both.any()
    assert not torch.equal(before, after)


@pytest.mark.parametrize("kind", ["topk", "topk by magnitude", "topk with signs", "topk weighted", "groupmax"])
def test_swap_keeps_at_most_k_active_features_and_lets_others_in(kind):
    dictionary = make(kind)
    before, after = reweighed(dictionary, scores(), "swap").codes(X)
    assert ((after != 0).sum(-1) <= dictionary.parts.activation.k).all()
    let_in = (after != 0) & (before == 0)
    assert let_in.any()
    torch.testing.assert_close(after[let_in], dictionary.encoder().preactivations(X)[let_in])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("skip", [False, True])
def test_swap_as_published_decodes_the_swapped_codes_alone(normalisation, skip):
    dictionary = make("topk", normalisation, d_out=4, skip=skip)
    kept, dropped = (reweighed(dictionary, scores(), "swap", as_published).read(X)[0] for as_published in (False, True))
    close(dropped, dictionary.decode(dictionary.encode(X)) + kept)


def test_weight_as_published_undoes_the_normalisation_by_the_scores():
    dictionary, by = make("topk", "layer_norm"), scores()
    normalised = dictionary.encoder().normalise(X)[0]
    after = TopK(3)(dictionary.encoder().preactivations(normalised) * by, slice(None))
    made = after @ dictionary.parts.W_dec.whole() + dictionary.parts.b_dec
    close(reweighed(dictionary, by, "weight", as_published=True).read(X)[0], made * by.mean() ** 2 + by.mean())


def test_weight_as_published_without_normalisation_is_a_plain_decoding():
    dictionary = make("topk")
    kept, dropped = (
        reweighed(dictionary, scores(), "weight", as_published).read(X)[0] for as_published in (False, True)
    )
    close(dropped, dictionary.decode(dictionary.encode(X)) + kept)


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("how", HOW)
def test_tokens_do_not_depend_on_how_many_are_done_at_once(monkeypatch, how, as_published):
    target = reweighed(make("topk", "layer_norm"), scores(), how, as_published, [2])
    whole = target.read(X)
    monkeypatch.setattr(reconstructing, "BUDGET", 4 * N * 2)
    for one, other in zip(target.read(X.reshape(1, 7, D)), whole, strict=True):
        torch.testing.assert_close(one[0], other)


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
