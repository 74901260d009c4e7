"""The self-test on autoencoders trained here on a real model's activations, and on the same ones misread."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import steerkit as sk
from steerkit import storybook
from steerkit.dictionaries.activations import ReLU
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.errors import DictionaryError, PromptError, SiteError, VectorError

N, STEPS, BATCH = 256, 250, 512
SITES = ("0.resid_post", "1.resid_post")


def stories(seeds: range) -> list[str]:
    return [storybook.story(seed=seed).text for seed in seeds]


def trained(model: sk.Model, site_in: str, site_out: str, sparsity: float = 0.15) -> Parts:
    """A sparse autoencoder, or transcoder, of ReLU features with an L1 penalty."""
    read, write = sk.Site.parse(site_in), sk.Site.parse(site_out)
    inputs, targets = [], []
    for prompt, activations in model.activations(stories(range(1000, 1060)), list(dict.fromkeys([read, write]))):
        plain = [i for i, special in enumerate(prompt.special) if not special]
        inputs.append(activations[read][plain])
        targets.append(activations[write][plain])
    x, y = torch.cat(inputs), torch.cat(targets)
    d, noise = x.shape[1], torch.Generator().manual_seed(0)
    scale_in, scale_out = (d**0.5 / part.norm(dim=-1).mean() for part in (x, y))
    x, y = x * scale_in, y * scale_out
    W_dec = torch.nn.functional.normalize(torch.randn(N, d, generator=noise), dim=-1).requires_grad_()
    W_enc = W_dec.detach().T.clone().requires_grad_()
    b_pre, b_dec = x.mean(0), y.mean(0).clone().requires_grad_()
    b_enc = torch.zeros(N, requires_grad=True)
    optimiser = torch.optim.Adam([W_dec, W_enc, b_enc, b_dec], lr=3e-3)
    for _ in range(STEPS):
        rows = torch.randint(len(x), (BATCH,), generator=noise)
        f = ((x[rows] - b_pre) @ W_enc + b_enc).relu()
        error = (y[rows] - f @ W_dec - b_dec).square().sum(-1).mean()
        loss = error + sparsity * d**0.5 * (f * W_dec.norm(dim=-1)).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Parts(
        format="trained here",
        W_dec=InMemory(W_dec.detach() / scale_out),
        b_dec=b_dec.detach() / scale_out,
        activation=ReLU(),
        W_enc=InMemory(W_enc.detach() * scale_in),
        b_enc=b_enc.detach(),
        b_pre=b_pre / scale_in,
        model="tinystories656K",
        site_in=read,
        site_out=write,
    )


@pytest.fixture(scope="module", params=SITES)
def parts(request, tinystories) -> Parts:
    return trained(tinystories.model, request.param, request.param)


def check(parts: Parts, served: sk.Model, texts: list[str] | None = None, **changes) -> sk.SelfTest:
    found = Dictionary(replace(parts, **changes), "trained here").self_test(served, texts or stories(range(6)))
    print(found)
    return found


def wrong_model(folder, shuffled: bool) -> sk.Model:
    """A model of the same widths whose weights are random, or its own in another order."""
    torch.manual_seed(0)
    if shuffled:
        module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with torch.no_grad():
            for weights in module.parameters():
                weights.copy_(weights.flatten()[torch.randperm(weights.numel())].view_as(weights))
    else:
        module = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    return sk.load(module, tokenizer=sk.load(folder).tokenizer)


def test_it_passes_where_it_was_trained(parts, tinystories):
    found = check(parts, tinystories.model)
    assert found.passed
    assert found.problems == ()
    assert found.explained_variance > 0.6
    assert found.loss < found.loss_reconstructed < found.loss_mean_ablated
    assert found.by_site[parts.site_out] == found.explained_variance


def test_figures_are_those_of_the_plain_model(tinystories):
    """Against sums over all tokens at once, and torch hooks in the plain model."""
    parts, model = trained(tinystories.model, SITES[0], SITES[0]), tinystories.model
    dictionary, texts = Dictionary(parts, "trained here"), stories(range(3))
    found = dictionary.self_test(model, texts)
    with torch.no_grad():
        prompts = [model.encode(text) for text in texts]
        layer = tinystories.plain.model.layers[0]
        kept: list[torch.Tensor] = []
        handle = layer.register_forward_hook(lambda *call: kept.append(call[-1][0].clone()))
        scores = [tinystories.plain(torch.tensor([prompt.ids])).logits[0].log_softmax(-1) for prompt in prompts]
        handle.remove()
        x = torch.cat([rows[1:] for rows in kept])  # without BOS
        codes = dictionary.encode(x)
        error = x - dictionary.decode(codes)
        explained = 1 - error.square().sum() / (x - x.mean(0)).square().sum()
        losses = {"as it is": scores}
        for name, change in {
            "reconstructed": lambda rows: dictionary.decode(dictionary.encode(rows)),
            "mean": lambda rows: x.mean(0).expand_as(rows),
        }.items():

            def replaced(_, args, output, change=change):
                return torch.cat([output[:, :1], change(output[:, 1:])], dim=1)

            handle = layer.register_forward_hook(replaced)
            losses[name] = [
                tinystories.plain(torch.tensor([prompt.ids])).logits[0].log_softmax(-1) for prompt in prompts
            ]
            handle.remove()
    nats = {
        name: -torch.cat(
            [row[1:-1].gather(-1, torch.tensor(p.ids[2:])[:, None]) for row, p in zip(rows, prompts, strict=True)]
        ).mean()
        for name, rows in losses.items()
    }
    assert found.n_tokens == len(x)
    assert found.explained_variance == pytest.approx(explained.item(), rel=1e-4)
    assert found.l0 == pytest.approx(codes.counts.float().mean().item())
    assert found.loss == pytest.approx(nats["as it is"].item(), rel=1e-4)
    assert found.loss_reconstructed == pytest.approx(nats["reconstructed"].item(), rel=1e-4)
    assert found.loss_mean_ablated == pytest.approx(nats["mean"].item(), rel=1e-4)
    assert found.loss_recovered == pytest.approx(
        ((nats["mean"] - nats["reconstructed"]) / (nats["mean"] - nats["as it is"])).item(), rel=1e-3
    )


def test_a_wrong_layer_is_told_and_the_right_one_named(parts, tinystories):
    wrong = sk.Site(1 - parts.site_in.layer, "resid_post")
    found = check(parts, tinystories.model, site_in=wrong, site_out=wrong)
    assert not found.passed
    assert any(f"it seems to belong to {parts.site_out}" in problem for problem in found.problems)


def test_a_transcoder(tinystories):
    parts = trained(tinystories.model, "1.mlp_in", "1.mlp_out", sparsity=0.04)
    assert check(parts, tinystories.model).passed
    wrong = {"site_in": sk.Site(0, "mlp_in"), "site_out": sk.Site(0, "mlp_out")}
    assert "it seems to belong to 1.mlp_out" in " ".join(check(parts, tinystories.model, **wrong).problems)
    assert not check(parts, tinystories.model, b_dec=torch.zeros(128)).passed


@pytest.mark.parametrize("shuffled", [True, False])
def test_a_wrong_model_of_the_same_width_is_told(parts, tinystories_folder, shuffled):
    found = check(parts, wrong_model(tinystories_folder, shuffled))
    assert not found.passed
    assert "of the variance" in found.problems[0]


def test_the_model_that_it_was_trained_on_is_named(parts, tinystories_folder):
    found = check(parts, wrong_model(tinystories_folder, False), model="google/gemma-2-2b")
    assert "trained on google/gemma-2-2b" in found.problems[-1]


def test_a_model_of_another_width_is_refused(parts, gpt2):
    with pytest.raises(VectorError, match="reads activations 128 wide; these are 32 wide"):
        check(parts, gpt2.model, ["One day"])


@pytest.mark.parametrize("way", ["as square blocks", "as its file lay"])
def test_a_transposed_encoder_is_told(parts, tinystories, way):
    W_enc = parts.W_enc.whole()
    blocks = torch.cat([block.T for block in W_enc.split(W_enc.shape[0], dim=1)], dim=1)
    turned = blocks if way == "as square blocks" else W_enc.T.contiguous().view(W_enc.shape)
    found = check(parts, tinystories.model, W_enc=InMemory(turned))
    assert not found.passed
    assert any("transposed" in problem for problem in found.problems)


@pytest.mark.parametrize("biases", [["b_dec"], ["b_pre"], ["b_dec", "b_pre"]], ids=str)
def test_a_missing_bias_is_told(parts, tinystories, biases):
    found = check(parts, tinystories.model, **{name: torch.zeros(128) for name in biases})
    assert not found.passed
    assert any("bias" in problem for problem in found.problems)


def test_the_published_number_of_active_features_has_to_be_met(parts, tinystories):
    l0 = check(parts, tinystories.model).l0
    assert check(parts, tinystories.model, l0=l0 * 1.5).passed
    found = check(parts, tinystories.model, l0=l0 * 3)
    assert any("are published" in problem for problem in found.problems)


def test_nothing_active_is_told(parts, tinystories):
    found = check(parts, tinystories.model, b_enc=torch.full((N,), -1e6))
    (problem,) = found.problems
    assert problem.startswith("None of its features is active")


def test_what_cannot_be_tested_is_refused(parts, tinystories):
    dictionary = Dictionary(parts, "trained here")
    with pytest.raises(PromptError, match="no two tokens that are not special"):
        dictionary.self_test(tinystories.model, [[1]])
    with pytest.raises(PromptError, match="Put it into brackets"):
        dictionary.self_test(tinystories.model, "Once upon a time")
    with pytest.raises(SiteError, match="layers are 0 to 1"):
        check(parts, tinystories.model, site_in=sk.Site(7, "resid_post"), site_out=sk.Site(7, "resid_post"))
    with pytest.raises(DictionaryError, match="has no encoder"):
        check(parts, tinystories.model, W_enc=None)


def test_the_result_shows_itself(parts, tinystories):
    found = check(replace(parts, l0=1000.0), tinystories.model)
    frame = found.to_frame()
    assert frame["loss_recovered"][0] == found.loss_recovered
    assert not frame["passed"][0]
    assert "failed" in str(found)
    assert "&#x27;" in replace(found, problems=("site='<b>'",))._repr_html_()
    assert "<b>" not in replace(found, problems=("site='<b>'",))._repr_html_()
    assert len(found.plot().axes[0].patches) == 2
