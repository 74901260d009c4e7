"""An edit acts exactly once on every token in scope, and on no other."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.engines import passes, tracing
from steerkit.engines.sampling import Sampling
from steerkit.scope import Layout

SCOPES = [
    sk.Where(prompt=prompt, generated=generated, special=special)
    for prompt in (True, False)
    for generated in (True, False)
    for special in (True, False)
    if prompt or generated
]


@pytest.fixture(params=SCOPES, ids=str)
def where(request) -> sk.Where:
    return request.param


def last(subject) -> str:
    return f"{subject.model.n_layers - 1}.resid_post"


def in_scope(subject, where: sk.Where, ids: list[int], n_prompt: int) -> list[bool]:
    special = subject.model.encode(ids).special
    return [
        (where.special or not special[i]) and (where.prompt if i < n_prompt else where.generated)
        for i in range(len(ids))
    ]


def passes_over(model, edits, vector, ids, new, use_cache) -> list[torch.Tensor]:
    """What is read along a vector in each pass, with the prompt in the first and then one new token a pass."""
    seen = []

    def write(lm, live, input_ids, layout, **_):
        text = passes._Text(lm._module, live, input_ids, layout, Sampling(len(new), 0, 1, (0,), use_cache=use_cache))
        for index in [None, *new]:
            if index is not None:
                text.append(torch.tensor([index]))
            live.last = len(seen) == len(new)
            text.step()
            seen.append(live.take_all()[0, :, -1])

    live = model._runner.live(model._runner.compile([sk.Plan(edits)], read=[vector]))
    whole = torch.tensor([ids])
    layout = Layout(torch.ones(1, len(ids) + len(new), dtype=torch.bool), torch.tensor([len(ids)]))
    with torch.inference_mode():
        tracing.run(model.nnsight, live, write, input_ids=whole, layout=layout)
    return seen


@pytest.mark.parametrize("use_cache", [True, False])
def test_an_edit_acts_once_on_each_token_in_scope(subject, where, use_cache):
    """Adding at the end of the stream moves what is read there by one for each time that the edit acts."""
    model, vector = subject.model, subject.vector(0, last(subject))
    ids, new = subject.ids(), [subject.ids("a")[-1], model.tokenizer.eos_token_id, subject.ids("b")[-1]]
    steered = passes_over(model, [vector.add(1, where=where)], vector, ids, new, use_cache)
    unsteered = passes_over(model, [], vector, ids, new, use_cache)
    acts = torch.tensor(in_scope(subject, where, ids + new, len(ids))).float()
    for i, (one, other) in enumerate(zip(steered, unsteered, strict=True)):
        end = len(ids) + i
        start = end - 1 if use_cache and i else 0
        torch.testing.assert_close(one - other, acts[start:end], rtol=1e-4, atol=1e-4)


def test_with_a_cache_as_without(subject, where):
    edits = [subject.vector(0).add(0.4, where=where), subject.vector(1).scale(-1, where)]
    whole = subject.ids()
    for length in (1, 2, len(whole)):
        runs = [
            subject.model.generate(whole[:length], edits, max_new_tokens=5, use_cache=cache) for cache in (True, False)
        ]
        assert runs[0].token_ids == runs[1].token_ids
        torch.testing.assert_close(runs[0].logprobs, runs[1].logprobs, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(runs[0].coefficients, runs[1].coefficients, rtol=1e-3, atol=1e-4)


PADDED = {
    "add": [lambda v, w: v.add(0.4, where=w), SCOPES[0]],
    "add norm": [lambda v, w: v.add(0.3, "norm", w), SCOPES[1]],
    "set": [lambda v, w: v.set(0.5, where=w), SCOPES[0]],
    "scale": [lambda v, w: v.scale(-1, w), SCOPES[3]],
    "ablate": [lambda v, w: v.ablate(w), SCOPES[5]],
}


@pytest.mark.parametrize("name", PADDED)
def test_a_row_of_a_padded_batch_is_the_row_alone(subject, name):
    make, where = PADDED[name]
    whole = subject.ids()
    prompts = [whole[:2], whole, whole[:1]]
    edits = [make(subject.vector(0), where)]
    seeds = [3, 1, 4]
    batch = subject.model.generate_many(prompts, edits, seeds=seeds, max_new_tokens=6)
    for prompt, seed, row in zip(prompts, seeds, batch, strict=True):
        alone = subject.model.generate(prompt, edits, seed=seed, max_new_tokens=6)
        assert row.token_ids == alone.token_ids
        torch.testing.assert_close(row.logprobs, alone.logprobs, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(row.coefficients, alone.coefficients, rtol=1e-3, atol=1e-4)


def test_padding_is_untouched(subject):
    """Nothing reads it, but what an edit does there could overflow."""
    model, vector, ids = subject.model, subject.vector(0), subject.ids()
    prompts = [model.encode(ids), model.encode(ids[:3])]
    padding = len(ids) - 3
    everywhere = sk.Where(special=True)
    for edits in ([vector.add(5, where=everywhere)], [vector.set(5, "norm", everywhere)], [vector.ablate(everywhere)]):
        programs = [model._runner.compile([sk.Plan(plan)] * 2, read=[vector]) for plan in ([], edits)]
        before, after = (model._runner.read(program, prompts)["coefficients"][..., -1] for program in programs)
        torch.testing.assert_close(after[1, :padding], before[1, :padding], rtol=1e-5, atol=1e-5)
        assert not torch.isclose(after[1, padding:], before[1, padding:]).any()


def test_special_tokens_are_left_out_unless_asked_for(subject):
    bos = subject.model.tokenizer.bos_token_id
    ids, vector = [bos, *subject.ids("a")[-1:]], subject.vector(0, "0.resid_pre")
    only_special = sk.Where(generated=False)
    assert torch.equal(subject.model.score([bos, bos, bos], [vector.add(5)]), subject.model.score([bos, bos, bos]))
    before = subject.model.read(ids, vector).coefficients[:, 0]
    after = subject.model.read(ids, vector, [vector.add(5, where=only_special)]).coefficients[:, 0]
    torch.testing.assert_close(after - before, torch.tensor([0.0, 5.0]), rtol=1e-4, atol=1e-4)
    everything = sk.Where(special=True)
    after = subject.model.read(ids, vector, [vector.add(5, where=everything)]).coefficients[:, 0]
    torch.testing.assert_close(after - before, torch.tensor([5.0, 5.0]), rtol=1e-4, atol=1e-4)


def test_steering_the_prompt_alone_reaches_the_first_new_token_only_through_it(subject):
    vector = subject.vector(0, last(subject))
    ids = subject.ids()
    unsteered = subject.model.generate(ids, temperature=0, max_new_tokens=6)
    later = subject.model.generate(ids, [vector.add(3, where=sk.Where(prompt=False))], temperature=0, max_new_tokens=6)
    assert later.logprobs[0].item() == pytest.approx(unsteered.logprobs[0].item(), abs=1e-5)
    assert later.token_ids[0] == unsteered.token_ids[0]
    prompt = subject.model.generate(
        ids, [vector.add(3, where=sk.Where(generated=False))], temperature=0, max_new_tokens=1
    )
    assert prompt.logprobs[0].item() != pytest.approx(unsteered.logprobs[0].item(), abs=1e-3)


def test_scored_text_counts_as_generated_after_a_prompt(subject):
    vector = subject.vector(0)
    ids = subject.ids()
    n = len(ids) // 2
    split = {"text": ids[n:], "prompt": ids[:n]}
    prompt_only, new_only = sk.Where(generated=False), sk.Where(prompt=False)
    both = subject.model.score(edits=[vector.add(1)], **split)
    parts = subject.model.score(edits=[vector.add(1, where=prompt_only), vector.add(1, where=new_only)], **split)
    torch.testing.assert_close(parts, both, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(subject.model.score(edits=[vector.add(1, where=new_only)], **split), both, atol=1e-3)
    whole = subject.model.score(ids, [vector.add(1)])
    torch.testing.assert_close(both, whole[n - 1 :], rtol=1e-4, atol=1e-5)
