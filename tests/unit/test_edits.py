from __future__ import annotations

import dataclasses

import pytest
import torch

import steerkit as sk

JOY = sk.Vector({"1.resid_post": torch.tensor([3.0, 4.0])}, "joy")


def test_the_operators_of_a_vector():
    where = sk.Where(prompt=False)
    assert JOY.add(2) == sk.Edit(JOY, "add", 2.0)
    assert JOY.add(2, "norm", where) == sk.Edit(JOY, "add", 2.0, "norm", where)
    assert JOY.set(-1, unit="residual") == sk.Edit(JOY, "set", -1.0, "residual")
    assert JOY.scale(3, where) == sk.Edit(JOY, "scale", 3.0, where=where)
    assert JOY.ablate() == sk.Edit(JOY, "ablate")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JOY.add(1, where="prompt"), "where='prompt' is no choice of tokens"),
        (lambda: JOY.add(1, where=None), "where=None is no choice of tokens"),
        (lambda: JOY.add(1, "raw", JOY > 0.5), r"A condition goes to when="),
        (lambda: JOY.add(1, when=True), "when=True is no condition"),
        (lambda: JOY.move_to("night"), "other='night' cannot be steered"),
    ],
)
def test_arguments_of_another_kind(unchecked, make, message):
    with pytest.raises(sk.errors.EditError, match=message):
        make()


def test_edits_are_frozen_data():
    edit = JOY.add(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        edit.strength = 3.0
    assert edit.with_strength(3) == JOY.add(3)
    assert edit.strength == 2.0
    assert {edit: "same"}[JOY.add(2)] == "same"


def test_by_default_an_edit_acts_everywhere_but_on_special_tokens():
    assert sk.Where() == sk.Where(prompt=True, generated=True, special=False)
    assert JOY.add(1).where == sk.Where()


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (JOY.add(2), "add joy +2"),
        (JOY.set(-0.5, "norm"), "set joy -0.5 norm"),
        (JOY.scale(3), "scale joy +3"),
        (JOY.ablate(), "ablate joy"),
        (dataclasses.replace(JOY.add(2), enabled=False), "add joy +2 (off)"),
    ],
)
def test_edits_say_what_they_do(edit, text):
    assert str(edit) == text
    assert str(sk.Plan(edit)) == text


def test_plans():
    edits = [JOY.add(1), JOY.ablate()]
    plan = sk.Plan(edits)
    assert list(plan) == edits
    assert len(plan) == 2
    assert plan[1] == JOY.ablate()
    assert plan == sk.Plan(plan) == sk.Plan(iter(edits))
    assert list(sk.Plan(JOY.add(1))) == [JOY.add(1)]
    assert str(sk.Plan()) == "no edits"
    assert str(plan) == "add joy +1, ablate joy"
