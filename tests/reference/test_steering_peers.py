"""Logits of the peers' own packages under steering, against ours.

`tests/reference/make_steering_fixtures.py` makes them anew, and tells how each was run. Peers steer the
beginning-of-sequence token too, hence `EVERY`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import steerkit as sk

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "steering"
LAYERS = (0, 1, 2)
EVERY = sk.Where(special=True)


@pytest.fixture(scope="module")
def llama() -> sk.Model:
    return sk.load(FOLDER / "llama", dtype="float32", device="cpu")


@cache
def logits(peer: str) -> dict[str, Tensor]:
    return load_file(FOLDER / f"{peer}.safetensors")


def vector(*layers: int, kind: str = "resid_post") -> sk.Vector:
    return sk.Vector({f"{layer}.{kind}": logits("inputs")[f"vector.{layer}"] for layer in layers}, "v")


def ours(model: sk.Model, edits: sk.EditsLike, ids: Tensor | None = None) -> Tensor:
    ids = logits("inputs")["ids"] if ids is None else ids
    with model.steer(edits), model.nnsight.trace(ids):
        steered = model.nnsight.output.logits.save()
    return steered


def same(model: sk.Model, edits: sk.EditsLike, peer: str, case: str) -> None:
    theirs = logits(peer)[case]
    assert (theirs - logits("inputs")["plain"]).abs().max() > 0.1  # it did something
    torch.testing.assert_close(ours(model, edits), theirs, rtol=0, atol=1e-5)


def test_unsteered_models_agree(llama):
    torch.testing.assert_close(ours(llama, ()), logits("inputs")["plain"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("case", "strength"), [("add", 1.5), ("subtract", -0.7)])
def test_repeng_control_is_a_vector_added_at_every_layer(llama, case, strength):
    same(llama, vector(*LAYERS).add(strength, where=EVERY), "repeng", case)


def test_repeng_leaves_padding_alone(llama):
    ids = logits("inputs")["ids"][:1, :5]
    edit = vector(*LAYERS).add(1.5, where=EVERY)
    torch.testing.assert_close(ours(llama, edit, ids), logits("repeng")["padded"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "edit"),
    [
        ("add", vector(1, 2).add(1.5, where=EVERY)),
        ("addition", vector(1, 2).add(-0.5, where=EVERY)),
        ("ablation", vector(1, 2).ablate(where=EVERY)),  # its multiplier, here -2, is ignored
        ("ablation_then_addition", vector(1, 2).set(1.5, where=EVERY)),  # the multiplier is of the addition alone
        ("self_attn", vector(1, 2, kind="attn_out").add(1.5, where=EVERY)),
        ("mlp", vector(1, 2, kind="mlp_out").add(1.5, where=EVERY)),
    ],
)
def test_steering_vectors_operators(llama, case, edit):
    same(llama, edit, "steering-vectors", case)


def test_pyvene_addition(llama):
    same(llama, vector(1).add(1.5, where=EVERY), "pyvene", "add")


def test_axbench_addition_is_in_multiples_of_the_maximum(llama):
    """Its steering strength is factor x maximum activation, along rows of unit length."""
    concepts = sk.load_dictionary(FOLDER / "axbench" / "LsReFT_weight.pt", site="1.resid_post")
    same(llama, concepts[2].add(0.6 * 2.5, where=EVERY), "axbench", "addition")
    same(llama, concepts[2].add(0.6 * 2.5, unit="residual", where=EVERY), "axbench", "addition")


def test_axbench_clamp_of_a_dictionary_feature(llama):
    features = sk.load_dictionary(FOLDER / "axbench" / "GemmaScopeSAE.pt", site="1.resid_post")
    same(llama, features[2].set(0.6 * 2.5, where=EVERY), "axbench", "clamping")


@pytest.mark.parametrize(
    ("case", "operator", "strength"), [("add", "add", 3.0), ("set", "set", 2.0), ("set_to_zero", "ablate", 0.0)]
)
def test_goodfire_example_keeps_the_error(llama, case, operator, strength):
    features = sk.load_dictionary(FOLDER / "goodfire" / "Random-SAE-l1.pth")
    same(llama, sk.Edit(features[5], operator, strength, where=EVERY), "goodfire", case)
