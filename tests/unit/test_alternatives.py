"""What else a text might have said."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.errors import SettingError
from steerkit.tokens import names_of

N = 10


@pytest.fixture(scope="module")
def both(tinystories) -> sk.Comparison:
    edits = [tinystories.vector(norm=0.6).add(1, where=sk.Where(prompt=False))]
    return tinystories.model.compare(tinystories.prompt, edits, max_new_tokens=N)


@pytest.fixture(scope="module")
def alternatives(tinystories, both):
    return tinystories.model.alternatives(both.steered, k=4)


def test_the_figures_are_those_of_a_comparison(both, alternatives):
    torch.testing.assert_close(alternatives.kl, both.kl)
    torch.testing.assert_close(alternatives.run.unsteered_logprobs, both.steered.unsteered_logprobs)
    assert alternatives.run.token_ids == both.steered.token_ids


def test_probabilities_are_those_of_each_model(tinystories, both, alternatives):
    run = both.steered
    for place in (0, N - 1):
        before = [*run.prompt.ids, *run.token_ids[:place]]
        module, ids = tinystories.plain, torch.tensor([before])
        plain = module(ids).logits[0, -1].softmax(-1)
        found = {one.token: one for one in alternatives[place]}
        names = names_of(tinystories.model.tokenizer, plain.topk(4).indices.tolist())
        for name, p in zip(names, plain.topk(4).values.tolist(), strict=True):
            assert found[name].baseline == pytest.approx(p, rel=1e-3)
    written = [{one.token: one.steered for one in alternatives[i]}.get(token) for i, token in enumerate(run.tokens)]
    for i, p in enumerate(written):  # what was written is often among the likeliest
        assert p is None or p == pytest.approx(run.logprobs[i].exp().item(), rel=1e-3)
    assert sum(p is not None for p in written) > N / 2


def test_the_likeliest_come_first_and_once(alternatives):
    for place in range(len(alternatives)):
        steered = [one.steered for one in alternatives[place]]
        assert 4 <= len(steered) <= 8
        assert steered == sorted(steered, reverse=True)
        assert len({one.token for one in alternatives[place]}) == len(steered)
    assert len(alternatives.to_frame()) == sum(len(alternatives[i]) for i in range(N))
    assert "KL" in alternatives._repr_html_()
    assert repr(alternatives).startswith(f"Alternatives({N} tokens, mean KL ")


def test_what_cannot_be_asked_for_is_refused(tinystories, both):
    with pytest.raises(SettingError, match="k=0 is no number of tokens"):
        tinystories.model.alternatives(both.steered, k=0)
