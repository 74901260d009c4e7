"""Names of hooks and modules, to sites."""

from __future__ import annotations

import pytest

from steerkit.dictionaries.formats.hooks import site_of_hook, site_of_module, site_of_port


@pytest.mark.parametrize(
    ("hook", "model", "site"),
    [
        ("blocks.0.hook_resid_pre", "gpt2", "0.resid_pre"),
        ("blocks.11.hook_resid_mid", "gpt2", "11.resid_mid"),
        ("blocks.3.hook_attn_out", "gemma-2-2b", "3.attn_out"),
        ("blocks.3.hook_mlp_out", "gemma-2-2b", "3.mlp_out"),
        ("blocks.3.mlp.hook_out", "gemma-2-2b", "None"),
        ("blocks.3.mlp.hook_out", "gemma-2b", "3.mlp_out"),
        ("blocks.3.mlp.hook_out", "gemma-3-1b-pt", "None"),
        ("blocks.3.mlp.hook_out", "meta-llama/Llama-3.2-1B", "3.mlp_out"),
        ("blocks.3.hook_mlp_in", "gpt2", "3.resid_mid"),
        ("blocks.3.mlp.hook_in", "gpt2", "3.mlp_in"),
        ("blocks.3.ln2.hook_normalized", "gpt2", "3.mlp_in_normalized"),
        ("blocks.3.attn.hook_q", "gpt2", "None"),
        ("hook_embed", "gpt2", "None"),
        (None, None, "None"),
    ],
)
def test_hooks_of_transformer_lens(hook, model, site):
    assert str(site_of_hook(hook, model)) == site


@pytest.mark.parametrize(
    ("hook", "model", "site"),
    [
        ("model.layers.4.output", "Qwen/Qwen3-1.7B", "4.resid_post"),
        ("model.language_model.layers.4.output", "google/gemma-3-4b-it", "4.resid_post"),
        ("transformer.h.4.input", "gpt2", "4.resid_pre"),
        ("transformer.h.4.attn.c_proj.input", "gpt2", "4.z"),
        ("transformer.h.4.ln_2.output", "gpt2", "4.mlp_in"),
        ("gpt_neox.layers.4.attention.dense.input", "EleutherAI/pythia-70m", "4.z"),
        ("gpt_neox.layers.4.mlp.dense_4h_to_h.input", "EleutherAI/pythia-70m", "4.mlp_post"),
        ("model.layers.4.post_attention_layernorm.output", "meta-llama/Llama-3.1-8B", "4.mlp_in"),
        ("model.layers.4.post_attention_layernorm.output", "google/gemma-2-2b", "4.attn_out"),
        ("model.layers.4.pre_feedforward_layernorm.output", None, "4.mlp_in"),
        ("model.layers.4.post_feedforward_layernorm.output", None, "4.mlp_out"),
        ("model.layers.4.mlp.output", "google/gemma-2-2b", "None"),
        ("model.layers.4.self_attn.output", "google/gemma-3-270m", "None"),
        ("model.layers.4.self_attn.output", "google/gemma-2b", "4.attn_out"),
        ("model.embed_tokens.output", "google/gemma-2-2b", "0.resid_pre"),
        ("model.norm.output", "gpt2", "None"),
    ],
)
def test_modules(hook, model, site):
    assert str(site_of_port(hook, model)) == site


def test_modules_relative_to_the_base_model():
    assert str(site_of_module("layers.10.mlp", "input", "EleutherAI/pythia-160m")) == "10.mlp_in"
