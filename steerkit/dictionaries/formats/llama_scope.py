"""OpenMOSS's dictionaries: Llama Scope, Llama-Scope-R1-Distill, and llamascopium, which succeeded them.

They were trained on activations times `s = sqrt(d) / mean norm`, and gate on the pre-activation times the decoder row's
norm (`sparsity_include_decoder_norm`), which SAELens's loader leaves out. Constants and gate are folded in here; taking
the norms reads the decoder once. Source: OpenMOSS/Language-Model-SAEs, its history up to llamascopium.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch

from steerkit.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.formats.hooks import site_of_hook
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source, read_json
from steerkit.errors import DictionaryError

NAME = "llama_scope"
LEGACY = "checkpoints/final.safetensors"
CURRENT = "sae_weights.safetensors"
THRESHOLDS = ("log_jumprelu_threshold", "activation_function.log_jumprelu_threshold")


def recognise(source: Source) -> bool:
    """Whether `hyperparams.json` is there, or the thresholds or names of a later generation."""
    file = _weights(source)
    if file is None:
        return False
    old = "encoder.weight" in file and bool(_hyperparams(source) or THRESHOLDS[0] in file)
    return old or file.has("W_E", "W_D")


def read(source: Source) -> Parts:
    """Read it."""
    file = _weights(source) or source.need(LEGACY, CURRENT)
    config = _hyperparams(source) or source.config("config.json")
    if config.get("use_glu_encoder") or "W_E_glu" in file:
        raise DictionaryError(f"'{source.path}' has a gated linear unit for an encoder, which is not served.")
    if config.get("norm_activation", "dataset-wise") not in ("dataset-wise", "none"):
        raise DictionaryError(
            f"'{source.path}' normalises activations '{config['norm_activation']}'; dataset-wise and none are served."
        )
    return _legacy(source, file, config) if _hyperparams(source) else _current(source, file, config)


def _weights(source: Source) -> TensorFile | None:
    return source.weights(LEGACY) or source.weights(CURRENT)


def _hyperparams(source: Source) -> dict[str, Any]:
    beside = source.folder.parent / "hyperparams.json"
    if source.folder.name == "checkpoints" and beside.is_file():
        return read_json(beside)
    return source.config("hyperparams.json")


def _legacy(source: Source, file: TensorFile, config: dict[str, Any]) -> Parts:
    """The publisher's rule: everything in units of the activations, the decoder of unit length, and then one theta."""
    (n, d), (d_out, _) = file.size("encoder.weight"), file.size("decoder.weight")
    mean_norm = config.get("dataset_average_activation_norm") or {}
    constant = config.get("norm_activation", "dataset-wise") == "dataset-wise"
    s_in = sqrt(d) / mean_norm["in"] if constant else 1.0
    s_out = sqrt(d_out) / mean_norm["out"] if constant else 1.0
    W_enc, b_enc = file.matrix("encoder.weight", (n, d)).T, file.vector("encoder.bias", n) / s_in
    W_dec = file.matrix("decoder.weight", (d_out, n)).T.scaled(rows=torch.full((n,), s_in / s_out))
    b_dec = file.vector("decoder.bias", d_out) / s_out if "decoder.bias" in file else torch.zeros(d_out)
    if config.get("sparsity_include_decoder_norm", True):
        norms = W_dec.row_norms()
        W_enc, b_enc, W_dec = W_enc.scaled(columns=norms), b_enc * norms, W_dec.scaled(rows=1 / norms)
    return Parts(
        format=NAME,
        W_enc=W_enc,
        b_enc=b_enc,
        b_pre=b_dec if config.get("apply_decoder_bias_to_pre_encoder") else None,
        W_dec=W_dec,
        b_dec=b_dec,
        activation=_legacy_activation(source, config, n),
        **_place(source, config),
    )


def _legacy_activation(source: Source, config: dict[str, Any], n: int) -> Activation:
    theta = config.get("jump_relu_threshold") or 0.0
    match config.get("act_fn"):
        case "jumprelu" | "topk" if theta > 0:  # a batch-top-k training, released with the threshold that it found
            return JumpReLU(torch.full((n,), float(theta)))
        case "topk" if config.get("top_k"):
            return TopK(int(config["top_k"]))
        case "relu":
            return ReLU()
        case other:
            raise DictionaryError(
                f"'{source.path}' has the activation function '{other}' with the threshold {theta}; "
                "known are jumprelu (threshold above 0), topk and relu."
            )


def _current(source: Source, file: TensorFile, config: dict[str, Any]) -> Parts:
    """Theta in units of the scaled activations, for each feature; activations are counted in the scaled unit too."""
    if "W_E" in file:
        (d, n), (_, d_out) = file.size("W_E"), file.size("W_D")
        W_enc, b_enc, W_dec = file.matrix("W_E", (d, n)), file.vector("b_E", n), file.matrix("W_D", (n, d_out))
        bias = "b_D"
    else:
        (n, d), (d_out, _) = file.size("encoder.weight"), file.size("decoder.weight")
        W_enc, b_enc = file.matrix("encoder.weight", (n, d)).T, file.vector("encoder.bias", n)
        W_dec, bias = file.matrix("decoder.weight", (d_out, n)).T, "decoder.bias"
    s_in, s_out = _scale(source, file, config, "in", d), _scale(source, file, config, "out", d_out)
    b_dec = file.vector(bias, d_out) / s_out if bias in file else torch.zeros(d_out)
    norms = W_dec.row_norms() if config.get("sparsity_include_decoder_norm", True) else torch.ones(n)
    return Parts(
        format=NAME,
        W_enc=W_enc.scaled(rows=torch.full((d,), s_in)),
        b_enc=b_enc,
        W_dec=W_dec.scaled(columns=torch.full((d_out,), 1 / s_out)),
        b_dec=b_dec,
        activation=_current_activation(source, file, config, norms),
        **_place(source, config),
    )


def _current_activation(source: Source, file: TensorFile, config: dict[str, Any], norms: torch.Tensor) -> Activation:
    stored = next((name for name in THRESHOLDS if name in file), None)
    if stored:
        return JumpReLU(file.vector(stored, len(norms)).exp() / norms)
    k = source.hints.k or config.get("top_k") or config.get("k")
    match config.get("act_fn"):
        case "topk" if k:
            return TopK(int(k), weight=norms)
        case "relu":
            return ReLU()
        case other:
            raise DictionaryError(
                f"'{source.path}' has the activation function '{other}' and no thresholds; known are topk, relu."
            )


def _scale(source: Source, file: TensorFile, config: dict[str, Any], side: str, d: int) -> float:
    if config.get("norm_activation", "dataset-wise") == "none":
        return 1.0
    hook = config.get(f"hook_point_{side}") or config.get("hook_point_in")
    name = f"dataset_average_activation_norm.{hook}"
    if name in file:
        return sqrt(d) / file.number(name)
    if source.hints.scale:
        return source.hints.scale
    raise DictionaryError(
        f"'{source.path}' was trained on activations times a constant that is not in its files. Give it as scale= "
        "(SAELens's registry calls it norm_scaling_factor)."
    )


def _place(source: Source, config: dict[str, Any]) -> dict[str, Any]:
    distilled = "R1-Distill" in source.text
    model = "deepseek-ai/DeepSeek-R1-Distill-Llama-8B" if distilled else "meta-llama/Llama-3.1-8B"
    known = distilled or "Llama3_1-8B-Base" in source.text
    model = config.get("model_name") or (model if known else None)
    hook_in = config.get("hook_point_in")
    return {
        "model": model,
        "site_in": site_of_hook(hook_in, model),
        "site_out": site_of_hook(config.get("hook_point_out") or hook_in, model),
        "skip_bos": True,
    }
