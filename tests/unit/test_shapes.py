"""Shapes in annotations are checked while tests run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import jaxtyping
import pytest
import torch

import steerkit
from steerkit.engines.sampling import Sampling, choose
from steerkit.plans import Plan

ROOT = Path(steerkit.__file__).parent
EXAMPLES = sorted(  # those of the storybook run in its own tests
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8") and "storybook" not in path.parts
)


@pytest.fixture
def site(gpt2):
    plan = Plan([gpt2.vector(0).add(1), gpt2.vector(1).set(1)])
    return gpt2.model._runner.compile([plan]).stops[0].sites[0].groups[0]


def test_right_shapes_pass(site):
    change = site.change(torch.zeros(1, 4, 32), torch.ones(1, 4, 2, dtype=torch.bool))
    assert change.delta.shape == (1, 4, 32)
    assert change.coefficients.shape == (1, 4, 2)


@pytest.mark.parametrize(
    ("x", "acts"),
    [
        (torch.zeros(4, 32), torch.ones(1, 4, 2, dtype=torch.bool)),
        (torch.zeros(1, 4, 32), torch.ones(1, 5, 2, dtype=torch.bool)),
        (torch.zeros(1, 4, 32), torch.ones(1, 4, dtype=torch.bool)),
        (torch.zeros(1, 4, 32), torch.ones(1, 4, 2)),
        (torch.zeros(1, 4, 32, dtype=torch.long), torch.ones(1, 4, 2, dtype=torch.bool)),
    ],
    ids=["an axis too few", "other tokens", "no edits", "numbers for a mask", "whole numbers"],
)
def test_wrong_shapes_raise(site, x, acts):
    with pytest.raises(jaxtyping.TypeCheckError, match=r"acts|x"):
        site.change(x, acts)


def test_wrong_shapes_of_logits_raise():
    with pytest.raises(jaxtyping.TypeCheckError, match="logits"):
        choose(torch.zeros(5), Sampling(1, 1.0, 1.0, (0,)), 0)


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_in_docstrings(module):
    assert doctest.testmod(importlib.import_module(module), extraglobs={"torch": torch}).failed == 0


def test_there_are_examples():
    assert {"steerkit.sites", "steerkit.vectors.vector", "steerkit.where"} <= {*EXAMPLES}
