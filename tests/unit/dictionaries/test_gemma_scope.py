"""Gemma Scope 1 and 2 against Google's equations."""

from __future__ import annotations

import numpy as np
import pytest
from dense import D, N, Numbers, activations, check, double, write_json
from safetensors.torch import save_file

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError


def jump_relu(t, x):
    p = x @ t["W_enc"] + t["b_enc"]
    f = p.clamp(min=0) * (p > t["threshold"])
    return f, f @ t["W_dec"] + t["b_dec"]


def weights(d_out: int = D) -> dict:
    r = Numbers()
    return {
        "W_enc": r(D, N),
        "W_dec": r(N, d_out),
        "b_enc": r(N),
        "b_dec": r(d_out),
        "threshold": r.positive(N),
    }


@pytest.mark.parametrize(
    ("repo", "folder", "site_in", "site_out", "model"),
    [
        ("gemma-scope-2b-pt-res", "layer_20/width_16k/average_l0_71", "20.resid_post", "20.resid_post", "gemma-2-2b"),
        ("gemma-scope-9b-it-res", "layer_9/width_16k/average_l0_71", "9.resid_post", "9.resid_post", "gemma-2-9b-it"),
        ("gemma-scope-2b-pt-mlp", "layer_0/width_16k/average_l0_71", "0.mlp_out", "0.mlp_out", "gemma-2-2b"),
        ("gemma-scope-9b-pt-att", "layer_3/width_16k/average_l0_71", "3.z", "3.z", "gemma-2-9b"),
        (
            "gemma-scope-2b-pt-transcoders",
            "layer_5/width_16k/average_l0_71",
            "5.mlp_in_normalized",
            "5.mlp_out",
            "gemma-2-2b",
        ),
        ("gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_71", "0.resid_pre", "0.resid_pre", "gemma-2-2b"),
    ],
)
def test_gemma_scope(tmp_path, repo, folder, site_in, site_out, model):
    tensors = weights()
    folder = tmp_path / f"models--google--{repo}" / "snapshots" / "abc" / folder
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **{name: value.numpy() for name, value in tensors.items()})
    for path in (folder, folder / "params.npz"):
        parts = read_parts(path)
        check(parts, *jump_relu(double(tensors), activations()))
        assert (parts.format, parts.model, parts.l0) == ("gemma_scope", f"google/{model}", 71)
        assert (str(parts.site_in), str(parts.site_out)) == (site_in, site_out)
        assert parts.skip_bos
        assert parts.chat == model.endswith("it")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_gemma_scope_in_other_spellings(tmp_path, save):
    """Lower case, compressed, column-major: the numbers are the same."""
    tensors = weights()
    arrays = {name.lower(): np.asfortranarray(value.numpy()) for name, value in tensors.items()}
    save(tmp_path / "params.npz", **arrays)
    check(read_parts(tmp_path), *jump_relu(double(tensors), activations()))


def write(folder, tensors, config=None):
    folder.mkdir(parents=True)
    save_file({name.lower(): value.contiguous() for name, value in tensors.items()}, folder / "params.safetensors")
    if config is not None:
        write_json(folder / "config.json", config)
    return folder


@pytest.mark.parametrize(
    ("kind", "hook_in", "hook_out", "site_in", "site_out"),
    [
        ("resid_post", "model.layers.4.output", None, "4.resid_post", "4.resid_post"),
        ("attn_out_all", "model.layers.4.self_attn.o_proj.input", None, "4.z", "4.z"),
        ("mlp_out", "model.layers.4.post_feedforward_layernorm.output", None, "4.mlp_out", "4.mlp_out"),
        (
            "transcoder_all",
            "model.layers.4.pre_feedforward_layernorm.output",
            "model.layers.4.post_feedforward_layernorm.output",
            "4.mlp_in",
            "4.mlp_out",
        ),
    ],
)
@pytest.mark.parametrize("with_config", [True, False])
def test_gemma_scope_2(tmp_path, kind, hook_in, hook_out, site_in, site_out, with_config):
    tensors = weights()
    config = {
        "hf_hook_point_in": hook_in,
        "hf_hook_point_out": hook_out,
        "width": N,
        "model_name": "gemma-v3-270m-pt",
        "architecture": "jump_relu",
        "l0": 60,
        "affine_connection": False,
        "type": kind,
    }
    folder = tmp_path / "gemma-scope-2-270m-pt" / kind / "layer_4_width_16k_l0_medium"
    parts = read_parts(write(folder, tensors, config if with_config else None))
    check(parts, *jump_relu(double(tensors), activations()))
    assert (str(parts.site_in), str(parts.site_out)) == (site_in, site_out)
    assert (parts.format, parts.model) == ("gemma_scope_2", "google/gemma-3-270m")
    assert parts.l0 == (60 if with_config else None)


def test_gemma_scope_2_affine_transcoder(tmp_path):
    """`affine_skip_connection` is (d, d_out), and used untransposed; d_out = d + 1 here, so that it shows."""
    tensors = {**weights(D + 1), "affine_skip_connection": Numbers(1)(D, D + 1)}
    folder = tmp_path / "gemma-scope-2-4b-it" / "transcoder" / "layer_9_width_16k_l0_small_affine"
    parts = read_parts(write(folder, tensors))
    t, x = double(tensors), activations()
    f, y = jump_relu(t, x)
    check(parts, f, y + x @ t["affine_skip_connection"])
    assert (parts.model, parts.chat) == ("google/gemma-3-4b-it", True)


def test_a_cross_layer_transcoder_is_refused(tmp_path):
    tensors = {**weights(), "W_dec": Numbers()(N, 3, D)}
    with pytest.raises(DictionaryError, match="cross-layer transcoder"):
        read_parts(write(tmp_path / "clt", tensors))
