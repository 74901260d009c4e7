"""Goodfire's dictionaries, and those of the same family with other spellings.

`relu(x W_enc + b_enc)` and back, without a pre-bias; decoder rows are not of unit length. Trained on activations over
chats. The gpt-oss one is top-k and has no decoder bias.
"""

from __future__ import annotations

import torch

from steerkit.dictionaries.activations import ReLU, TopK
from steerkit.dictionaries.files import TensorFile
from steerkit.dictionaries.parts import Parts
from steerkit.dictionaries.source import Source
from steerkit.errors import DictionaryError
from steerkit.sites import Site

NAME = "goodfire"
MODELS = {  # by a part of the file's name
    "Llama-3.1-8B-Instruct-SAE": "meta-llama/Llama-3.1-8B-Instruct",
    "Llama-3.3-70B-Instruct-SAE": "meta-llama/Llama-3.3-70B-Instruct",
    "DeepSeek-R1-Distill-Llama-8B-SAE": "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
    "gpt-oss-20b-SAE": "openai/gpt-oss-20b",
}
QRESEARCH = {"encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"}


def recognise(source: Source) -> bool:
    """Whether the names of its tensors are Goodfire's or qresearch's.

    dictionary_learning's AutoEncoderNew has the latter's names and equations, but its config beside it.
    """
    file = source.weights("*.pth", "*.pt")
    if file is None:
        return False
    return "encoder_linear.weight" in file or (set(file.names) == QRESEARCH and not source.config("config.json"))


def read(source: Source) -> Parts:
    """Read it."""
    file = source.need("*.pth", "*.pt")
    encoder = "encoder_linear" if "encoder_linear.weight" in file else "encoder"
    decoder = "decoder_linear" if "decoder_linear.weight" in file else "decoder"
    with_bias = f"{decoder}.bias" in file
    n, d = file.size(f"{encoder}.weight")
    layer = source.search(r"[-_]l(\d+)(?:[._/]|$)", file)
    model = next((model for part, model in MODELS.items() if source.search(part, file)), None)
    site = Site(int(layer[1]), "resid_post") if layer else None
    return Parts(
        format=NAME,
        W_enc=file.matrix(f"{encoder}.weight", (n, d)).T,
        b_enc=file.vector(f"{encoder}.bias", n),
        W_dec=file.matrix(f"{decoder}.weight", (d, n)).T,
        b_dec=file.vector(f"{decoder}.bias", d) if with_bias else torch.zeros(d),
        activation=ReLU() if with_bias else TopK(_k(source, file)),
        model=model,
        site_in=site,
        site_out=site,
        chat=model is not None,
    )


def _k(source: Source, file: TensorFile) -> int:
    named = source.search(r"_k(\d+)", file)
    k = source.hints.k or (int(named[1]) if named else None)
    if k is None:
        raise DictionaryError(
            f"'{source.path}' does not say how many features are active at a token. Give it as k=; "
            "Goodfire's gpt-oss dictionary has 32."
        )
    return k
