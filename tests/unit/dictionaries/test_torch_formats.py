"""Goodfire, OpenAI, Qwen-Scope and plain files against their publishers' equations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dense import D, N, Numbers, activations, check, double, top_k

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError
from steerkit.sites import Site

TOY = Path(__file__).resolve().parents[4] / "shared" / "data" / "dictionaries" / "sehajr_toy" / "sae.pt"


def save(path: Path, tensors: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_goodfire(tmp_path, dtype):
    r = Numbers()
    tensors = {
        "encoder_linear.weight": r(N, D, dtype=dtype),
        "encoder_linear.bias": r(N, dtype=dtype),
        "decoder_linear.weight": r(D, N, dtype=dtype),
        "decoder_linear.bias": r(D, dtype=dtype),
    }
    path = save(tmp_path / "Llama-3.3-70B-Instruct-SAE-l50" / "Llama-3.3-70B-Instruct-SAE-l50.pt", tensors)
    t, x = double(tensors), activations()
    f = (x @ t["encoder_linear.weight"].T + t["encoder_linear.bias"]).clamp(min=0)
    y = f @ t["decoder_linear.weight"].T + t["decoder_linear.bias"]
    for parts in (read_parts(path), read_parts(path.parent)):
        check(parts, f, y)
        assert parts.format == "goodfire"
        assert parts.model == "meta-llama/Llama-3.3-70B-Instruct"
        assert parts.site_in == parts.site_out == Site(50, "resid_post")
        assert parts.chat


def test_qresearch(tmp_path):
    r = Numbers()
    tensors = {"encoder.weight": r(N, D), "encoder.bias": r(N), "decoder.weight": r(D, N), "decoder.bias": r(D)}
    path = save(tmp_path / "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt", tensors)
    t = double(tensors)
    f = (activations() @ t["encoder.weight"].T + t["encoder.bias"]).clamp(min=0)
    parts = read_parts(path)
    check(parts, f, f @ t["decoder.weight"].T + t["decoder.bias"])
    assert parts.model == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
    assert parts.site_in == Site(19, "resid_post")


def test_gpt_oss(tmp_path):
    r = Numbers()
    tensors = {"encoder_linear.weight": r(N, D), "encoder_linear.bias": r(N) + 1, "decoder.weight": r(D, N)}
    path = save(tmp_path / "Hackathon-gpt-oss-20b-SAE-l15" / "topk_sae_l15_exp16_k3.pt", tensors)
    t = double(tensors)
    f = top_k(activations() @ t["encoder_linear.weight"].T + t["encoder_linear.bias"], 3).clamp(min=0)
    parts = read_parts(path)
    check(parts, f, f @ t["decoder.weight"].T)
    assert parts.site_in == Site(15, "resid_post")


def openai(r: Numbers, d: int = D) -> dict:
    return {
        "pre_bias": r(d),
        "encoder.weight": r(N, d),
        "latent_bias": r(N),
        "decoder.weight": r(d, N),
        "stats_last_nonzero": torch.zeros(N, dtype=torch.int64),
    }


@pytest.mark.parametrize(
    ("place", "site"),
    [
        ("mlp_post_act", "3.mlp_post"),
        ("resid_delta_mlp_v4", "3.mlp_out"),
    ],
)
def test_openai_relu(tmp_path, place, site):
    tensors = openai(Numbers())
    path = save(tmp_path / "gpt2-small" / place / "autoencoders" / "3.pt", {**tensors, "activation": "ReLU"})
    t = double(tensors)
    f = ((activations() - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"]).clamp(min=0)
    parts = read_parts(path)
    check(parts, f, f @ t["decoder.weight"].T + t["pre_bias"])
    assert str(parts.site_in) == site
    assert not parts.centred


@pytest.mark.parametrize(
    ("place", "site"),
    [
        ("resid_delta_attn_v5_32k", "11.attn_out"),
        ("resid_delta_mlp_v5_32k", "11.mlp_out"),
        ("resid_post_attn_v5_128k", "11.resid_mid"),
        ("resid_post_mlp_v5_128k", "11.resid_post"),
    ],
)
def test_openai_top_k_on_normalised_activations(tmp_path, place, site):
    tensors = openai(Numbers())
    state = {"activation": "TopK", "activation_state_dict": {"k": 3, "postact_fn": "ReLU"}}
    path = save(tmp_path / place / "autoencoders" / "11.pt", {**tensors, **state})
    t, x = double(tensors), activations()
    mean = x.mean(-1, keepdim=True)
    spread = (x - mean).std(-1, keepdim=True)
    normed = (x - mean) / (spread + 1e-5)
    f = top_k((normed - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"], 3).clamp(min=0)
    parts = read_parts(path)
    check(parts, f, (f @ t["decoder.weight"].T + t["pre_bias"]) * spread + mean)
    assert str(parts.site_in) == site


def test_openai_with_a_tied_decoder_and_without_a_known_place(tmp_path):
    tensors = openai(Numbers())
    del tensors["decoder.weight"]
    t = double(tensors)
    f = ((activations() - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"]).clamp(min=0)
    parts = read_parts(save(tmp_path / "mine.pt", tensors))
    check(parts, f, f @ t["encoder.weight"] + t["pre_bias"])
    assert parts.site_in is None
    assert read_parts(tmp_path / "mine.pt", site="2.resid_post").site_out == Site(2, "resid_post")


@pytest.mark.parametrize("n", [N, D])
def test_qwen_scope_keeps_negative_values_among_the_k(tmp_path, n):
    """Other loaders put a ReLU behind; the publisher's example does not. With n = d its name tells what is what."""
    r = Numbers()
    tensors = {"W_enc": r(n, D), "W_dec": r(D, n), "b_enc": r(n) - 3, "b_dec": r(D)}
    path = save(tmp_path / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_4" / "layer7.sae.pt", tensors)
    t = double(tensors)
    f = top_k(activations() @ t["W_enc"].T + t["b_enc"], 4)
    assert (f < 0).any()
    parts = read_parts(path)
    check(parts, f, f @ t["W_dec"].T + t["b_dec"])
    assert parts.site_in == read_parts(path.parent).site_in == Site(7, "resid_post")
    assert parts.model == "Qwen/Qwen3-1.7B-Base"
    path = save(tmp_path / "elsewhere" / "layer7.sae.pt", tensors)
    with pytest.raises(DictionaryError, match="Give it as k="):
        read_parts(path)
    check(read_parts(path, k=4), f, f @ t["W_dec"].T + t["b_dec"])


@pytest.mark.parametrize("by_feature", [True, False])
def test_plain_either_way_round(tmp_path, by_feature):
    r = Numbers()
    tensors = {"W_enc": r(D, N), "W_dec": r(N, D), "b_enc": r(N), "b_dec": r(D)}
    stored = {name: value.T if value.ndim == 2 and by_feature else value for name, value in tensors.items()}
    path = save(tmp_path / "mine.pt", stored)
    t = double(tensors)
    f = top_k((activations() - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 2).clamp(min=0)
    parts = read_parts(path, format="plain", kind="topk", k=2, subtract_b_dec=True)
    check(parts, f, f @ t["W_dec"] + t["b_dec"])
    with pytest.raises(DictionaryError, match=r"is of no known format.*format="):
        read_parts(path)
    with pytest.raises(DictionaryError, match="does not say its activation function"):
        read_parts(path, format="plain")


def test_plain_does_not_guess_a_square(tmp_path):
    r = Numbers()
    path = save(tmp_path / "mine.pt", {"W_enc": r(D, D), "W_dec": r(D, D), "b_enc": r(D), "b_dec": r(D)})
    with pytest.raises(DictionaryError, match=r"as many features as dimensions \(6\)"):
        read_parts(path, format="plain", kind="relu")


@pytest.mark.skipif(not TOY.exists(), reason="the shared test data are not here")
def test_a_real_plain_file():
    """Four tensors, the encoder by feature; its authors subtract `b_dec` and take a ReLU."""
    with pytest.raises(DictionaryError, match="no known format"):
        read_parts(TOY)
    t = double(torch.load(TOY, weights_only=True))
    x = activations(32)
    f = ((x - t["b_dec"]) @ t["W_enc"].T + t["b_enc"]).clamp(min=0)
    parts = read_parts(TOY, format="plain", kind="relu", subtract_b_dec=True, model="toy")
    check(parts, f, f @ t["W_dec"].T + t["b_dec"], x)
    assert (parts.n_features, parts.d_in, parts.model) == (64, 32, "toy")
