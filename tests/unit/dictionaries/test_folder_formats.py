"""sparsify, Llama Scope and circuit-tracer against their publishers' equations."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import pytest
import torch
from dense import D, N, Numbers, activations, check, double, top_k, write_json
from safetensors.torch import save_file

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError

K = 3


def save(path: Path, tensors: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return path


# sparsify -------------------------------------------------------------------------------------------------------------


def sparsify(d_out: int = D) -> dict:
    r = Numbers()
    return {"encoder.weight": r(N, D), "encoder.bias": r(N), "W_dec": r(N, d_out), "b_dec": r(d_out)}


def write_sparsify(folder: Path, tensors: dict, **config) -> Path:
    save(folder / "sae.safetensors", tensors)
    cfg = {"d_in": D, "num_latents": 0, "expansion_factor": 2, "k": K, "normalize_decoder": True, "multi_topk": False}
    write_json(folder / "cfg.json", cfg | config)
    return folder


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("layers.10", "10.resid_post"),
        ("layers.10.mlp", "10.mlp_out"),
        ("layers.10.attention", "10.attn_out"),
        ("h.10", "10.resid_post"),
        ("layer_10", "10.resid_post"),
        ("embed_tokens", "0.resid_pre"),
        ("layers.10/seed2", "10.resid_post"),
    ],
)
def test_sparsify(tmp_path, name, site):
    """`W_dec` is not transposed, and `b_dec` always subtracted: SAELens's loader does otherwise in both."""
    tensors = sparsify()
    t = double(tensors)
    f = top_k(((activations() - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]).clamp(min=0), K)
    parts = read_parts(write_sparsify(tmp_path / "EleutherAI" / "sae-pythia-160m" / name, tensors))
    check(parts, f, f @ t["W_dec"] + t["b_dec"])
    assert str(parts.site_in) == str(parts.site_out) == site


def test_sparsify_group_max(tmp_path):
    tensors = sparsify()
    t = double(tensors)
    p = ((activations() - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]).clamp(min=0)
    f = torch.zeros_like(p)
    for group in range(5):
        block = p[:, 2 * group : 2 * group + 2]
        f[:, 2 * group : 2 * group + 2] = torch.where(block == block.max(1, keepdim=True).values, block, 0)
    parts = read_parts(write_sparsify(tmp_path, tensors, activation="groupmax", k=5))
    check(parts, f, f @ t["W_dec"] + t["b_dec"])


def test_sparsify_signed(tmp_path):
    tensors = sparsify()
    t = double(tensors)
    p = (activations() - t["b_dec"]) @ t["encoder.weight"].T + t["encoder.bias"]
    f = torch.where(top_k(p.abs(), K) > 0, p, 0)
    check(read_parts(write_sparsify(tmp_path, tensors, signed=True)), f, f @ t["W_dec"] + t["b_dec"])


def test_sparsify_skip_transcoder(tmp_path):
    tensors = sparsify(D + 1) | {"W_skip": Numbers(1)(D + 1, D)}
    t, x = double(tensors), activations()
    f = top_k((x @ t["encoder.weight"].T + t["encoder.bias"]).clamp(min=0), K)
    write_json(tmp_path / "config.json", {"model": "HuggingFaceTB/SmolLM2-135M"})
    folder = write_sparsify(tmp_path / "layers.3.mlp", tensors, transcode=True, skip_connection=True)
    parts = read_parts(folder)
    check(parts, f, f @ t["W_dec"] + t["b_dec"] + x @ t["W_skip"].T)
    assert (str(parts.site_in), str(parts.site_out)) == ("3.mlp_in", "3.mlp_out")
    assert parts.model == "HuggingFaceTB/SmolLM2-135M"


def test_sparsify_on_an_mlp_of_gemma_2_has_no_site(tmp_path):
    """The module's own output comes before the post-norm, so it is not what is added to the stream."""
    write_json(tmp_path / "config.json", {"model": "google/gemma-2-2b"})
    assert read_parts(write_sparsify(tmp_path / "layers.3.mlp", sparsify())).site_in is None


# Llama Scope ----------------------------------------------------------------------------------------------------------


def linear(d_out: int = D) -> dict:
    r = Numbers()
    return {
        "encoder.weight": r(N, D),
        "encoder.bias": r(N),
        "decoder.weight": r(d_out, N),
        "decoder.bias": r(d_out),
    }


@pytest.mark.parametrize("act_fn", ["jumprelu", "topk"])
@pytest.mark.parametrize("by_norm", [True, False])
@pytest.mark.parametrize("d_out", [D, D + 1])
def test_llama_scope(tmp_path, act_fn, by_norm, d_out):
    """The gate looks at the pre-activation times the decoder norm, which SAELens's loader leaves out."""
    tensors, theta = linear(d_out), 0.35546875
    mean_norm = {"in": 10.8125, "out": 3.5}
    root = tmp_path / "Llama3_1-8B-Base-LXTC-8x" / "Llama3_1-8B-Base-L15TC-8x"
    path = save(root / "checkpoints" / "final.safetensors", tensors)
    write_json(
        root / "hyperparams.json",
        {
            "d_model": D,
            "d_sae": N,
            "hook_point_in": "blocks.15.ln2.hook_normalized",
            "hook_point_out": "blocks.15.hook_mlp_out",
            "act_fn": act_fn,
            "jump_relu_threshold": theta,
            "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": mean_norm,
            "sparsity_include_decoder_norm": by_norm,
            "use_decoder_bias": True,
            "apply_decoder_bias_to_pre_encoder": False,
            "use_glu_encoder": False,
        },
    )
    t = double(tensors)
    s_in, s_out = sqrt(D) / mean_norm["in"], sqrt(d_out) / mean_norm["out"]
    W_d, W_e, b_e = t["decoder.weight"] * s_in / s_out, t["encoder.weight"], t["encoder.bias"] / s_in
    n = W_d.norm(dim=0) if by_norm else torch.ones(N)
    p = activations() @ (W_e * n[:, None]).T + b_e * n
    f = torch.where(p > theta, p, 0)
    y = f @ (W_d / n).T + t["decoder.bias"] / s_out
    for where in (root, path):
        parts = read_parts(where)
        check(parts, f, y)
        assert parts.model == "meta-llama/Llama-3.1-8B"
        assert (str(parts.site_in), str(parts.site_out)) == ("15.mlp_in_normalized", "15.mlp_out")


@pytest.mark.parametrize("scale_in_file", [True, False])
@pytest.mark.parametrize("by_norm", [True, False])
def test_llama_scope_r1_distill(tmp_path, scale_in_file, by_norm):
    """Thresholds are in units of the scaled activations here."""
    tensors = linear() | {"log_jumprelu_threshold": Numbers(1).positive(N).log()}
    hook = "blocks.15.hook_resid_post"
    if scale_in_file:
        tensors[f"dataset_average_activation_norm.{hook}"] = torch.tensor(sqrt(D) / 0.55293)
    folder = tmp_path / "fnlp" / "Llama-Scope-R1-Distill" / "800M-Slimpajama-0-OpenR1-Math-220k" / "L15R"
    save(folder / "sae_weights.safetensors", tensors)
    config = {"d_model": D, "hook_point_in": hook, "act_fn": "jumprelu", "norm_activation": "dataset-wise"}
    write_json(folder / "config.json", config | {"sparsity_include_decoder_norm": by_norm})
    t, s = double(tensors), 0.55293
    n = t["decoder.weight"].norm(dim=0) if by_norm else torch.ones(N)
    p = s * activations() @ t["encoder.weight"].T + t["encoder.bias"]
    f = p * (p * n > t["log_jumprelu_threshold"].exp())
    y = (f @ t["decoder.weight"].T + t["decoder.bias"]) / s
    parts = read_parts(folder, **({} if scale_in_file else {"scale": s}))
    check(parts, f, y)
    assert parts.model == "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
    assert str(parts.site_in) == str(parts.site_out) == "15.resid_post"
    if not scale_in_file:
        with pytest.raises(DictionaryError, match="Give it as scale="):
            read_parts(folder)


@pytest.mark.parametrize("act_fn", ["jumprelu", "topk"])
def test_llamascopium(tmp_path, act_fn):
    r = Numbers()
    tensors = {"W_E": r(D, N), "b_E": r(N), "W_D": r(N, D), "b_D": r(D)}
    hook = "blocks.2.hook_attn_out"
    tensors[f"dataset_average_activation_norm.{hook}"] = torch.tensor([4.0])
    if act_fn == "jumprelu":
        tensors["activation_function.log_jumprelu_threshold"] = r.positive(N).log()
    save(tmp_path / "sae_weights.safetensors", tensors)
    config = {"hook_point_in": hook, "hook_point_out": hook, "act_fn": act_fn, "top_k": K}
    write_json(tmp_path / "config.json", config | {"sparsity_include_decoder_norm": True})
    t, s = double(tensors), sqrt(D) / 4
    n = t["W_D"].norm(dim=1)
    q = (s * activations() @ t["W_E"] + t["b_E"]) * n
    if act_fn == "jumprelu":
        f = q * (q > t["activation_function.log_jumprelu_threshold"].exp()) / n
    else:
        f = top_k(q, K).clamp(min=0) / n
    parts = read_parts(tmp_path)
    check(parts, f, (f @ t["W_D"] + t["b_D"]) / s)
    assert str(parts.site_in) == "2.attn_out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_glu_encoder": True}, "gated linear unit"),
        ({"norm_activation": "token-wise"}, "'token-wise'; dataset-wise and none are served"),
        ({"act_fn": "gelu"}, "activation function 'gelu'"),
        ({"dataset_average_activation_norm": {"in": 0, "out": 1}}, "not as the format 'llama_scope' describes"),
        ({"dataset_average_activation_norm": None}, "not as the format 'llama_scope' describes"),
    ],
)
def test_llama_scope_that_cannot_be_served(tmp_path, change, message):
    save(tmp_path / "checkpoints" / "final.safetensors", linear())
    config = {"act_fn": "relu", "dataset_average_activation_norm": {"in": 2.0, "out": 2.0}}
    write_json(tmp_path / "hyperparams.json", config | change)
    with pytest.raises(DictionaryError, match=message):
        read_parts(tmp_path)


# circuit-tracer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "topk", "none", None])
def test_circuit_tracer(tmp_path, activation):
    r = Numbers()
    tensors = {"W_enc": r(N, D), "b_enc": r(N) - 2, "W_dec": r(N, D + 1), "b_dec": r(D + 1), "W_skip": r(D + 1, D)}
    if activation == "none":
        tensors["activation_function.threshold"] = r.positive(N)
    path = save(tmp_path / "layer_4.safetensors", tensors)
    (tmp_path / "config.yaml").write_text(
        "model_name: meta-llama/Llama-3.2-1B\nmodel_kind: transcoder_set\n"
        "feature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n"
        + (f"activation: {activation}\nk: {K}\n" if activation else "")
    )
    t, x = double(tensors), activations()
    p = x @ t["W_enc"].T + t["b_enc"]
    f = top_k(p, K) if activation == "topk" else p.clamp(min=0)
    if activation == "none":
        f = f * (p > t["activation_function.threshold"])
    for where in (tmp_path, path):
        parts = read_parts(where)
        check(parts, f, f @ t["W_dec"] + t["b_dec"] + x @ t["W_skip"].T)
        assert parts.model == "meta-llama/Llama-3.2-1B"
    assert (str(parts.site_in), str(parts.site_out)) == ("4.mlp_in", "4.mlp_out")


def test_mwhanna_without_a_config(tmp_path):
    r = Numbers()
    tensors = {"W_enc": r(N, D), "b_enc": r(N), "W_dec": r(N, D), "b_dec": r(D)}
    path = save(tmp_path / "qwen3-4b-transcoders" / "layer_0.safetensors", tensors)
    t = double(tensors)
    f = (activations() @ t["W_enc"].T + t["b_enc"]).clamp(min=0)
    parts = read_parts(path)
    check(parts, f, f @ t["W_dec"] + t["b_dec"])
    assert (str(parts.site_in), str(parts.site_out)) == ("0.mlp_in", "0.mlp_out")
