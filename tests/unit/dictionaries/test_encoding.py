"""Encoding to sparse activations against dense equations in double precision, in chunks of every size."""

from __future__ import annotations

import pytest
import torch
from dense import Numbers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from steerkit.dictionaries.activations import Gated, GroupMax, JumpReLU, Linear, ReLU, TanhReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.errors import DictionaryError

D, N, K = 12, 40, 5
r = Numbers(5)
THRESHOLD, GATE, SCALE, MAGNITUDE, WEIGHT = r(N), r(N), r(N) / 4, r(N), r.positive(N)


def largest(p: Tensor, by: Tensor, k: int) -> Tensor:
    """The entries of each row that are largest by another matrix; by sorting, unlike the library."""
    return torch.where(by >= by.sort(dim=-1, descending=True).values[:, k - 1 : k], p, 0.0)


def group_max(p: Tensor) -> Tensor:
    blocks = p.relu().reshape(len(p), 8, N // 8)
    return torch.where(blocks == blocks.max(-1, keepdim=True).values, blocks, 0.0).reshape(len(p), N)


KINDS = {
    "relu": (ReLU(), torch.relu),
    "tanh-relu": (TanhReLU(), lambda p: p.relu().tanh()),
    "linear": (Linear(), lambda p: p),
    "jumprelu": (JumpReLU(THRESHOLD), lambda p: p.relu() * (p > THRESHOLD)),
    "batch top-k": (JumpReLU(torch.full((N,), 0.7)), lambda p: p * (p > 0.7)),
    "gated": (
        Gated(GATE, SCALE, MAGNITUDE),
        lambda p: (p * SCALE.double().exp() + MAGNITUDE).relu() * (p + GATE > 0),
    ),
    "top-k": (TopK(K), lambda p: largest(p, p, K).relu()),
    "top-k of most": (TopK(N - K), lambda p: largest(p, p, N - K).relu()),
    "top-k without relu": (TopK(N - K, relu=False), lambda p: largest(p, p, N - K)),
    "top-k by magnitude": (TopK(K, by_magnitude=True), lambda p: largest(p, p.abs(), K)),
    "top-k by weight": (TopK(K, weight=WEIGHT), lambda p: largest(p, p * WEIGHT, K).relu()),
    "group max": (GroupMax(8), group_max),
}


def make(kind: str) -> Dictionary:
    noise = Numbers()
    return Dictionary(
        Parts(
            format="random",
            W_dec=InMemory(noise(N, D)),
            b_dec=noise(D),
            activation=KINDS[kind][0],
            W_enc=InMemory(noise(D, N) / D**0.5),
            b_enc=noise(N) / 4,
            b_pre=noise(D) / 4,
        ),
        "random",
    )


def reference(dictionary: Dictionary, kind: str, x: Tensor) -> Tensor:
    parts = dictionary.parts
    p = (x.double() - parts.b_pre) @ parts.W_enc.whole().double() + parts.b_enc
    return KINDS[kind][1](p)


class Largest(TorchDispatchMode):
    """Bytes of the largest array of numbers for every feature that an operation makes."""

    bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **kwargs or {})
        if isinstance(out, Tensor) and out.is_floating_point() and out.ndim > 1 and out.shape[-1] != D:
            self.bytes = max(self.bytes, out.nbytes)
        return out


@pytest.mark.parametrize("tokens_at_once", [0, 1, 4, 21, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_sparse_activations_are_those_of_the_equation(kind, tokens_at_once):
    dictionary, x = make(kind), Numbers(99)(3, 7, D)
    codes = dictionary.encode(x, budget=4 * N * tokens_at_once)
    expected = reference(dictionary, kind, x.reshape(21, D))
    tokens, features = expected.nonzero(as_tuple=True)
    assert len(tokens) > 21
    assert kind == "linear" or len(tokens) < 21 * N
    assert codes.shape == (3, 7, N)
    assert codes.tokens.equal(tokens)
    assert codes.features.equal(features.int())
    assert codes.counts.equal(expected.ne(0).sum(-1).reshape(3, 7))
    torch.testing.assert_close(codes.values, expected[tokens, features].float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_budget_bounds_what_is_dense(kind):
    dictionary, x = make(kind), Numbers(99)(300, D)
    dictionary.encoder()  # the weights are read
    with Largest() as largest_array:
        dictionary.encode(x, budget=4 * N * 16)
    assert largest_array.bytes == 4 * N * 16
    with Largest() as largest_array:
        dictionary.encode(x)
    assert largest_array.bytes == 4 * N * 300


@pytest.mark.parametrize("kind", ["relu", "tanh-relu", "linear"])
def test_bfloat16_is_coarse(kind):
    dictionary, x = make(kind), Numbers(99)(50, D)
    found, expected = dictionary.encode(x, dtype=torch.bfloat16), reference(dictionary, kind, x).float()
    assert found.values.dtype == torch.float32
    assert not found.to_dense().equal(dictionary.encode(x).to_dense())
    torch.testing.assert_close(found.to_dense(), expected, rtol=0.01, atol=0.03)


def test_top_k_in_bfloat16_keeps_k():
    dictionary, x = make("top-k"), Numbers(99)(50, D)
    found, exact = dictionary.encode(x, dtype=torch.bfloat16), dictionary.encode(x)
    assert found.counts.eq(K).all()
    assert (found.to_dense().ne(0) & exact.to_dense().ne(0)).sum() > 0.95 * len(exact.values)


def test_other_types_are_refused():
    with pytest.raises(DictionaryError, match="float16"):
        make("relu").encode(torch.zeros(2, D), dtype=torch.float16)


def test_activations_that_are_no_numbers_are_seen_where_they_are():
    dictionary, x = make("relu"), Numbers(99)(3, D)
    clean = dictionary.encode(x).to_dense()
    x[1, 4] = torch.nan
    codes = dictionary.encode(x).to_dense()
    assert codes[1].isnan().all()
    assert codes[[0, 2]].equal(clean[[0, 2]])


@pytest.mark.parametrize("kind", KINDS)
def test_no_tokens_give_no_codes(kind):
    dictionary = make(kind)
    codes = dictionary.encode(torch.empty(2, 0, D))
    assert codes.to_dense().shape == (2, 0, N)
    assert dictionary.decode(codes).shape == (2, 0, D)


def test_encoding_carries_no_gradient_and_reading_a_few_does():
    dictionary = make("relu")
    x = Numbers(99)(3, D).requires_grad_()
    assert not dictionary.encode(x).values.requires_grad
    dictionary.encode_features(x, list(range(N))).sum().backward()
    active = (dictionary.encode(x).to_dense() > 0).float()
    torch.testing.assert_close(x.grad, active @ dictionary.parts.W_enc.whole().T)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_the_gpu_finds_the_same(kind):
    dictionary, x = make(kind), Numbers(99)(21, D)
    here, there = dictionary.encode(x), dictionary.encode(x.to("cuda"))
    assert there.values.device.type == "cuda"
    torch.testing.assert_close(there.to_dense().cpu(), here.to_dense(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dictionary.decode(there).cpu(), dictionary.decode(here), rtol=1e-5, atol=1e-5)
