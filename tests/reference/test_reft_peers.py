"""ReFT-r1 and the steering vector against AxBench's own training; see `make_reft_fixtures.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import steerkit as sk
from steerkit.learn import reft
from steerkit.learn.descent import Descent, Rule, Settings
from steerkit.learn.reft import LONGEST, SPARSITY
from steerkit.learn.reft import change as reft_change
from steerkit.learn.steering_vector import START
from steerkit.learn.steering_vector import change as steering_change
from steerkit.tokens import Completion

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SITE, SEED = "1.resid_post", 42


@pytest.fixture(scope="module")
def model() -> sk.Model:
    return sk.load(FIXTURES / "steering" / "llama")


@pytest.fixture(scope="module")
def texts() -> list[Completion]:
    rows = json.loads((FIXTURES / "reft" / "texts.json").read_text())
    return [Completion(row["input"], row["output"]) for row in rows]


@pytest.fixture(scope="module")
def axbench() -> dict[str, torch.Tensor]:
    return load_file(FIXTURES / "reft" / "axbench.safetensors")


def steps(model: sk.Model, texts: list[Completion], rule: Rule, start: torch.Tensor) -> torch.Tensor:
    """The direction after each step."""
    descent = Descent(model, SITE, [model.encode_all(texts)], rule, Settings(3, 6, 0.01, SEED), start)
    found = []
    descent.optimizer.register_step_post_hook(lambda *_: found.append(descent.rows[0].detach().clone()))
    descent.run()
    found = torch.stack(found)
    return torch.nn.functional.normalize(found, dim=-1) if rule.unit else found


def test_what_is_written_and_what_is_punished(axbench):
    x, w = axbench["x"], axbench["w"].expand(3, -1)
    changed, penalty = reft_change(x, torch.ones(x.shape[:2], dtype=torch.bool), w)
    torch.testing.assert_close(changed, axbench["changed"])
    torch.testing.assert_close(penalty, axbench["penalties"])


def test_every_step_of_reft(model, texts, axbench):
    """Of its code with directions of length 1 at every forward pass, as the paper has them."""
    ours = steps(model, texts, Rule(reft_change, SPARSITY, unit=True, longest=LONGEST), torch.ones(1, model.d_model))
    torch.testing.assert_close(ours, axbench["reft_unit"], rtol=1e-4, atol=1e-4)


def test_its_code_as_it_is_comes_out_close(model, texts, axbench):
    """Its directions are longer than 1 at a forward pass; here that turns the result by eight degrees at most."""
    theirs = axbench["reft"][-1]
    assert theirs.norm() > 1
    ours = reft_learned(model, texts)
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.99


def reft_learned(model: sk.Model, texts: list[Completion]) -> torch.Tensor:
    vector = reft(model, texts[:10], texts[10:], site=SITE, seed=SEED)
    return vector[SITE]


def test_the_public_function_learns_the_same(model, texts, axbench):
    torch.testing.assert_close(reft_learned(model, texts), axbench["reft_unit"][-1], rtol=1e-4, atol=1e-4)


def test_every_step_of_a_steering_vector(model, texts, axbench):
    ours = steps(model, texts, Rule(steering_change), torch.full((1, model.d_model), START))
    torch.testing.assert_close(ours, axbench["steering_vector"], rtol=1e-4, atol=1e-4)
