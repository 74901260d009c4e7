"""Every operator, on random activations and random directions, against what its definition says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import steerkit as sk
from steerkit.errors import EditError

EVERYWHERE = sk.Where(special=True)
WIDTH = 32
few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
numbers = st.floats(-4, 4, width=32)


def draw(seed: int, count: int, shared: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlated directions of different lengths, and activations."""
    noise = torch.Generator().manual_seed(seed)
    directions = torch.randn(count, WIDTH, generator=noise) + shared * torch.randn(WIDTH, generator=noise)
    return directions * torch.logspace(-0.5, 0.5, count)[:, None], torch.randn(1, 5, WIDTH, generator=noise) * 3


def coefficient(x: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    return x.double() @ direction.double() / direction.double().square().sum()


def changed(gpt2, edits, x: torch.Tensor, preserve_norm: bool = False) -> torch.Tensor:
    """The activation that a plan's edits at one site leave behind."""
    (stop,) = gpt2.model._runner.compile([sk.Plan(edits, preserve_norm=preserve_norm)]).stops
    (site,) = stop.sites
    acts = torch.ones(1, x.shape[1], 99, dtype=torch.bool)
    delta = sum(group.change(x, acts[..., : len(group.directions)]).delta for group in site.groups)
    return x + site.keep_norm(x, delta)


def vector(direction: torch.Tensor, label: str = "v") -> sk.Vector:
    return sk.Vector({"1.resid_post": direction}, label)


@st.composite
def bounded(draw):
    """An operator and what it makes of a coefficient."""
    low, high = sorted((draw(numbers), draw(numbers)))
    return draw(
        st.sampled_from(
            [
                (lambda v: v.at_least(low, where=EVERYWHERE), lambda c: c.clamp_min(low)),
                (lambda v: v.at_most(high, where=EVERYWHERE), lambda c: c.clamp_max(high)),
                (lambda v: v.cap(low, high, where=EVERYWHERE), lambda c: c.clamp(low, high)),
                (lambda v: v.set(low, where=EVERYWHERE), lambda c: torch.full_like(c, low)),
                (lambda v: v.ablate(EVERYWHERE), torch.zeros_like),
                (lambda v: v.scale(high, EVERYWHERE), lambda c: c * high),
            ]
        )
    )


@few
@given(kinds=st.lists(bounded(), min_size=1, max_size=4), seed=st.integers(0, 10_000))
def test_bounds_and_values_hold_together(gpt2, kinds, seed):
    directions, x = draw(seed, len(kinds))
    edits = [make(vector(d, f"v{i}")) for i, ((make, _), d) in enumerate(zip(kinds, directions, strict=True))]
    after = changed(gpt2, edits, x)
    for (_, wanted), direction in zip(kinds, directions, strict=True):
        room = 2e-6 * max(1.0, (torch.cat([x, after], 1).norm(dim=-1).max() / direction.norm()).item())
        torch.testing.assert_close(
            coefficient(after, direction), wanted(coefficient(x, direction)), rtol=1e-5, atol=5 * room
        )


@few
@given(seed=st.integers(0, 10_000), order=st.permutations(range(4)))
def test_the_order_of_edits_does_not_matter(gpt2, seed, order):
    directions, x = draw(seed, 6)
    a, b, c, d, e, f = (vector(direction, f"v{i}") for i, direction in enumerate(directions))
    edits = [
        a.move_to(b, EVERYWHERE),
        c.rotate(d, 40, EVERYWHERE),
        e.at_most(0.2, where=EVERYWHERE),
        f.add(2, where=EVERYWHERE),
    ]
    torch.testing.assert_close(
        changed(gpt2, [edits[i] for i in order], x), changed(gpt2, edits, x), rtol=1e-4, atol=1e-4
    )


@few
@given(seed=st.integers(0, 10_000))
def test_moving_gives_the_other_what_the_one_had(gpt2, seed):
    (first, second), x = draw(seed, 2)
    after = changed(gpt2, [vector(first).move_to(vector(second, "w"), EVERYWHERE)], x)
    room = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(coefficient(after, first), torch.zeros(1, 5, dtype=torch.float64), **room)
    had = coefficient(x, first) + coefficient(x, second)
    torch.testing.assert_close(coefficient(after, second), had, **room)


@few
@given(seed=st.integers(0, 10_000), degrees=st.floats(-180, 180))
def test_rotation_turns_the_plane_and_nothing_else(gpt2, seed, degrees):
    (first, second), x = draw(seed, 2)
    after = changed(gpt2, [vector(first).rotate(vector(second, "w"), degrees, EVERYWHERE)], x).double()
    one = first.double() / first.double().norm()
    two = second.double() - second.double() @ one * one
    two = two / two.norm()
    p, q = x.double() @ one, x.double() @ two
    angle = math.radians(degrees)
    turned = x.double() + (p * math.cos(angle) - q * math.sin(angle) - p)[..., None] * one
    turned = turned + (p * math.sin(angle) + q * math.cos(angle) - q)[..., None] * two
    torch.testing.assert_close(after, turned, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.norm(dim=-1), x.double().norm(dim=-1), rtol=1e-5, atol=1e-5)


@few
@given(seed=st.integers(0, 10_000), strength=numbers)
def test_a_plan_that_keeps_the_norm_keeps_it_and_the_direction(gpt2, seed, strength):
    directions, x = draw(seed, 2)
    edits = [vector(d, f"v{i}").add(strength, where=EVERYWHERE) for i, d in enumerate(directions)]
    free, kept = changed(gpt2, edits, x), changed(gpt2, edits, x, preserve_norm=True)
    torch.testing.assert_close(kept.norm(dim=-1), x.norm(dim=-1), rtol=1e-5, atol=1e-5)
    if strength == 0:
        assert torch.equal(kept, x)
    cosine = torch.nn.functional.cosine_similarity(free, kept, dim=-1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=1e-5, atol=1e-5)


def test_an_operator_of_ones_own(gpt2):
    sk.register_operator("halve_above", lambda c, strength: torch.where(c > strength, c / 2, c))
    directions, x = draw(0, 1)
    before = coefficient(x, directions[0])
    after = coefficient(
        changed(gpt2, [vector(directions[0]).apply("halve_above", 0.1, where=EVERYWHERE)], x), directions[0]
    )
    torch.testing.assert_close(after, torch.where(before > 0.1, before / 2, before), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["add", "two words", "1st"])
def test_names_that_cannot_be_operators(name):
    with pytest.raises(EditError, match="cannot name an operator"):
        sk.register_operator(name, lambda c, s: c)


def test_what_is_no_operator():
    with pytest.raises(EditError, match="function of a coefficient and a strength"):
        sk.register_operator("lonely", lambda c: c)
    with pytest.raises(EditError, match="'lonely' is no operator"):
        vector(torch.ones(WIDTH)).apply("lonely", 1)


AT_REST = {
    "at_least": lambda v, w: v.at_least(-1e6, where=EVERYWHERE),
    "at_most": lambda v, w: v.at_most(1e6, "norm", EVERYWHERE),
    "cap": lambda v, w: v.cap(-1e6, 1e6, "residual", EVERYWHERE),
    "rotate": lambda v, w: v.rotate(w, 0, EVERYWHERE),
    "move_to off": lambda v, w: replace(v.move_to(w, EVERYWHERE), enabled=False),
    "cap off": lambda v, w: replace(v.cap(0, 0, where=EVERYWHERE), enabled=False),
    "indirect add": lambda v, w: v.add(0, where=EVERYWHERE, direct=False),
    "never": lambda v, w: v.add(9, where=EVERYWHERE, when=w > 1e9),
    "fading": lambda v, w: v.add(0, where=sk.Where(decay=0.5)),
}


@pytest.mark.parametrize("name", AT_REST)
@pytest.mark.parametrize("preserve_norm", [False, True])
def test_at_its_identity_it_changes_nothing(drawn, name, preserve_norm):
    edit = AT_REST[name](drawn.vector(0, "0.resid_post"), drawn.vector(1, "0.resid_post"))
    if preserve_norm and not edit.direct:
        with pytest.raises(EditError, match="cannot be taken out again"):
            drawn.model.score(drawn.ids(), sk.Plan(edit, preserve_norm=True))
        return
    plan = sk.Plan(edit, preserve_norm=preserve_norm)
    assert torch.equal(drawn.model.score(drawn.ids(), plan), drawn.model.score(drawn.ids()))
    run, unsteered = (drawn.model.generate(drawn.ids(), p, max_new_tokens=5) for p in (plan, sk.Plan()))
    assert run.token_ids == unsteered.token_ids
    assert torch.equal(run.logprobs, unsteered.logprobs)


def test_what_is_passing_is_out_again_at_the_end(drawn):
    """At the last layer's output, what an edit wrote is there if it is direct, and gone if it is not."""
    model = drawn.model
    last = f"{model.n_layers - 1}.resid_post"
    add = drawn.vector(0, "0.resid_post").add(1.5, where=EVERYWHERE, direct=False)
    here = model.read(drawn.ids(), drawn.vector(1, last), [add]).coefficients
    kept = model.read(drawn.ids(), drawn.vector(1, last), [replace(add, direct=True)]).coefficients
    gone = coefficient(1.5 * add.target["0.resid_post"], drawn.vector(1, last)[last])
    torch.testing.assert_close(kept.double() - here.double(), gone.expand(len(kept), 1), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda v, w: [v.set(1), v.at_least(2)], "depend on each other: set v .*; at_least v"),
        (lambda v, w: [v.move_to(w), w.set(1)], "depend on each other: move v to w; set w"),
        (lambda v, w: [v.rotate(v * 2, 30)], "depend on each other"),
        (lambda v, w: [v.at("1.resid_post").move_to(sk.Vector({"0.resid_post": torch.ones(32)}))], "no direction at"),
        (lambda v, w: [sk.Vector({"1.z": torch.ones(32)}).add(1, direct=False)], "written to the residual stream"),
        (lambda v, w: [sk.Vector({"2.resid_post": torch.ones(32)}).add(1, direct=False)], "nothing above it"),
    ],
)
def test_what_cannot_be_served_is_refused(gpt2, make, message):
    v, w = vector(torch.arange(32.0) + 1, "v"), vector(torch.ones(32), "w")
    with pytest.raises(sk.errors.SteerkitError, match=message):
        gpt2.model.generate("a", make(v, w), max_new_tokens=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda v: v.cap(2, 1), "leaves nothing between its bounds"),
        (lambda v: v.move_to(v), "needs two targets"),
        (lambda v: sk.Edit(v, "move_to"), "second target"),
        (lambda v: sk.Edit(v, "add", 1, low=0), "lower bound"),
        (lambda v: v.add(1, when=True), "no condition"),
        (lambda v: sk.StopText(when=0.5), "no condition"),
        (lambda v: sk.Call("print", when=v > 1), "cannot be called"),
    ],
)
def test_edits_that_mean_nothing(unchecked, make, message):
    with pytest.raises(EditError, match=message):
        make(vector(torch.ones(WIDTH)))


def test_opposite_conditions_do_not_conflict(gpt2):
    v, w = vector(torch.arange(32.0) + 1, "v"), vector(torch.ones(32), "w")
    gpt2.model.generate("a", [v.set(1, when=w > 0), v.set(-1, when=~(w > 0))], max_new_tokens=2)


def test_each_row_of_a_batch_under_its_own_plan(drawn):
    v, w = drawn.vector(0), drawn.vector(1)
    plans = [
        sk.Plan(v.add(1)),
        sk.Plan(),
        sk.Plan([w.at_least(0.5), v.add(-1)]),
        sk.Plan(w.rotate(v, 90), preserve_norm=True),
        sk.Plan(v.set(0.3, when=w > 0)),
    ]
    prompts = [drawn.ids()[: 3 + i] for i in range(5)]
    rows = drawn.model.generate_many(prompts, plans, max_new_tokens=5)
    for prompt, plan, row in zip(prompts, plans, rows, strict=True):
        alone = drawn.model.generate(prompt, plan, max_new_tokens=5)
        assert row.token_ids == alone.token_ids
        assert row.columns == alone.columns
        torch.testing.assert_close(row.coefficients, alone.coefficients, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(row.logprobs, alone.logprobs, rtol=1e-3, atol=1e-4)
