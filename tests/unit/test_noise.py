"""Common random numbers, and that sampling samples from the right distribution."""

from __future__ import annotations

import plain
import pytest
import torch

from steerkit.engines.sampling import Sampling, choose, gumbel


def settings(**changes) -> Sampling:
    return Sampling(**{"max_new_tokens": 1, "temperature": 1.0, "top_p": 1.0, "seeds": (0,), **changes})


def test_noise_is_a_function_of_seed_and_position_alone():
    noise = gumbel([3, 4, 3], 7, 100)
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[1], gumbel([4], 7, 100)[0])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], gumbel([3], 8, 100)[0])
    assert torch.equal(gumbel([2**63 - 1], 0, 5), gumbel([2**63 - 1], 0, 5))


def test_noise_is_standard_gumbel():
    noise = torch.cat([gumbel([seed], 0, 10_000)[0] for seed in range(20)]).double()
    assert noise.isfinite().all()
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.015)
    assert noise.var().item() == pytest.approx(torch.pi**2 / 6, abs=0.03)
    for p in (0.1, 0.5, 0.9):
        assert noise.quantile(p).item() == pytest.approx(-torch.tensor(p).double().log().neg().log().item(), abs=0.02)


@pytest.mark.parametrize("vary", ["seed", "position"])
def test_tokens_are_drawn_from_the_softmax(vary):
    """Chi-squared over 6000 draws; 7 degrees of freedom, and 24.3 is passed once in a thousand."""
    logits = torch.tensor([[2.0, 1.0, 0.5, 0.0, -0.5, -1.0, -2.0, 1.5]])
    counts = torch.zeros(8)
    for i in range(6000):
        where = {"seed": (i, 0), "position": (5, i)}[vary]
        counts[choose(logits, settings(seeds=(where[0],), temperature=1.3), where[1])] += 1
    expected = (logits[0] / 1.3).softmax(-1) * 6000
    assert ((counts - expected) ** 2 / expected).sum() < 24.3


def test_top_p_leaves_the_tail_out_and_keeps_the_proportions():
    logits = torch.tensor([[0.5, 0.25, 0.15, 0.06, 0.04]]).log()
    counts = torch.zeros(5)
    for seed in range(3000):
        counts[choose(logits, settings(top_p=0.8, seeds=(seed,)), 0)] += 1
    assert counts[3:].tolist() == [0, 0]
    expected = torch.tensor([0.5, 0.25, 0.15]) / 0.9 * 3000
    assert ((counts[:3] - expected) ** 2 / expected).sum() < 13.8
    assert {int(choose(logits, settings(top_p=1e-9, seeds=(s,)), 0)) for s in range(20)} == {0}


@pytest.mark.parametrize("temperature", [0, 1e-3, 1e-8, 1e-30, 1e-300])
def test_no_temperature_is_greedy_and_little_nearly_so(temperature):
    logits = torch.tensor([[1.0, 3.0, 2.0, 2.9], [-5.0, -9.0, -6.0, -7.0]])
    chosen = {tuple(choose(logits, settings(temperature=temperature, seeds=(s, s)), 0).tolist()) for s in range(20)}
    assert chosen == {(1, 0)}


def test_greedy_text_is_the_plain_models(subject):
    run = subject.model.generate(subject.prompt, temperature=0, max_new_tokens=15)
    assert run.token_ids == plain.greedy(subject.plain, subject.ids(), 15)[: len(run.token_ids)]


def test_each_row_is_chosen_by_the_noise_of_its_seed_and_position(subject):
    """A text sampled by hand from the plain model with the same noise."""
    ids = subject.ids()
    run = subject.model.generate(ids, seed=11, temperature=0.7, max_new_tokens=8)
    written = list(ids)
    for position in range(len(run.token_ids)):
        with torch.no_grad():
            logits = subject.plain(input_ids=torch.tensor([written])).logits[0, -1]
        written.append(int((logits / 0.7 + gumbel([11], position, len(logits))[0]).argmax()))
    assert run.token_ids == written[len(ids) :]


def test_rows_of_a_sweep_share_their_noise(subject):
    vector = subject.vector()
    strengths = [-0.5, 0, 0.5, 0]
    sweep = subject.model.sweep(subject.prompt, vector.add(9), strengths, seed=5, max_new_tokens=8)
    assert sweep.strengths == strengths
    assert sweep[1].token_ids == sweep[3].token_ids
    for strength, run in zip(strengths, sweep, strict=True):
        alone = subject.model.generate(subject.prompt, [vector.add(strength)], seed=5, max_new_tokens=8)
        assert run.token_ids == alone.token_ids
        assert run.plan == alone.plan


def test_both_rows_of_a_comparison_are_the_runs_alone(subject):
    edits = [subject.vector().add(0.7)]
    both = subject.model.compare(subject.prompt, edits, seed=2, top_p=0.9, max_new_tokens=8)
    options = {"seed": 2, "top_p": 0.9, "max_new_tokens": 8}
    assert both.baseline.token_ids == subject.model.generate(subject.prompt, **options).token_ids
    assert both.steered.token_ids == subject.model.generate(subject.prompt, edits, **options).token_ids


def test_seeds_differ_and_repeat(subject):
    texts = [
        tuple(subject.model.generate(subject.ids(), seed=seed, max_new_tokens=8).token_ids) for seed in [0, 1, 2, 0]
    ]
    assert texts[0] == texts[3]
    assert len(set(texts)) > 1


def test_noise_leaves_torchs_own_generators_alone(gpt2):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    gpt2.model.generate(gpt2.ids(), max_new_tokens=3)
    assert torch.equal(torch.rand(3), expected)


def test_a_text_resumed_goes_on_with_the_noise_it_would_have_had(subject):
    """Strength changed midway through a stream and back to nothing: later noise is the same."""
    ids = subject.ids()
    whole = subject.model.generate(ids, max_new_tokens=8)
    stream = subject.model.stream(ids, [subject.vector().add(0)], max_new_tokens=8)
    next(stream)
    stream.update([subject.vector(1).add(0)])
    assert stream.result().token_ids == whole.token_ids


def test_longer_runs_begin_like_shorter_ones(subject):
    short = subject.model.generate(subject.ids(), max_new_tokens=4)
    long = subject.model.generate(subject.ids(), max_new_tokens=9)
    assert long.token_ids[: len(short.token_ids)] == short.token_ids
