"""SAELens's own format, of every generation: `cfg.json` and `sae_weights.safetensors`.

Three generations of `cfg.json` are told apart by their keys: runner dumps (v0 to v2, `hook_point`), flat ones (v3 to
v5, `hook_name`) and those with `metadata` (v6 on). Source: jbloomAus/SAELens, `saes/` and `pretrained_saes.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from steerkit.dictionaries.activations import Activation, Gated, JumpReLU, Linear, ReLU, TanhReLU, TopK
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.formats.hooks import site_of_hook, site_of_port
from steerkit.dictionaries.parts import Normalisation, Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "saelens"
TRANSCODERS = {
    "transcoder": "standard",
    "skip_transcoder": "standard",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
BATCH_TOPK = ("batchtopk", "matryoshka_batchtopk")
# Read token after token or in rounds, so there is no encoder to speak of; their directions can be steered with.
WITHOUT_ENCODER = ("matching_pursuit",)
NORMALISATIONS: dict[str, Normalisation] = {
    "none": "none",
    "expected_average_only_in": "none",  # a constant, folded below if known
    "covariance_whitening": "none",  # folded by the saver
    "constant_norm_rescale": "unit_rms",
    "layer_norm": "layer_norm",
}
# What SAELens's registry knows of these and their files do not say.
CENTRED = (
    "jbloom/GPT2-Small-SAEs-Reformatted",
    "jbloom/GPT2-Small-Feature-Splitting-Experiment-Layer-8",
    "tommmcgrath/gpt2-small-mlp-out-saes",
)
RESCALED = ("JoshEngels/Mistral-7B-Residual-Stream-SAEs",)


def recognise(source: Source) -> bool:
    """Whether its config gives `d_in` and `d_sae` and the tensors have SAELens's names."""
    file, config = source.weights("sae_weights.safetensors"), source.config("cfg.json")
    return file is not None and "W_dec" in file and {"d_in", "d_sae"} <= config.keys()


@dataclass(frozen=True)
class Config:
    """What the three generations of `cfg.json` say, in one form."""

    architecture: str
    apply_b_dec: bool
    normalisation: str
    rescale: bool
    k: int | None
    scaled_decoder: bool
    model: str | None
    site_in: Site | None
    site_out: Site | None
    centred: bool | None
    saw_bos: bool


def read(source: Source) -> Parts:
    """Read it."""
    file = source.need("sae_weights.safetensors")
    config = _config(source, source.config("cfg.json"))
    d_out = file.length("b_dec")
    n, _ = file.size("W_dec")
    parts = Parts(
        format=NAME,
        W_dec=file.matrix("W_dec", (n, d_out)),
        b_dec=file.vector("b_dec", d_out),
        activation=Linear(),
        model=config.model,
        site_in=config.site_in,
        site_out=config.site_out,
        centred=any(repo in source.text for repo in CENTRED) if config.centred is None else config.centred,
        skip_bos=not config.saw_bos,
    )
    if config.architecture in WITHOUT_ENCODER:
        return parts if config.apply_b_dec else replace(parts, b_dec=torch.zeros(d_out))
    parts = _with_encoder(source, file, config, parts)
    if config.scaled_decoder and file.has("finetuning_scaling_factor"):
        parts = replace(parts, W_dec=parts.W_dec.scaled(rows=file.vector("finetuning_scaling_factor", n)))
    elif config.scaled_decoder and file.has("scaling_factor"):
        parts = replace(parts, W_dec=parts.W_dec.scaled(rows=file.vector("scaling_factor", n)))
    return parts


def _config(source: Source, raw: dict[str, Any]) -> Config:
    metadata = raw.get("metadata")
    flat = {**raw, **metadata} if isinstance(metadata, dict) else raw
    hook = flat.get("hook_name") or flat.get("hook_point")
    if "hook_point" in raw:
        hook = str(hook).replace("{layer}", str(raw.get("hook_point_layer")))
    model = flat.get("model_name")
    site_in = _site(flat.get("hf_hook_name"), hook, model)
    hook_out, hf_hook_out = flat.get("hook_name_out"), flat.get("hf_hook_name_out")
    head = flat.get("hook_head_index")
    if head is None:
        head = flat.get("hook_point_head_index")
    architecture = raw.get("architecture", "standard")
    activation = raw.get("activation_fn_str") or raw.get("activation_fn") or "relu"
    if architecture == "standard" and activation != "relu":
        architecture = activation
    site_out = _site(hf_hook_out, hook_out, model)
    processing = flat.get("model_from_pretrained_kwargs") or {}
    return Config(
        architecture=architecture,
        apply_b_dec=raw.get("apply_b_dec_to_input", True) and architecture not in TRANSCODERS,
        normalisation=_normalisation(source, raw),
        rescale=bool(raw.get("rescale_acts_by_decoder_norm", False)),
        k=source.hints.k or raw.get("k") or (raw.get("activation_fn_kwargs") or {}).get("k"),
        # Version 6 no longer applies it; before version 3 there was no switch.
        scaled_decoder="hook_point" in raw or (metadata is None and bool(raw.get("finetuning_scaling_factor"))),
        model=model,
        site_in=site_in if head is None else None,  # of one head alone: no site
        site_out=None if head is not None else site_out if architecture in TRANSCODERS else site_in,
        centred=processing.get("center_writing_weights"),
        saw_bos=bool(flat.get("prepend_bos", True)) and not flat.get("exclude_special_tokens"),
    )


def _site(hf_hook: str | None, hook: str | None, model: str | None) -> Site | None:
    return site_of_port(hf_hook, model) if hf_hook else site_of_hook(hook, model)


def _normalisation(source: Source, raw: dict[str, Any]) -> str:
    if any(repo in source.text for repo in RESCALED):
        return "constant_norm_rescale"
    name = raw.get("normalize_activations") or "none"
    return "expected_average_only_in" if name is True else str(name)


def _with_encoder(source: Source, file: TensorFile, config: Config, parts: Parts) -> Parts:
    n = parts.n_features
    transcoder = config.architecture in TRANSCODERS
    d_in = file.size("W_enc")[0] if transcoder else parts.d_out
    if config.normalisation not in NORMALISATIONS or (transcoder and NORMALISATIONS[config.normalisation] != "none"):
        raise DictionaryError(
            f"'{source.path}' is a {config.architecture} dictionary with the normalisation '{config.normalisation}', "
            f"which is not served; known are {', '.join(NORMALISATIONS)}, and no per-token one for transcoders."
        )
    W_enc = file.matrix("W_enc", (d_in, n))
    b_enc = torch.zeros(n) if config.architecture == "gated" else file.vector("b_enc", n)
    W_dec, b_dec = parts.W_dec, parts.b_dec
    activation = _activation(file, config, n)
    if config.rescale and config.architecture in ("topk", "abstopk", *BATCH_TOPK):
        # These rank and gate by `p` times the decoder norm, and count activations in that unit.
        norms = W_dec.row_norms()
        W_enc, W_dec = W_enc.scaled(columns=norms), W_dec.scaled(rows=1 / norms)
        b_enc = b_enc * norms
    if config.normalisation == "expected_average_only_in" and source.hints.scale:
        W_enc = W_enc.scaled(rows=torch.full((d_in,), source.hints.scale))
        if not transcoder:
            W_dec = W_dec.scaled(columns=torch.full(b_dec.shape, 1 / source.hints.scale))
            b_dec = b_dec / source.hints.scale
    return replace(
        parts,
        W_enc=W_enc,
        b_enc=b_enc,
        b_pre=b_dec if config.apply_b_dec else None,
        W_dec=W_dec,
        b_dec=b_dec,
        activation=activation,
        normalisation=NORMALISATIONS[config.normalisation],
        W_skip=file.matrix("W_skip", (parts.d_out, d_in)).whole().T.contiguous() if "W_skip" in file else None,
    )


def _activation(file: TensorFile, config: Config, n: int) -> Activation:
    match TRANSCODERS.get(config.architecture, config.architecture):
        case "standard":
            return ReLU()
        case "tanh-relu":
            return TanhReLU()
        case "jumprelu" if "log_threshold" in file:
            return JumpReLU(file.vector("log_threshold", n).exp())
        case "jumprelu":
            return JumpReLU(file.vector("threshold", n))
        case "batchtopk" | "matryoshka_batchtopk":  # a checkpoint of training; finished ones are saved as jumprelu
            return JumpReLU(torch.full((n,), float(file.number("topk_threshold"))))
        case "gated":
            return Gated(*(file.vector(name, n) for name in ("b_gate", "r_mag", "b_mag")))
        case "topk" | "abstopk" if isinstance(config.k, int) and config.k > 0:
            return TopK(config.k, by_magnitude=config.architecture == "abstopk")
        case "topk" | "abstopk":
            raise DictionaryError(f"'{file.path}' is a top-k dictionary and its cfg.json has no k. Give it as k=.")
    raise DictionaryError(
        f"'{file.path}' has the architecture '{config.architecture}'; known are standard, topk, abstopk, "
        f"jumprelu, gated, {', '.join((*BATCH_TOPK, *WITHOUT_ENCODER, *TRANSCODERS))}."
    )
