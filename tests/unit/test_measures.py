"""Coefficients, log-probabilities and KL against the plain model, worked by hand."""

from __future__ import annotations

from contextlib import ExitStack

import plain
import pytest
import torch

import steerkit as sk

EVERYWHERE = sk.Where(special=True)


def steered(subject, vectors, strengths) -> ExitStack:
    """The plain model with the same additions, by torch hooks."""
    stack = ExitStack()
    for vector, strength in zip(vectors, strengths, strict=True):
        for site in vector:
            layer = subject.plain.get_submodule(subject.model._runner.sites.locate(site).module)
            delta = strength * vector[site]
            stack.enter_context(plain.output_changed(layer, lambda x, delta=delta: x + delta))
    return stack


def read(subject, text: list[int], vector, site) -> torch.Tensor:
    layer = subject.model._runner.sites.locate(sk.Site.parse(site)).module
    _, outputs = plain.record(subject.plain, text)
    return outputs[layer] @ vector[site] / vector[site].square().sum()


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_coefficients_are_read_at_each_new_token_before_the_edits_there(subject, temperature):
    first, last = "0.resid_post", f"{subject.model.n_layers - 1}.resid_post"
    a, b = subject.vector(0, first), subject.vector(1, last)
    edits = [b.add(0.5, where=EVERYWHERE), a.add(0.7, where=EVERYWHERE)]
    run = subject.model.generate(subject.prompt, edits, temperature=temperature, max_new_tokens=7)
    text, new = [*subject.ids(), *run.token_ids], len(run.token_ids)
    assert [(column.edit, str(column.site)) for column in run.columns] == [(1, first), (0, last)]
    assert run.coefficients.shape == (new, 2)
    with steered(subject, [a, b], [0.7, 0.5]):  # hooks see what leaves: with the addition at the same place
        expected_a = read(subject, text, a, first)[-new:] - 0.7
        expected_b = read(subject, text, b, last)[-new:] - 0.5
        logprobs = plain.chosen(plain.logprobs(subject.plain, text), text)[-new:]
    torch.testing.assert_close(run.coefficients[:, 0], expected_a, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run.coefficients[:, 1], expected_b, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run.logprobs, logprobs, rtol=1e-3, atol=1e-4)


def test_reading_is_along_the_vector(subject):
    vectors = [subject.vector(0), subject.vector(1, "0.resid_post")]
    reading = subject.model.read(subject.prompt, vectors)
    for vector in vectors:
        (site,) = vector.sites
        expected = read(subject, subject.ids(), vector, str(site))
        torch.testing.assert_close(reading.activations(vector), expected, rtol=1e-3, atol=1e-4)
    assert reading.coefficients.shape == (len(reading.tokens), 2)


def test_reading_a_steered_model_comes_after_the_edits(subject):
    vector, later = subject.vector(0, "0.resid_post"), subject.vector(1, "1.resid_post")
    reading = subject.model.read(subject.prompt, [later, vector], [vector.add(1, where=EVERYWHERE)])
    with steered(subject, [vector], [1.0]):
        torch.testing.assert_close(
            reading.activations(vector), read(subject, subject.ids(), vector, "0.resid_post"), rtol=1e-3, atol=1e-4
        )
        torch.testing.assert_close(
            reading.activations(later), read(subject, subject.ids(), later, "1.resid_post"), rtol=1e-3, atol=1e-4
        )


def test_scores(subject):
    ids = subject.ids()
    expected = plain.chosen(plain.logprobs(subject.plain, ids), ids)
    torch.testing.assert_close(subject.model.score(ids), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(subject.model.score(ids[3:], prompt=ids[:3]), expected[2:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("where", [EVERYWHERE, sk.Where(prompt=False)], ids=str)
def test_a_comparison_measures_both_models_on_the_steered_text(subject, where):
    vector = subject.vector(0)
    both = subject.model.compare(subject.prompt, [vector.add(0.7, where=where)], temperature=1.0, max_new_tokens=7)
    ids, new = subject.ids(), len(both.steered.token_ids)
    text = [*ids, *both.steered.token_ids]
    special = torch.tensor([index in subject.model._runner.special for index in text])
    acts = (where.special | ~special) & (where.prompt | (torch.arange(len(text)) >= len(ids)))
    layer = subject.plain.get_submodule(subject.model._runner.sites.locate(vector.sites[0]).module)
    unsteered = plain.logprobs(subject.plain, text)
    with plain.output_changed(layer, lambda x: x + 0.7 * acts[:, None] * vector[subject.site]):
        changed = plain.logprobs(subject.plain, text)
    kl = (changed.exp() * (changed - unsteered)).sum(-1)[len(ids) - 1 : -1]
    torch.testing.assert_close(both.kl, kl, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(
        both.steered.unsteered_logprobs, plain.chosen(unsteered, text)[-new:], rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(both.steered.logprobs, plain.chosen(changed, text)[-new:], rtol=1e-3, atol=1e-4)
    assert torch.equal(both.baseline.unsteered_logprobs, both.baseline.logprobs)
    assert both.steered.nats == pytest.approx(-plain.chosen(unsteered, text)[-new:].mean().item(), abs=1e-3)


def test_a_sweep_measures_each_run_under_the_unsteered_model(subject):
    sweep = subject.model.sweep(subject.prompt, subject.vector().add(1), [0, 0.5, -1], max_new_tokens=7)
    for run in sweep:
        text, new = [*subject.ids(), *run.token_ids], len(run.token_ids)
        expected = plain.chosen(plain.logprobs(subject.plain, text), text)[-new:]
        torch.testing.assert_close(run.unsteered_logprobs, expected, rtol=1e-3, atol=1e-4)
        assert run.coefficients.shape == (new, 1)


def test_texts_that_end_at_different_lengths_are_measured_alike(stories, monkeypatch):
    """Rows of a batch that end early keep what a run alone would have."""
    model, vector = stories.model, stories.vector()
    stop = stories.ids("one.")[-1]
    monkeypatch.setattr(model._runner, "end", frozenset([stop]))
    strengths = [0, 0.5, -0.5, 1]
    sweep = model.sweep(stories.prompt, vector.add(1), strengths, max_new_tokens=30)
    assert len({len(run.token_ids) for run in sweep}) > 2
    assert {run.stopped for run in sweep} == {"end", "length"}
    for strength, run in zip(strengths, sweep, strict=True):
        alone = model.generate(stories.prompt, [vector.add(strength)], max_new_tokens=30)
        assert run.token_ids == alone.token_ids
        assert run.stopped == alone.stopped
        assert (run.stopped == "end") == (run.token_ids[-1] == stop)
        assert stop not in run.token_ids[:-1]
        text, new = [*stories.ids(), *run.token_ids], len(run.token_ids)
        expected = plain.chosen(plain.logprobs(stories.plain, text), text)[-new:]
        torch.testing.assert_close(run.unsteered_logprobs, expected, rtol=1e-3, atol=1e-3)
        coefficients = read_with(stories, vector, strength, text)[-new:]
        torch.testing.assert_close(run.coefficients[:, 0], coefficients, rtol=1e-3, atol=1e-3)


def read_with(subject, vector, strength, text) -> torch.Tensor:
    special = torch.tensor(subject.model.encode(text).special)
    layer = subject.plain.get_submodule(subject.model._runner.sites.locate(vector.sites[0]).module)
    with plain.output_changed(layer, lambda x: x + strength * ~special[:, None] * vector[subject.site]):
        return read(subject, text, vector, subject.site) - strength * ~special


def test_activations_that_leave_the_range_of_numbers_end_the_text(subject):
    huge = subject.vector().add(1e38)
    run = subject.model.generate(subject.prompt, [huge, huge], max_new_tokens=4)
    assert run.stopped == "overflow"
    assert run.token_ids == []
    assert "smaller strength" in run.describe()
    both = subject.model.compare(subject.prompt, [huge, huge], max_new_tokens=4)
    assert both.baseline.token_ids == subject.model.generate(subject.prompt, max_new_tokens=4).token_ids
    assert both.kl.tolist() == []
    assert "Baseline" in both._repr_html_()
    both.plot()
    both.to_frame()


def test_a_prompt_and_new_tokens_that_fill_the_context_are_served(gpt2):
    ids = gpt2.ids()
    run = gpt2.model.generate(ids, max_new_tokens=96 - len(ids), temperature=1.5)
    assert len(ids) + len(run.token_ids) <= 96
    assert run.coefficients.shape == (len(run.token_ids), 0)
    with pytest.raises(sk.errors.PromptError, match=r"context of 96"):
        gpt2.model.generate(ids, max_new_tokens=97 - len(ids))


def test_ids_beyond_the_tokenizer_are_no_trouble(gpt2):
    """Vocabularies are padded: a model can write ids that its tokenizer has no token for."""
    runs = gpt2.model.sweep(gpt2.prompt, gpt2.vector().add(1), [0, 1, -1, 2], max_new_tokens=30, temperature=5.0)
    assert max(max(run.token_ids) for run in runs) >= len(gpt2.model.tokenizer)
    both = gpt2.model.compare(gpt2.prompt, [gpt2.vector().add(1)], max_new_tokens=30, temperature=5.0)
    assert max(both.steered.token_ids) >= len(gpt2.model.tokenizer)
    list(gpt2.model.stream(gpt2.prompt, max_new_tokens=30, temperature=5.0))


def test_one_vector_at_several_sites_has_a_column_for_each(subject):
    sites = ["0.resid_post", "1.resid_pre", "1.resid_post"]
    parts = {site: subject.vector(i, site)[site] for i, site in enumerate(sites)}
    many = sk.Vector(parts, "many")
    run = subject.model.generate(subject.prompt, [many.add(0.2)], max_new_tokens=4)
    assert [str(column.site) for column in run.columns] == sites
    split = [sk.Vector({site: part}).add(0.2) for site, part in parts.items()]
    other = subject.model.generate(subject.prompt, split, max_new_tokens=4)
    assert run.token_ids == other.token_ids
    torch.testing.assert_close(run.coefficients, other.coefficients, rtol=1e-4, atol=1e-5)


def test_a_site_that_several_edits_share_with_another_kind(drawn):
    """attn_out and resid_mid stand at one place, mlp_in and mlp_in_normalized at another."""
    width, where = drawn.model.d_model, EVERYWHERE
    generator = torch.Generator().manual_seed(0)
    kinds = ["mlp_in_normalized", "resid_mid", "attn_out", "mlp_in"]
    vectors = [sk.Vector({f"1.{kind}": torch.randn(width, generator=generator)}, kind) for kind in kinds]
    edits = [vector.set(1.5, where=where) for vector in vectors]
    before = drawn.model.read(drawn.prompt, vectors)
    for vector, edit in zip(vectors, edits, strict=True):
        alone = drawn.model.read(drawn.prompt, vector, [edit])
        assert alone.activations(vector).tolist() == pytest.approx([1.5] * len(alone.tokens), abs=1e-4)
    deeper = drawn.model.read(drawn.prompt, vectors, edits)
    for vector in (vectors[1], vectors[0]):  # the deeper of the two that share a place is written last
        assert deeper.activations(vector).tolist() == pytest.approx([1.5] * len(before.tokens), abs=1e-3)
