"""Loading models: from the Hugging Face hub, a folder, or memory."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from nnsight import TransformersModel
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerBase

from steerkit import embedded
from steerkit.collection import postponed
from steerkit.errors import ModelError
from steerkit.tokens import special_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def wrap(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> TransformersModel:
    """Wrap a model in memory without changing it.

    The modules are copied and the weights shared: nnsight leaves its controllers on the modules it is given.

    Raises:
        ModelError: The model writes no text, or the tokenizer is none.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError(f"{tokenizer!r} is no tokenizer. Give a transformers tokenizer.")
    if not (hasattr(model, "can_generate") and model.can_generate()):
        raise ModelError(f"A {type(model).__name__} is no causal language model. Give one such as GPT2LMHeadModel.")
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    module = copy.deepcopy(model, shared).eval()
    return TransformersModel(module, tokenizer=_for_batches(tokenizer), task="text-generation")


@postponed()
def load_files(
    name: str | os.PathLike[str],
    *,
    device: str,
    dtype: str | torch.dtype,
    revision: str | None,
    tokenizer: PreTrainedTokenizerBase | None,
    trust_remote_code: bool,
) -> TransformersModel:
    """Load a model from the hub or a folder.

    Raises:
        ModelError: There is no such model, or the files are no causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, name = _resolve_device(device), embedded.find(name) or name
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    _check_folder(name)
    try:
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(name, **options)
        placement = {"device_map": "auto"} if place is None else {}
        model = AutoModelForCausalLM.from_pretrained(name, dtype=_resolve_dtype(dtype, place), **placement, **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(
            f"{str(name)!r} could not be loaded: {reason[0]} Give the name of a causal language model on the hub, or a "
            f"folder with its config.json, weights and tokenizer."
        ) from error
    if len(tokenizer) <= len(special_ids(tokenizer)):  # made up by transformers, for want of files
        raise ModelError(f"{str(name)!r} could not be loaded: it has no tokenizer. Give one: load(name, tokenizer=…).")
    model = model if place is None else model.to(place)
    return TransformersModel(model.eval(), tokenizer=_for_batches(tokenizer), task="text-generation")


def load_remote(name: str, *, revision: str | None, trust_remote_code: bool) -> TransformersModel:
    """Prepare a model that runs on NDIF: its configuration and tokenizer, no weights.

    Raises:
        ModelError: There is no such model.
    """
    try:
        return TransformersModel(name, task="text-generation", revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"{name!r} could not be prepared for NDIF: {reason[0]}") from error


def _for_batches(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    own = copy.deepcopy(tokenizer)
    if own.pad_token is None:  # never seen by the model: padding is masked
        own.pad_token = own.eos_token or own.convert_ids_to_tokens(0)
    return own


def _check_folder(name: str | os.PathLike[str]) -> None:
    path = Path(name)
    if path.is_file():
        raise ModelError(f"{str(name)!r} is a file. Give the folder that holds config.json, weights and tokenizer.")
    if path.is_dir() and not (path / "config.json").is_file():
        raise ModelError(f"The folder {str(name)!r} holds no model: there is no config.json in it.")
    if not path.exists() and (path.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1):
        raise ModelError(f"There is no folder {str(name)!r}. Give an existing folder or a name on the hub.")


def _resolve_device(device: str) -> torch.device | None:
    """None means: spread over all devices there are."""
    if device == "auto":
        if torch.cuda.device_count() > 1:
            return None
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise ModelError(f"{device!r} is no device. Devices are 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.") from None
    try:
        torch.zeros(1, device=place).item()
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"{device!r} is not to be had here: {str(error).splitlines()[0]} Give 'cpu'.") from error
    return place


def _resolve_dtype(dtype: str | torch.dtype, place: torch.device | None) -> str | torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":  # half precision is slow on most processors, so there it is the exception to ask for
        return torch.float32 if place is not None and place.type == "cpu" else "auto"
    resolved = getattr(torch, str(dtype), None)
    if not isinstance(resolved, torch.dtype):
        raise ModelError(f"{dtype!r} is no dtype. Dtypes are 'auto', 'float32', 'bfloat16', 'float16'.")
    return resolved
