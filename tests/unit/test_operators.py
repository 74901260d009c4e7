"""After an edit, its coefficient reads as its operator says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import steerkit as sk

few = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
numbers = st.floats(-8, 8, width=32)
EVERYWHERE = sk.Where(special=True)


def correlated(count: int, width: int, seed: int, shared: float) -> torch.Tensor:
    """Random directions of different lengths that share a part."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, width, generator=generator)
    directions += shared * torch.randn(width, generator=generator)
    return directions * torch.logspace(-1, 1, count)[:, None]


def coefficient(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    return x.double() @ direction.double() / direction.double().square().sum()


def slack(x: torch.Tensor, direction: torch.Tensor) -> float:
    """How exactly a float32 activation can hold a coefficient."""
    return 1e-6 * max(1.0, (x.norm(dim=-1).max() / direction.norm()).item())


def expected(edit: sk.Edit, before: torch.Tensor, x: torch.Tensor, norm: float) -> torch.Tensor:
    if edit.operator == "ablate":
        return torch.zeros_like(before)
    if edit.operator == "scale":
        return edit.strength * before
    per_unit = {"raw": 1.0, "residual": 1 / norm, "norm": x.double().norm(dim=-1) / norm}[edit.unit]
    moved = torch.as_tensor(edit.strength * per_unit).expand_as(before)
    return moved if edit.operator == "set" else before + moved


@st.composite
def operators(draw, additive: bool = False):
    name = draw(st.sampled_from(["add"] if additive else ["set", "scale", "ablate"]))
    unit = draw(st.sampled_from(["raw", "residual", "norm"]))
    strength = draw(numbers)
    if name == "ablate":
        return lambda v: v.ablate(EVERYWHERE)
    if name == "scale":
        return lambda v: v.scale(strength, EVERYWHERE)
    return lambda v: getattr(v, name)(strength, unit, EVERYWHERE)


def changed(subject, edits, x):
    """The activation that a program's edits at the subject's site leave behind."""
    (stop,) = subject.model._runner.compile([sk.Plan(edits)]).stops
    (group,) = stop.sites[0].groups
    acts = torch.ones(1, x.shape[1], len(group.directions), dtype=torch.bool)
    change = group.change(x, acts)
    return x + change.delta, change.coefficients


@few
@given(makers=st.lists(operators(), min_size=1, max_size=5), seed=st.integers(0, 1000), shared=st.floats(0, 2))
def test_every_coefficient_ends_where_its_operator_says(tinystories, makers, seed, shared):
    directions = correlated(len(makers), tinystories.model.d_model, seed, shared)
    x = torch.randn(1, 7, tinystories.model.d_model, generator=torch.Generator().manual_seed(seed + 1)) * 3
    edits = [
        make(sk.Vector({tinystories.site: d}, f"v{i}"))
        for i, (make, d) in enumerate(zip(makers, directions, strict=True))
    ]
    after, _ = changed(tinystories, edits, x)
    for edit, direction in zip(edits, directions, strict=True):
        before = coefficient(x, direction)
        wanted = expected(edit, before, x, direction.norm().item())
        room = slack(torch.cat([x, after], 1), direction) + 1e-6 * wanted.abs().max().item()
        assert (coefficient(after, direction) - wanted).abs().max() <= room, str(edit)


@few
@given(
    makers=st.lists(operators(), min_size=1, max_size=3),
    adds=st.lists(operators(additive=True), min_size=1, max_size=2),
    seed=st.integers(0, 1000),
)
def test_adds_go_on_top(tinystories, makers, adds, seed):
    directions = correlated(len(makers) + len(adds), tinystories.model.d_model, seed, 1.0)
    x = torch.randn(1, 3, tinystories.model.d_model, generator=torch.Generator().manual_seed(seed + 1))
    vectors = [sk.Vector({tinystories.site: d}) for d in directions]
    edits = [make(v) for make, v in zip([*makers, *adds], vectors, strict=True)]
    together, _ = changed(tinystories, edits, x)
    without, _ = changed(tinystories, edits[: len(makers)], x)
    only, _ = changed(tinystories, edits[len(makers) :], x)
    torch.testing.assert_close(together, without + (only - x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", ["raw", "residual", "norm"])
@pytest.mark.parametrize("operator", ["set", "add"])
def test_units(subject, operator, unit):
    """Worked by hand: residual is a length, norm a share of the token's own length."""
    direction = torch.zeros(subject.model.d_model)
    direction[2] = 4.0
    x = torch.zeros(1, 1, subject.model.d_model)
    x[..., 0], x[..., 2] = 3.0, 4.0
    edit = getattr(sk.Vector({subject.site: direction}), operator)(2, unit, EVERYWHERE)
    after, read = changed(subject, [edit], x)
    assert read.item() == 1.0
    moved = {"raw": 8.0, "residual": 2.0, "norm": 10.0}[unit]
    torch.testing.assert_close(after[0, 0, 2].item(), moved + (4.0 if operator == "add" else 0.0))
    assert after[0, 0, 0] == 3.0


@pytest.mark.parametrize("operator", ["set", "scale", "ablate"])
def test_in_the_model_the_coefficients_end_where_they_should(subject, operator):
    vectors = [subject.vector(seed) for seed in range(3)]
    vectors[1] = vectors[0] + vectors[1] / 2
    edits = {
        "set": [v.set(s, where=EVERYWHERE) for v, s in zip(vectors, [0.5, -1, 2], strict=True)],
        "scale": [v.scale(s, EVERYWHERE) for v, s in zip(vectors, [0.5, -1, 2], strict=True)],
        "ablate": [v.ablate(EVERYWHERE) for v in vectors],
    }[operator]
    before = subject.model.read(subject.prompt, vectors).coefficients
    after = subject.model.read(subject.prompt, vectors, edits).coefficients
    wanted = {
        "set": torch.tensor([0.5, -1, 2]).expand_as(before),
        "scale": before * torch.tensor([0.5, -1, 2]),
        "ablate": torch.zeros_like(before),
    }[operator]
    torch.testing.assert_close(after, wanted, rtol=1e-5, atol=1e-5)


def test_an_edit_that_leaves_its_coefficient_leaves_the_activation(subject):
    directions = correlated(3, subject.model.d_model, 0, 1.0)
    x = torch.randn(1, 1, subject.model.d_model, generator=torch.Generator().manual_seed(1))
    vectors = [sk.Vector({subject.site: d}) for d in directions]
    _, read = changed(subject, [v.scale(1, EVERYWHERE) for v in vectors], x)
    held = [v.set(c, where=EVERYWHERE) for v, c in zip(vectors, read[0, 0].tolist(), strict=True)]
    after, _ = changed(subject, held, x)
    assert torch.equal(after, x)


def test_ablating_what_is_not_there_changes_nothing(subject):
    x = torch.randn(1, 4, subject.model.d_model)
    x[..., 0] = 0.0
    direction = torch.zeros(subject.model.d_model)
    direction[0] = 2.0
    after, _ = changed(subject, [sk.Vector({subject.site: direction}).ablate(EVERYWHERE)], x)
    assert torch.equal(after, x)


@pytest.mark.parametrize("size", [1e-30, 1e-15, 1e15, 1e30])
def test_the_length_of_a_vector_costs_no_accuracy(subject, size):
    direction = torch.randn(subject.model.d_model, generator=torch.Generator().manual_seed(0))
    x = torch.randn(1, 4, subject.model.d_model, generator=torch.Generator().manual_seed(1))
    expected_x = x - coefficient(x, direction)[..., None] * direction
    after, _ = changed(subject, [sk.Vector({subject.site: direction * size}).ablate(EVERYWHERE)], x)
    torch.testing.assert_close(after, expected_x.float(), rtol=1e-4, atol=1e-4)


@few
@given(
    makers=st.lists(operators() | operators(additive=True), min_size=2, max_size=5),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_the_order_of_edits_does_not_matter(tinystories, makers, seed, data):
    directions = correlated(len(makers), tinystories.model.d_model, seed, 1.0)
    x = torch.randn(1, 3, tinystories.model.d_model, generator=torch.Generator().manual_seed(seed))
    edits = [make(sk.Vector({tinystories.site: d})) for make, d in zip(makers, directions, strict=True)]
    shuffled = data.draw(st.permutations(edits))
    scale = max(1.0, changed(tinystories, edits, x)[0].abs().max().item())
    torch.testing.assert_close(
        changed(tinystories, edits, x)[0] / scale, changed(tinystories, shuffled, x)[0] / scale, rtol=1e-5, atol=1e-5
    )


def test_the_order_of_edits_does_not_change_the_text(subject):
    last = f"{subject.model.n_layers - 1}.resid_pre"
    edits = [subject.vector(0).add(0.3), subject.vector(1).set(0.2), subject.vector(2).ablate(),
             subject.vector(3, last).add(0.3)]  # fmt: skip
    texts = {
        tuple(subject.model.generate(subject.prompt, [edits[i] for i in order], max_new_tokens=10).token_ids)
        for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1])
    }
    assert len(texts) == 1


def test_dependent_edits_on_the_same_tokens_are_refused_by_name(subject):
    a, b = subject.vector(0), subject.vector(1)
    mixed = sk.Vector({subject.site: a[subject.site] - 2 * b[subject.site]}, "mixed")
    with pytest.raises(sk.errors.EditError, match=r"(?s)v0.*v1.*mixed.*different tokens"):
        subject.model.generate(subject.prompt, [a.set(1), b.ablate(), mixed.scale(2)])
    with pytest.raises(sk.errors.EditError, match=r"set v0 \+1; scale v0 \+2"):
        subject.model.generate(subject.prompt, [b.ablate(), a.set(1), a.scale(2)])
    with pytest.raises(sk.errors.EditError, match="depend on each other"):
        subject.model.read(subject.prompt, a, [a.ablate(), (-3 * a).set(1)])


def test_dependent_edits_are_served_where_they_do_not_meet(subject):
    a = subject.vector(0)
    prompt, new = sk.Where(generated=False, special=True), sk.Where(prompt=False, special=True)
    subject.model.generate(subject.prompt, [a.set(1, where=prompt), a.ablate(new)], max_new_tokens=2)
    subject.model.generate(subject.prompt, [a.add(1), a.add(2), a.ablate()], max_new_tokens=2)
    off = sk.Edit(a, "set", 1, enabled=False)
    subject.model.generate(subject.prompt, [off, a.ablate()], max_new_tokens=2)
    elsewhere = sk.Vector({"0.resid_pre": a[subject.site]})
    subject.model.generate(subject.prompt, [a.set(1), elsewhere.set(1)], max_new_tokens=2)
