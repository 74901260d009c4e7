"""Attention weights: those that transformers gives, of the steered model too, and nothing stays changed."""

import copy

import pytest
import torch

from steerkit.errors import SiteError


def plain_weights(subject, layer: int) -> torch.Tensor:
    plain = copy.deepcopy(subject.plain)  # transformers leaves hooks on a model that it takes attention from
    plain.set_attn_implementation("eager")
    with torch.no_grad():
        output = plain(torch.tensor([subject.ids()]), output_attentions=True)
    return output.attentions[layer][0]


def test_weights_are_those_of_transformers(subject) -> None:
    layer = subject.model.n_layers - 1
    found = subject.model.attention(subject.prompt, layer)
    torch.testing.assert_close(found, plain_weights(subject, layer), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.sum(-1), torch.ones(found.shape[:2]))
    assert found.triu(1).abs().max() == 0


def test_the_model_stays_as_it_was(subject) -> None:
    module = subject.model.nnsight._module
    hooks = [dict(part._forward_hooks) for part in module.modules()]
    before = module.config._attn_implementation
    logprobs = subject.model.score(subject.prompt)
    subject.model.attention(subject.prompt, 0)
    assert module.config._attn_implementation == before
    assert [dict(part._forward_hooks) for part in module.modules()] == hooks
    assert torch.equal(subject.model.score(subject.prompt), logprobs)


def test_edits_change_it_from_their_layer_on(drawn) -> None:
    vector = drawn.vector(site="0.resid_post", norm=2.0)
    first, last = 0, drawn.model.n_layers - 1
    plain = [drawn.model.attention(drawn.prompt, layer) for layer in (first, last)]
    steered = [drawn.model.attention(drawn.prompt, layer, [vector.add(1)]) for layer in (first, last)]
    assert torch.equal(plain[0], steered[0])
    assert not torch.allclose(plain[1], steered[1])


def test_a_layer_that_there_is_not(gpt2) -> None:
    with pytest.raises(SiteError, match="its layers are 0 to 2"):
        gpt2.model.attention(gpt2.prompt, 3)
    gpt2.model.score(gpt2.prompt)
