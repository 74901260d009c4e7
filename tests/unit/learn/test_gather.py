"""Activations of the tokens that are asked for, whatever the batches."""

from __future__ import annotations

import plain
import pytest
import torch

import steerkit as sk
from steerkit import runner
from steerkit.batching import _batches
from steerkit.learn import Completion

TEXTS = ["One day", Completion("The dog ran to the", " big red house."), "She was so happy that she sang."]


def wanted(subject, site: str, tokens: str) -> list[torch.Tensor]:
    """The rows of each text, by plain transformers."""
    module = subject.model._runner.sites.locate(sk.Site.parse(site)).module
    found = []
    for prompt, start in subject.model.encode_all(TEXTS):
        x = plain.record(subject.plain, list(prompt.ids))[1][module].detach()
        kept = x[start:][~torch.tensor(prompt.special[start:])]
        found.append({"last": x[-1:], "mean": kept.mean(0, keepdim=True), "every": kept, "all": x}[tokens])
    return found


@pytest.mark.parametrize("tokens", ["last", "mean", "every", "all"])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_each_choice_of_tokens(subject, tokens, batch_size):
    expected = wanted(subject, subject.site, tokens)
    site = sk.Site.parse(subject.site)
    gathered = subject.model.gather(TEXTS, [site], tokens=tokens, batch_size=batch_size)
    torch.testing.assert_close(gathered.activations[site], torch.cat(expected), rtol=1e-3, atol=1e-4)
    assert gathered.text.tolist() == [i for i, rows in enumerate(expected) for _ in rows]
    streamed = {prompt.ids: found[site] for prompt, found in subject.model.activations(TEXTS, [site], tokens=tokens)}
    for (prompt, _), rows in zip(subject.model.encode_all(TEXTS), expected, strict=True):
        torch.testing.assert_close(streamed[prompt.ids], rows, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["resid_mid", "mlp_in_normalized", "z"])
def test_sites_that_are_made_of_several_places(gpt2, kind):
    whole = dict(gpt2.model.activations(TEXTS, [f"1.{kind}"], batch_size=1))
    site = sk.Site(1, kind)
    last = gpt2.model.gather(TEXTS, [site]).activations[site]
    for row, (prompt, _) in zip(last, gpt2.model.encode_all(TEXTS), strict=True):
        torch.testing.assert_close(row, whole[prompt][site][-1], rtol=1e-4, atol=1e-5)


def test_nothing_but_the_tokens_asked_for_is_kept(gpt2, monkeypatch):
    kept = []
    read = runner.Runner.read

    def watched(self, *arguments):
        record = read(self, *arguments)
        kept.append(sum(x.untyped_storage().nbytes() for x in record["captured"].values()))
        return record

    monkeypatch.setattr(runner.Runner, "read", watched)
    sites = [f"{layer}.resid_post" for layer in range(3)]
    gpt2.model.gather(TEXTS, sites)
    assert kept == [3 * len(TEXTS) * gpt2.model.d_model * 4]


def test_batches_hold_similar_lengths_up_to_a_number_of_tokens():
    lengths = [5, 900, 7, 1000, 6, 3000, 1000]
    assert _batches(lengths, None) == [[0, 4, 2], [1], [3], [6], [5]]
    assert _batches(lengths, 3) == [[0, 4, 2], [1, 3, 6], [5]]
    assert _batches([], None) == []


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("allocator")])
def test_a_batch_that_does_not_fit_the_memory_is_halved(gpt2, monkeypatch, error):
    if type(error) is RuntimeError:
        error = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    expected = gpt2.model.gather(TEXTS, ["1.resid_post"])
    sizes, read = [], runner.Runner.read

    def cramped(self, program, prompts, selection):
        sizes.append(len(prompts))
        if len(prompts) > 1:
            raise error
        return read(self, program, prompts, selection)

    monkeypatch.setattr(runner.Runner, "read", cramped)
    gathered = gpt2.model.gather(TEXTS, ["1.resid_post"])
    assert sizes == [3, 1, 2, 1, 1]
    site = sk.Site.parse("1.resid_post")
    torch.testing.assert_close(gathered.activations[site], expected.activations[site], rtol=1e-4, atol=1e-5)


def test_memory_that_runs_out_inside_the_model_is_noticed(gpt2):
    """As it happens: in a module, under nnsight."""
    sizes = []

    def cramped(_, arguments):
        sizes.append(len(arguments[0]))
        if len(arguments[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    hook = gpt2.model._runner.module.transformer.h[1].mlp.register_forward_pre_hook(cramped)
    try:
        assert len(gpt2.model.gather(TEXTS, ["1.resid_post"]).text) == len(TEXTS)
    finally:
        hook.remove()
    assert sizes == [3, 1, 2]


def test_a_text_that_does_not_fit_alone_is_refused(gpt2, monkeypatch):
    def cramped(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(runner.Runner, "read", cramped)
    with pytest.raises(sk.errors.EngineError, match="does not suffice for a text of"):
        gpt2.model.gather(TEXTS, ["1.resid_post"])


def test_other_errors_pass(gpt2, monkeypatch):
    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(runner.Runner, "read", broken)
    with pytest.raises(RuntimeError, match="something else"):
        gpt2.model.gather(TEXTS, ["1.resid_post"])


def test_what_is_refused(gpt2):
    with pytest.raises(sk.errors.SettingError, match=r"tokens='first' is not known\. Choose 'last'"):
        gpt2.model.gather(TEXTS, ["1.resid_post"], tokens="first")
    bos = gpt2.model.tokenizer.bos_token_id
    with pytest.raises(sk.errors.PromptError, match="no texts to read"):
        gpt2.model.gather([], ["0.resid_post"])
    with pytest.raises(sk.errors.PromptError, match="no token to read but special ones"):
        gpt2.model.gather([[bos]], ["1.resid_post"], tokens="mean")
