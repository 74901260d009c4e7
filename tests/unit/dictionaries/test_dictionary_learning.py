"""saprmarks/dictionary_learning: every class against its own equations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from dense import D, N, Numbers, activations, check, double, top_k, write_json

from steerkit.dictionaries.formats.recognise import read_parts
from steerkit.errors import DictionaryError

K = 3


def weights(kind: str, threshold: float | None = 0.7) -> dict:
    r = Numbers()
    linear = {"encoder.weight": r(N, D), "encoder.bias": r(N), "decoder.weight": r(D, N)}
    by_dimension = {"W_enc": r(D, N), "b_enc": r(N), "W_dec": r(N, D), "b_dec": r(D)}
    k = {"k": torch.tensor(K)} | ({} if threshold is None else {"threshold": torch.tensor(threshold)})
    match kind:
        case "AutoEncoder":
            return linear | {"bias": r(D)}
        case "AutoEncoderNew":
            return linear | {"decoder.bias": r(D)}
        case "GatedAutoEncoder":
            del linear["encoder.bias"]
            return linear | {"decoder_bias": r(D), "r_mag": r(N), "gate_bias": r(N), "mag_bias": r(N)}
        case "JumpReluAutoEncoder":
            return by_dimension | {"threshold": r.positive(N)}
        case "MatryoshkaBatchTopKSAE":
            return by_dimension | k | {"group_sizes": torch.tensor([4, 6])}
        case _:
            return linear | {"b_dec": r(D)} | k


def publisher(kind: str, t: dict, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode and decode of each class, as in its `dictionary.py` and `trainers/`."""
    if kind == "AutoEncoder":  # `from_pretrained` makes the rows unit length, and scales the encoder to fit
        norms = t["decoder.weight"].norm(dim=0)
        f = norms * ((x - t["bias"]) @ t["encoder.weight"].T + t["encoder.bias"]).clamp(min=0)
        return f, f @ (t["decoder.weight"] / norms).T + t["bias"]
    if kind == "AutoEncoderNew":
        f = (x @ t["encoder.weight"].T + t["encoder.bias"]).clamp(min=0)
        return f, f @ t["decoder.weight"].T + t["decoder.bias"]
    if kind == "GatedAutoEncoder":
        a = (x - t["decoder_bias"]) @ t["encoder.weight"].T
        f = (a + t["gate_bias"] > 0) * (t["r_mag"].exp() * a + t["mag_bias"]).clamp(min=0)
        return f, f @ t["decoder.weight"].T + t["decoder_bias"]
    if kind == "JumpReluAutoEncoder":
        p = x @ t["W_enc"] + t["b_enc"]
        f = (p * (p > t["threshold"])).clamp(min=0)
        return f, f @ t["W_dec"] + t["b_dec"]
    matryoshka = kind == "MatryoshkaBatchTopKSAE"
    W_enc, b_enc = (t["W_enc"], t["b_enc"]) if matryoshka else (t["encoder.weight"].T, t["encoder.bias"])
    W_dec = t["W_dec"] if matryoshka else t["decoder.weight"].T
    p = ((x - t["b_dec"]) @ W_enc + b_enc).clamp(min=0)
    by_threshold = kind != "AutoEncoderTopK" and "threshold" in t and t["threshold"] >= 0
    f = p * (p > t["threshold"]) if by_threshold else top_k(p, K)
    return f, f @ W_dec + t["b_dec"]


def write(folder: Path, tensors: dict, kind: str | None, submodule: str = "resid_post_layer_12", **buffer) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, folder / "ae.pt")
    if kind:
        trainer = {"dict_class": kind, "activation_dim": D, "dict_size": N, "k": K}
        trainer |= {"layer": 12, "lm_name": "EleutherAI/pythia-160m", "submodule_name": submodule}
        write_json(folder / "config.json", {"trainer": trainer, "buffer": {"d_submodule": D, "io": "out"} | buffer})
    return folder


KINDS = [
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threshold", [0.7, -1.0, None])
def test_every_class(tmp_path, kind, threshold):
    """Files from before December 2024 have no threshold: the k largest of each token stand in."""
    tensors = weights(kind, threshold)
    parts = read_parts(write(tmp_path, tensors, kind))
    check(parts, *publisher(kind, double(tensors), activations()))
    assert parts.model == "EleutherAI/pythia-160m"
    assert str(parts.site_in) == str(parts.site_out) == "12.resid_post"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_config(tmp_path, kind):
    """Top-k and batch top-k have the same tensors; with a threshold they differ, so it is asked for."""
    tensors = weights(kind)
    folder = write(tmp_path / "resid_post_layer_3" / "trainer_0", tensors, None)
    if kind in ("AutoEncoderTopK", "BatchTopKSAE"):
        with pytest.raises(DictionaryError, match=r"several classes.*Give it as kind=, AutoEncoderTopK or "):
            read_parts(folder)
        parts = read_parts(folder, kind=kind)
    else:
        parts = read_parts(folder)
    check(parts, *publisher(kind, double(tensors), activations()))
    if kind != "AutoEncoderNew":  # qresearch's dictionary has the same tensors and equations
        assert str(parts.site_in) == "3.resid_post"


@pytest.mark.parametrize("kind", ["AutoEncoderTopK", "BatchTopKSAE"])
def test_without_a_config_but_no_threshold_either(tmp_path, kind):
    tensors = weights(kind, None)
    check(read_parts(write(tmp_path, tensors, None)), *publisher(kind, double(tensors), activations()))


@pytest.mark.parametrize("kind", ["GatedAutoEncoder", "JumpReluAutoEncoder", "BatchTopKSAE", "AutoEncoder"])
def test_a_resumable_checkpoint_is_in_scaled_units(tmp_path, kind):
    """It was trained on activations over `norm_factor`, which is folded only when the final file is saved."""
    tensors, factor = weights(kind), 2.5
    folder = write(tmp_path, {"step": 100, "ae": tensors, "optimizer": {}, "norm_factor": factor}, kind)
    f, y = publisher(kind, double(tensors), activations() / factor)
    check(read_parts(folder), f * factor, y * factor)


def test_a_checkpoint_below_its_config(tmp_path):
    tensors = weights("BatchTopKSAE")
    write(tmp_path, tensors, "BatchTopKSAE")
    (tmp_path / "checkpoints").mkdir()
    path = (tmp_path / "ae.pt").rename(tmp_path / "checkpoints" / "ae_5000.pt")
    check(read_parts(path), *publisher("BatchTopKSAE", double(tensors), activations()))


@pytest.mark.parametrize(
    ("submodule", "port", "site"),
    [
        ("resid_post_layer_12", "in", "12.resid_pre"),
        ("mlp_out_layer_2", "out", "2.mlp_out"),
        ("mlp_out_layer_2", "in", "2.mlp_in"),
        ("attention_out_layer_2", "out", "2.attn_out"),
        ("embed", "out", "None"),
    ],
)
def test_sites(tmp_path, submodule, port, site):
    tensors = weights("AutoEncoder")
    assert str(read_parts(write(tmp_path, tensors, "AutoEncoder", submodule, io=port)).site_in) == site


def test_an_unknown_class(tmp_path):
    with pytest.raises(DictionaryError, match="the class 'CrossCoder'; known are AutoEncoder"):
        read_parts(write(tmp_path, weights("AutoEncoder"), "CrossCoder"))
