"""Hook and module names as publishers write them, to sites."""

from __future__ import annotations

import re

from steerkit.sites import Site

TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "hook_mlp_in": "resid_mid",  # despite its name: the stream before the norm
    "attn.hook_z": "z",
    "mlp.hook_in": "mlp_in",
    "mlp.hook_post": "mlp_post",
    "mlp.hook_out": "mlp_out",
    "ln2.hook_normalized": "mlp_in_normalized",
}

MODULES = {
    ("", "input"): "resid_pre",
    ("", "output"): "resid_post",
    ("pre_feedforward_layernorm", "output"): "mlp_in",
    ("post_feedforward_layernorm", "output"): "mlp_out",
    ("ln_2", "input"): "resid_mid",
    ("ln_2", "output"): "mlp_in",
    ("mlp", "input"): "mlp_in",
    ("mlp", "output"): "mlp_out",
    **{(name, "output"): "attn_out" for name in ("self_attn", "attn", "attention")},
    **{(name, "input"): "z" for name in ("self_attn.o_proj", "self_attn.dense", "attn.c_proj", "attention.dense")},
    **{(name, "input"): "mlp_post" for name in ("mlp.down_proj", "mlp.c_proj", "mlp.dense_4h_to_h")},
}
# Gemma 2 and 3 put a norm between these and the residual stream, so no site is their own output.
BEFORE_POST_NORM = {"mlp.hook_out", "mlp", "self_attn"}
POST_NORM_MODEL = re.compile(r"gemma-?v?[23](?!b)", re.IGNORECASE)  # gemma-2b is of the first generation


def has_post_norms(model: str | None) -> bool:
    """Whether the name is one of Gemma 2 or 3."""
    return bool(model and POST_NORM_MODEL.search(model))


def site_of_hook(hook: str | None, model: str | None) -> Site | None:
    """The site of a TransformerLens hook; None if it is none of ours.

    Example:
        >>> site_of_hook("blocks.7.hook_resid_pre", "gpt2")
        Site(layer=7, kind='resid_pre')
    """
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook or "")
    if not match or (match[2] in BEFORE_POST_NORM and has_post_norms(model)):
        return None
    kind = TRANSFORMER_LENS.get(match[2])
    return Site(int(match[1]), kind) if kind else None


def site_of_module(module: str, port: str, model: str | None) -> Site | None:
    """The site at a module's input or output; None if it is none of ours.

    Example:
        >>> site_of_module("model.layers.3.mlp", "output", "EleutherAI/pythia-160m")
        Site(layer=3, kind='mlp_out')
    """
    if module.split(".")[-1] in ("embed_tokens", "embed_in") and port == "output":
        return Site(0, "resid_pre")
    match = re.fullmatch(r"(?:.*\.)?(?:layers|h)\.(\d+)(?:\.(.+))?", module)
    if not match:
        return None
    name = match[2] or ""
    if port == "output" and has_post_norms(model):
        if name in BEFORE_POST_NORM:
            return None
        if name == "post_attention_layernorm":
            return Site(int(match[1]), "attn_out")
    kind = MODULES.get((name, port))
    return Site(int(match[1]), kind) if kind else None
