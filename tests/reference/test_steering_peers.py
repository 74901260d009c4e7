"""Logits of the peers' own packages under steering, against ours.

`tests/reference/make_steering_fixtures.py` makes them anew, and tells how each was run. Peers steer the
beginning-of-sequence token too, hence `EVERY`. Models are in float64, so that what differs is steering alone; IBM's
code works in float32 only. Goodfire's is its equation as we state it, not its code.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import steerkit as sk
from steerkit.plans import EditsLike

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "steering"
LAYERS = (0, 1, 2)
EVERY = sk.Where(special=True)


@pytest.fixture(scope="module")
def llama() -> sk.Model:
    return sk.load(FOLDER / "llama", dtype="float64", device="cpu")


@pytest.fixture(scope="module")
def gpt2() -> sk.Model:
    return sk.load(FOLDER / "gpt2", dtype="float64", device="cpu")


@cache
def logits(peer: str) -> dict[str, Tensor]:
    return load_file(FOLDER / f"{peer}.safetensors")


def vector(*layers: int, kind: str = "resid_post") -> sk.Vector:
    return sk.Vector({f"{layer}.{kind}": logits("inputs")[f"vector.{layer}"] for layer in layers}, "v")


def ours(model: sk.Model, edits: EditsLike, ids: Tensor | None = None) -> Tensor:
    ids = logits("inputs")["ids"] if ids is None else ids
    with model.steer(edits), model.nnsight.trace(ids):
        steered = model.nnsight.output.logits.save()
    return steered


def same(model: sk.Model, edits: EditsLike, peer: str, case: str) -> None:
    theirs = logits(peer)[case]
    assert (theirs - logits("inputs")["plain"]).abs().max() > 0.1  # it did something
    torch.testing.assert_close(ours(model, edits), theirs, rtol=0, atol=1e-5)


def test_unsteered_models_agree(llama):
    torch.testing.assert_close(ours(llama, ()), logits("inputs")["plain"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("case", "strength"), [("add", 1.5), ("subtract", -0.7)])
def test_repeng_control_is_a_vector_added_at_every_layer(llama, case, strength):
    same(llama, vector(*LAYERS).add(strength, where=EVERY), "repeng", case)


def test_repeng_normalize_is_a_plan_that_preserves_the_norm(llama):
    """Each layer's output is scaled back to the length that it had before its own control, not before all."""
    plan = sk.Plan(vector(*LAYERS).add(1.5, where=EVERY), preserve_norm=True)
    same(llama, plan, "repeng", "normalize")


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
        ("min_token_index", vector(1, 2).add(1.5, where=sk.Where(special=True, positions=slice(3, None)))),
        ("token_indices", vector(1, 2).add(1.5, where=sk.Where(special=True, positions=[0, 2, -1]))),
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


@pytest.mark.parametrize(("case", "prefix"), [("subspace", 0), ("subspace_prefix", 3)])
def test_axbench_clamp_of_a_concept(llama, case, prefix):
    """It takes out `relu(x·w)`, which is how ReFT-r1 reads a concept, so a component against `w` stays.

    Along a vector, which reads `x·w`, that is two edits: nothing above 0, then the addition. The first `prefix_length`
    tokens are given back as they were.
    """
    where = sk.Where(special=True, positions=slice(prefix, None))
    concept = sk.load_dictionary(FOLDER / "axbench" / "LsReFT_weight.pt", site="1.resid_post")[2]
    same(llama, concept.set(0.6 * 2.5, where=where), "axbench", case)
    along = sk.Vector({concept.site: concept.direction})
    same(llama, [along.at_most(0, where=where), along.add(0.6 * 2.5, where=where)], "axbench", case)


def test_axbench_thresholding_is_a_condition(llama):
    """What is added is not what lacks up to the threshold, but the whole of it."""
    concept = sk.load_dictionary(FOLDER / "axbench" / "LsReFT_weight.pt", site="1.resid_post")[2]
    along = sk.Vector({concept.site: concept.direction})
    same(llama, along.add(0.2 * 2.5, where=EVERY, when=along < 0.2 * 2.5), "axbench", "thresholding")


def test_axbench_clamps_of_a_dictionary_feature(llama):
    feature = sk.load_dictionary(FOLDER / "axbench" / "GemmaScopeSAE.pt", site="1.resid_post")[2]
    same(llama, feature.set(0.6 * 2.5, where=EVERY), "axbench", "clamping")
    same(llama, feature.at_least(0.2 * 2.5, where=EVERY), "axbench", "min_clamping")


@pytest.mark.parametrize(
    ("case", "operator", "strength"), [("add", "add", 3.0), ("set", "set", 2.0), ("set_to_zero", "ablate", 0.0)]
)
def test_goodfire_example_keeps_the_error(llama, case, operator, strength):
    features = sk.load_dictionary(FOLDER / "goodfire" / "Random-SAE-l1.pth")
    same(llama, sk.Edit(features[5], operator, strength, where=EVERY), "goodfire", case)


@pytest.mark.parametrize(("case", "operator", "strength"), [("cleaned_add", "add", 3.0), ("cleaned_set", "set", 2.0)])
def test_goodfire_cleanup_takes_the_edit_out_again_at_the_last_layer(llama, case, operator, strength):
    features = sk.load_dictionary(FOLDER / "goodfire" / "Random-SAE-l1.pth")
    same(llama, sk.Edit(features[5], operator, strength, where=EVERY, direct=False), "goodfire", case)


def test_ibm_models_and_autoencoders_agree(gpt2):
    """Unsteered logits, and the activations that its code saw at every token."""
    theirs = logits("sae-steering")
    plain = ours(gpt2, (), theirs["ids"])
    torch.testing.assert_close(plain, theirs["plain"].double(), rtol=0, atol=1e-5)
    features = sk.load_dictionary(FOLDER / "openai" / "resid_post_mlp_v5_32k" / "autoencoders" / "1.pt")
    ((_, read),) = gpt2.activations([theirs["ids"][0].tolist()], [features[0].site])
    latents = features.encode(read[features[0].site]).to_dense()
    torch.testing.assert_close(latents, theirs["SAE_latents"], rtol=0, atol=1e-5)
