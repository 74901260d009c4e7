"""Per-layer transcoders of circuit-tracer and mwhanna: `layer_N.safetensors` with `config.yaml`, `W_enc` by feature.

Source: safety-research/circuit-tracer, `transcoder/single_layer_transcoder.py`.
"""

from __future__ import annotations

from typing import Any

import yaml

from steerkit.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.formats.hooks import TRANSFORMER_LENS, has_post_norms
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import MAX_CONFIG, Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "circuit_tracer"
THRESHOLD = "activation_function.threshold"


def recognise(source: Source) -> bool:
    """Whether a file `layer_N.safetensors` has an encoder by feature."""
    file = source.weights("layer_*.safetensors")
    if file is None or not source.search(r"/layer_\d+\.safetensors$", file) or not file.has("W_enc", "W_dec", "b_enc"):
        return False
    return file.shape("W_enc")[:1] == file.shape("b_enc")


def read(source: Source) -> Parts:
    """Read it."""
    file, config = source.need("layer_*.safetensors"), _config(source)
    (n, d_in), d_out = file.size("W_enc"), file.length("b_dec")
    model = config.get("model_name")
    # mwhanna's earlier repositories say nothing: the MLP's input and output, on the model as it is.
    site_in = _site(source, file, config.get("feature_input_hook", "mlp.hook_in"), model)
    site_out = _site(source, file, config.get("feature_output_hook", "hook_mlp_out"), model)
    return Parts(
        format=NAME,
        W_enc=file.matrix("W_enc", (n, d_in)).T,
        b_enc=file.vector("b_enc", n),
        W_dec=file.matrix("W_dec", (n, d_out)),
        b_dec=file.vector("b_dec", d_out),
        activation=_activation(source, file, config, n),
        W_skip=file.matrix("W_skip", (d_out, d_in)).whole().T.contiguous() if "W_skip" in file else None,
        model=model,
        site_in=site_in,
        site_out=site_out,
    )


def _config(source: Source) -> dict[str, Any]:
    path = source.folder / "config.yaml"
    if not path.is_file():
        return {}
    if path.stat().st_size > MAX_CONFIG:
        raise DictionaryError(f"'{path}' has {path.stat().st_size:,} bytes, more than a config has. Check the path.")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DictionaryError(f"'{path}' is no readable YAML. Download it again.") from error
    return config if isinstance(config, dict) else {}


def _activation(source: Source, file: TensorFile, config: dict[str, Any], n: int) -> Activation:
    name = config.get("activation")
    k = source.hints.k or config.get("k") or (file.number("k") if "k" in file else None)
    if name in (None, "none", "jump_relu"):
        if THRESHOLD in file:
            return JumpReLU(file.vector(THRESHOLD, n))
        name = "topk" if "k" in file else "relu"
    match name:
        case "relu":
            return ReLU()
        case "topk" if k:
            return TopK(int(k), relu=False)  # its top-k keeps values as they are
    raise DictionaryError(f"'{source.path}' has the activation '{name}' with k = {k}; known are relu, topk and none.")


def _site(source: Source, file: TensorFile, hook: str, model: str | None) -> Site | None:
    layer = source.search(r"/layer_(\d+)\.safetensors$", file)
    raw = hook == "mlp.hook_out" and has_post_norms(model or source.text)
    kind = None if raw else TRANSFORMER_LENS.get(hook)
    return Site(int(layer[1]), kind) if layer and kind else None
