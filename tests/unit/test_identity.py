"""An edit at its identity, or switched off, leaves the model as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import steerkit as sk

EVERYWHERE = sk.Where(special=True)
AT_REST = {
    "add raw": lambda v: v.add(0, where=EVERYWHERE),
    "add residual": lambda v: v.add(0, "residual", EVERYWHERE),
    "add norm": lambda v: v.add(0, "norm", EVERYWHERE),
    "scale": lambda v: v.scale(1, EVERYWHERE),
    "add off": lambda v: replace(v.add(9, where=EVERYWHERE), enabled=False),
    "add norm off": lambda v: replace(v.add(9, "norm", EVERYWHERE), enabled=False),
    "set off": lambda v: replace(v.set(9, where=EVERYWHERE), enabled=False),
    "set norm off": lambda v: replace(v.set(9, "norm", EVERYWHERE), enabled=False),
    "scale off": lambda v: replace(v.scale(-3, EVERYWHERE), enabled=False),
    "ablate off": lambda v: replace(v.ablate(EVERYWHERE), enabled=False),
}


@pytest.fixture(params=AT_REST)
def at_rest(request):
    return AT_REST[request.param]


def kinds(subject):
    return [site for site in subject.model.sites if site.layer == 1]


def test_logits_stay_bit_for_bit_as_they_were(subject, at_rest):
    ids = subject.ids()
    unsteered = subject.model.score(ids)
    vectors = [subject.vector(seed) for seed in range(2)]
    assert torch.equal(subject.model.score(ids, [at_rest(v) for v in vectors]), unsteered)


def test_logits_stay_at_every_kind_of_site(drawn, at_rest):
    ids = drawn.ids()
    unsteered = drawn.model.score(ids)
    for site in kinds(drawn):
        width = drawn.model.last_activations([ids], [site])[site].shape[1]
        vector = sk.Vector({site: torch.randn(width, generator=torch.Generator().manual_seed(0))})
        assert torch.equal(drawn.model.score(ids, [at_rest(vector)]), unsteered), site


def test_a_batch_stays_bit_for_bit_as_it_was(subject, at_rest):
    prompts = [subject.ids(), subject.ids()[:3]]
    steered = subject.model.generate_many(prompts, [at_rest(subject.vector())], max_new_tokens=6)
    unsteered = subject.model.generate_many(prompts, max_new_tokens=6)
    for one, other in zip(steered, unsteered, strict=True):
        assert one.token_ids == other.token_ids
        assert torch.equal(one.logprobs, other.logprobs)


def test_a_comparison_shows_no_difference(subject, at_rest):
    both = subject.model.compare(subject.prompt, [at_rest(subject.vector())], max_new_tokens=6)
    assert both.steered.token_ids == both.baseline.token_ids
    assert not any(both.differs)
    torch.testing.assert_close(both.kl, torch.zeros(len(both.kl)), rtol=0, atol=1e-6)


def test_the_text_stays_token_for_token_across_batch_sizes(subject, at_rest):
    alone = subject.model.generate(subject.prompt, max_new_tokens=6)
    edit = at_rest(subject.vector())
    for size in (1, 3):
        for run in subject.model.generate_many([subject.prompt] * size, [edit], max_new_tokens=6):
            assert run.token_ids == alone.token_ids


def test_another_row_that_is_steered_changes_nothing(subject):
    vector = subject.vector()
    sweep = subject.model.sweep(subject.prompt, vector.add(1), [0, 1, -1, 3], max_new_tokens=6)
    alone = subject.model.generate(subject.prompt, max_new_tokens=6)
    assert sweep[0].token_ids == alone.token_ids
    assert any(run.token_ids != alone.token_ids for run in sweep)


def test_a_plan_without_edits_is_a_plan(subject):
    ids = subject.ids()
    assert torch.equal(subject.model.score(ids, sk.Plan()), subject.model.score(ids))
    run = subject.model.generate(ids, sk.Plan(), max_new_tokens=5)
    assert run.token_ids == subject.model.generate(ids, max_new_tokens=5).token_ids
    assert run.coefficients.shape == (len(run.token_ids), 0)
