"""Hook and module names as publishers write them, to sites."""

from __future__ import annotations

import re

from steerkit.sites import GEMMA_POST_NORM, GPT2, GPT_NEO, GPT_NEOX, LLAMA, Family, Site

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

POST_NORM_MODEL = re.compile(r"gemma-?v?[23](?!b)", re.IGNORECASE)  # gemma-2b is of the first generation


def _places(*families: Family) -> dict[tuple[str, str], str]:
    """Kinds of site by module within a layer, and port."""
    places = {("", "input"): "resid_pre", ("", "output"): "resid_post"}
    for family in families:
        places |= {
            (family.z, "input"): "z",
            (family.attn_out, "output"): "attn_out",
            (family.mlp_norm, "output"): "mlp_in",
            (family.mlp, "input"): "mlp_in",
            (family.mlp_post, "input"): "mlp_post",
            (family.mlp_out, "output"): "mlp_out",
        }
    return places


PLACES = _places(LLAMA, GPT2, GPT_NEO, GPT_NEOX)
# With norms behind attention and MLP, their own outputs are not what is added to the stream, and so no site.
PLACES_WITH_POST_NORMS = _places(GEMMA_POST_NORM)


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
    if not match or (match[2] == "mlp.hook_out" and has_post_norms(model)):
        return None
    kind = TRANSFORMER_LENS.get(match[2])
    return Site(int(match[1]), kind) if kind else None


def site_of_port(hook: str, model: str | None) -> Site | None:
    """The site of a module's path with `.input` or `.output` behind it.

    Example:
        >>> site_of_port("model.layers.4.self_attn.o_proj.input", "google/gemma-3-1b-pt")
        Site(layer=4, kind='z')
    """
    module, _, port = hook.rpartition(".")
    return site_of_module(module, port, model)


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
    post_norms = has_post_norms(model) or "feedforward_layernorm" in name
    kind = (PLACES_WITH_POST_NORMS if post_norms else PLACES).get((name, port))
    return Site(int(match[1]), kind) if kind else None
