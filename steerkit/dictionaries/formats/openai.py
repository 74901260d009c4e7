"""OpenAI's autoencoders of GPT-2 small: v1 and v4 (ReLU), v5 (top-k on normalised activations).

Source: openai/sparse_autoencoder, `model.py` and its README. A file does not say where it belongs; its path as
published does.
"""

from __future__ import annotations

from steerkit.dictionaries.activations import Activation, Linear, ReLU, TopK
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "openai"
KINDS = {
    "mlp_post_act": "mlp_post",
    "resid_delta_attn": "attn_out",
    "resid_post_attn": "resid_mid",
    "resid_delta_mlp": "mlp_out",
    "resid_post_mlp": "resid_post",
}


def recognise(source: Source) -> bool:
    """Whether the names of its tensors are OpenAI's."""
    file = source.weights("*.pt")
    return file is not None and file.has("pre_bias", "latent_bias")


def read(source: Source) -> Parts:
    """Read it."""
    file = source.need("*.pt")
    d, n = file.length("pre_bias"), file.length("latent_bias")
    W_enc = file.matrix("encoder.weight", (n, d)).T
    b_dec = file.vector("pre_bias", d)
    place = source.search(rf"({'|'.join(KINDS)})(?:_v4|_v5_32k|_v5_128k)?/(?:autoencoders/)?(\d+)\.pt", file)
    activation = _activation(file)
    site = Site(int(place[2]), KINDS[place[1]]) if place else None
    return Parts(
        format=NAME,
        W_enc=W_enc,
        b_enc=file.vector("latent_bias", n),
        W_dec=file.matrix("decoder.weight", (d, n)).T if "decoder.weight" in file else W_enc.T,  # tied
        b_dec=b_dec,
        b_pre=b_dec,
        activation=activation,
        normalisation="layer_norm" if isinstance(activation, TopK) else "none",
        model="openai-community/gpt2",
        site_in=site,
        site_out=site,
    )


def _activation(file: TensorFile) -> Activation:
    name = file.value("activation") if "activation" in file else "ReLU"
    match name:
        case "ReLU":
            return ReLU()
        case "Identity":
            return Linear()
        case "TopK":
            state = file.inside("activation_state_dict")
            post = state.value("postact_fn") if "postact_fn" in state else "ReLU"
            if post in ("ReLU", "Identity"):
                return TopK(int(state.number("k")), relu=post == "ReLU")
            name = f"TopK, then {post}"
    raise DictionaryError(f"'{file.path}' has the activation function '{name}'; known are ReLU, TopK and Identity.")
