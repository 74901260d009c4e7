"""SAELens's own format against its equations, for every architecture, normalisation and generation of cfg.json."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dense import D, N, Numbers, activations, check, double, evaluate, top_k, write_json
from safetensors.torch import save_file

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError

K = 3


def weights(architecture: str = "standard", d_out: int = D) -> dict:
    r = Numbers()
    tensors = {"W_enc": r(D, N), "W_dec": r(N, d_out), "b_dec": r(d_out)}
    if architecture == "gated":
        return tensors | {"b_gate": r(N), "b_mag": r(N), "r_mag": r(N)}
    tensors["b_enc"] = r(N)
    if architecture.startswith("jumprelu"):
        tensors["threshold"] = r.positive(N)
    if "skip" in architecture:
        tensors["W_skip"] = r(d_out, D)
    return tensors


def config(**changes) -> dict:
    """A cfg.json as version 6 writes it."""
    metadata = {
        "model_name": "gpt2-small",
        "hook_name": "blocks.7.hook_resid_pre",
        "hf_hook_name": None,
        "hook_head_index": None,
        "prepend_bos": True,
        "exclude_special_tokens": False,
        "sae_lens_version": "6.54.12",
    }
    base = {
        "d_in": D,
        "d_sae": N,
        "dtype": "float32",
        "architecture": "standard",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    return base | changes | {"metadata": metadata | changes.get("metadata", {})}


def flat(**changes) -> dict:
    """A cfg.json as versions 3 to 5 write it."""
    return {
        "d_in": D,
        "d_sae": N,
        "dtype": "torch.float32",
        "model_name": "gpt2-small",
        "hook_name": "blocks.7.hook_resid_pre",
        "hook_layer": 7,
        "hook_head_index": None,
        "activation_fn_str": "relu",
        "activation_fn_kwargs": {},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "normalize_activations": "none",
        "prepend_bos": True,
    } | changes


def write(folder: Path, tensors: dict, cfg: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "sae_weights.safetensors")
    write_json(folder / "cfg.json", cfg)
    return folder


def encode(t: dict, architecture: str, a: torch.Tensor) -> torch.Tensor:
    if architecture == "gated":
        gate = a @ t["W_enc"] + t["b_gate"] > 0
        return gate * (a @ (t["W_enc"] * t["r_mag"].exp()) + t["b_mag"]).clamp(min=0)
    p = a @ t["W_enc"] + t["b_enc"]
    if architecture == "topk":
        return top_k(p, K).clamp(min=0)
    if architecture == "abstopk":
        return torch.where(top_k(p.abs(), K) > 0, p, 0)
    return p.clamp(min=0) * (p > t["threshold"]) if "threshold" in t else p.clamp(min=0)


@pytest.mark.parametrize("architecture", ["standard", "topk", "abstopk", "jumprelu", "gated"])
@pytest.mark.parametrize("apply_b_dec", [True, False])
@pytest.mark.parametrize("normalisation", ["none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"])
def test_version_6(tmp_path, architecture, apply_b_dec, normalisation):
    tensors = weights(architecture)
    cfg = config(architecture=architecture, apply_b_dec_to_input=apply_b_dec, normalize_activations=normalisation, k=K)
    t, x = double(tensors), activations()
    scale, shift = 1.0, 0.0
    if normalisation == "layer_norm":
        shift, spread = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        normed, scale = (x - shift) / (spread + 1e-5), spread
    elif normalisation == "constant_norm_rescale":
        scale = x.norm(dim=-1, keepdim=True) / D**0.5
        normed = x / scale
    elif normalisation == "expected_average_only_in":
        scale, normed = 1 / 0.285, x * 0.285
    else:
        normed = x
    f = encode(t, architecture, normed - t["b_dec"] * apply_b_dec)
    y = (f @ t["W_dec"] + t["b_dec"]) * scale + shift
    hints = {"scale": 0.285} if normalisation == "expected_average_only_in" else {}
    parts = read_parts(write(tmp_path, tensors, cfg), **hints)
    check(parts, f, y)
    assert (parts.format, parts.model) == ("saelens", "gpt2-small")
    assert str(parts.site_in) == str(parts.site_out) == "7.resid_pre"
    assert not parts.skip_bos


def test_a_constant_scale_that_nobody_tells_is_taken_as_folded(tmp_path):
    tensors = weights()
    folder = write(tmp_path, tensors, config(normalize_activations="expected_average_only_in"))
    t = double(tensors)
    f = encode(t, "standard", activations() - t["b_dec"])
    check(read_parts(folder), f, f @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize(
    "architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"]
)
def test_transcoders(tmp_path, architecture):
    """No `b_dec` before encoding, and `W_skip` as (d_out, d_in)."""
    tensors = weights(architecture, d_out=D + 1)
    places = {"hook_name": "blocks.3.ln2.hook_normalized", "hook_name_out": "blocks.3.hook_mlp_out"}
    cfg = config(architecture=architecture, apply_b_dec_to_input=False, d_out=D + 1, metadata=places)
    t, x = double(tensors), activations()
    f = encode(t, architecture, x)
    y = f @ t["W_dec"] + t["b_dec"]
    if "W_skip" in t:
        y = y + x @ t["W_skip"].T
    parts = read_parts(write(tmp_path, tensors, cfg))
    check(parts, f, y)
    assert (str(parts.site_in), str(parts.site_out)) == ("3.mlp_in_normalized", "3.mlp_out")


def test_top_k_rescaled_by_decoder_norms(tmp_path):
    """Features are ranked and counted by `p` times the decoder norm, and decoded by the unit row."""
    tensors = weights()
    cfg = config(architecture="topk", k=K, rescale_acts_by_decoder_norm=True)
    t = double(tensors)
    norms = t["W_dec"].norm(dim=1)
    p = (activations() - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    f = top_k(p * norms, K).clamp(min=0)
    assert not top_k(p, K).ne(0).equal(top_k(p * norms, K).ne(0))
    check(read_parts(write(tmp_path, tensors, cfg)), f, (f / norms) @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize("rescale", [True, False])
def test_a_training_checkpoint_of_batch_top_k(tmp_path, rescale):
    tensors = weights() | {"topk_threshold": torch.tensor(0.8)}
    cfg = config(architecture="matryoshka_batchtopk", rescale_acts_by_decoder_norm=rescale)
    t = double(tensors)
    norms = t["W_dec"].norm(dim=1) if rescale else torch.ones(N)
    q = ((activations() - t["b_dec"]) @ t["W_enc"] + t["b_enc"]) * norms
    f = q.clamp(min=0) * (q > 0.8)
    check(read_parts(write(tmp_path, tensors, cfg)), f, (f / norms) @ t["W_dec"] + t["b_dec"])


def test_an_old_checkpoint_has_the_logarithm_of_the_threshold(tmp_path):
    tensors = weights("jumprelu")
    t = double(tensors)
    tensors["log_threshold"] = tensors.pop("threshold").log()
    f = encode(t, "jumprelu", activations() - t["b_dec"])
    check(read_parts(write(tmp_path, tensors, flat(architecture="jumprelu"))), f, f @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize("switch", [True, False])
def test_versions_3_to_5_scale_the_decoder_if_they_say_so(tmp_path, switch):
    factor = Numbers(1).positive(N)
    tensors = weights() | {"finetuning_scaling_factor": factor}
    t = double(tensors)
    f = encode(t, "standard", activations() - t["b_dec"])
    y = (f * (factor.double() if switch else 1)) @ t["W_dec"] + t["b_dec"]
    check(read_parts(write(tmp_path, tensors, flat(finetuning_scaling_factor=switch))), f, y)


def test_version_6_no_longer_scales_the_decoder(tmp_path):
    tensors = weights() | {"finetuning_scaling_factor": Numbers(1).positive(N)}
    t = double(tensors)
    f = encode(t, "standard", activations() - t["b_dec"])
    parts = read_parts(write(tmp_path, tensors, config(finetuning_scaling_factor=True)))
    check(parts, f, f @ t["W_dec"] + t["b_dec"])


def test_versions_3_to_5_name_top_k_as_an_activation_function(tmp_path):
    tensors = weights()
    t = double(tensors)
    f = encode(t, "topk", activations() - t["b_dec"])
    cfg = flat(activation_fn_str="topk", activation_fn_kwargs={"k": K})
    check(read_parts(write(tmp_path, tensors, cfg)), f, f @ t["W_dec"] + t["b_dec"])
    del cfg["activation_fn_kwargs"]
    with pytest.raises(DictionaryError, match=r"no k\. Give it as k="):
        read_parts(write(tmp_path, tensors, cfg))


@pytest.mark.parametrize("activation", ["relu", "tanh-relu"])
def test_versions_0_to_2(tmp_path, activation):
    factor = Numbers(1).positive(N)
    tensors = weights() | {"scaling_factor": factor}
    cfg = {
        "model_name": "gpt2-small",
        "hook_point": "blocks.{layer}.hook_mlp_out",
        "hook_point_layer": 4,
        "hook_point_head_index": None,
        "d_in": D,
        "d_sae": N,
        "dtype": "torch.float32",
        "activation_fn": activation,
        "normalize_activations": False,
        "noise_scale": 0.5,
    }
    t = double(tensors)
    f = encode(t, "standard", activations() - t["b_dec"])
    f = f.tanh() if activation == "tanh-relu" else f
    parts = read_parts(write(tmp_path, tensors, cfg))
    check(parts, f, (f * factor.double()) @ t["W_dec"] + t["b_dec"])
    assert str(parts.site_in) == "4.mlp_out"


def test_matching_pursuit_can_be_steered_with(tmp_path):
    tensors = {name: value for name, value in weights().items() if name in ("W_dec", "b_dec")}
    parts = read_parts(write(tmp_path, tensors, config(architecture="matching_pursuit")))
    assert parts.W_enc is None
    assert parts.W_dec.rows([3]).equal(tensors["W_dec"][[3]])


@pytest.mark.parametrize(
    ("repo", "centred", "rescaled"),
    [
        ("jbloom/GPT2-Small-SAEs-Reformatted", True, False),
        ("JoshEngels/Mistral-7B-Residual-Stream-SAEs", False, True),
        ("someone/else", False, False),
    ],
)
def test_what_only_the_registry_knows(tmp_path, repo, centred, rescaled):
    folder = tmp_path / f"models--{repo.replace('/', '--')}" / "snapshots" / "1" / "blocks.7.hook_resid_pre"
    parts = read_parts(write(folder, weights(), flat()))
    assert parts.centred == centred
    assert parts.normalisation == ("unit_rms" if rescaled else "none")


@pytest.mark.parametrize(
    ("metadata", "site"),
    [
        ({"hook_name": "blocks.2.attn.hook_z"}, "2.z"),
        ({"hook_name": "blocks.2.attn.hook_z", "hook_head_index": 3}, "None"),
        ({"hook_name": "x", "hf_hook_name": "model.layers.5.output"}, "5.resid_post"),
        ({"hook_name": "blocks.2.hook_q"}, "None"),
    ],
)
def test_sites(tmp_path, metadata, site):
    parts = read_parts(write(tmp_path, weights(), config(metadata=metadata)))
    assert str(parts.site_in) == str(parts.site_out) == site


def test_special_tokens_and_centring_as_the_config_says(tmp_path):
    metadata = {"exclude_special_tokens": True, "model_from_pretrained_kwargs": {"center_writing_weights": True}}
    parts = read_parts(write(tmp_path, weights(), config(metadata=metadata)))
    assert parts.skip_bos
    assert parts.centred


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (config(architecture="temporal"), "architecture 'temporal'; known are standard"),
        (config(normalize_activations="by_moonlight"), "normalisation 'by_moonlight'"),
        (config(architecture="transcoder", normalize_activations="layer_norm"), "no per-token one for transcoders"),
        (config(metadata={}) | {"metadata": [1]}, None),
        (flat(activation_fn_kwargs=[1]), "not as the format 'saelens' describes"),
    ],
)
def test_configs_that_cannot_be_served(tmp_path, cfg, message):
    folder = write(tmp_path, weights(), cfg)
    if message is None:
        assert evaluate(read_parts(folder), activations())[0].shape == (7, N)
    else:
        with pytest.raises(DictionaryError, match=message):
            read_parts(folder)


def test_a_transposed_encoder_is_refused(tmp_path):
    tensors = weights() | {"W_enc": Numbers()(N, D)}
    with pytest.raises(DictionaryError, match=r"'W_enc'.* has the shape \(10, 6\); \(6, 10\) was expected"):
        read_parts(write(tmp_path, tensors, config()))
