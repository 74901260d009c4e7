"""The laws, over random plans: any operators, vectors and features, scopes and conditions together."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from dictionaries.test_steering import KINDS, N, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import steerkit as sk
from steerkit.dictionaries.activations import Gated, Linear, TanhReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.errors import EditError

few = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SITES = ("0.resid_post", "1.resid_pre", "1.resid_post")
strengths = st.floats(-1.5, 1.5, width=16)
# Raw numbers: edits are made of them inside the tests, since checking types draws random numbers of its own.
drawn_edits = st.lists(
    st.fixed_dictionaries(
        {
            "feature": st.booleans(),
            "operator": st.sampled_from(["add", "set", "at_least", "at_most", "cap", "scale", "ablate"]),
            "strength": strengths,
            "unit": st.sampled_from(["raw", "residual", "norm"]),
            "site": st.integers(0, 2),
            "where": st.integers(0, 7),
            "when": st.integers(0, 5),
        }
    ),
    min_size=1,
    max_size=5,
)
MORE = {
    "gated": Gated(torch.linspace(-1, 1, N), torch.linspace(-0.5, 0.5, N), torch.linspace(-0.2, 0.2, N)),
    "tanh": TanhReLU(),
    "linear": Linear(),
    "topk by magnitude": TopK(6, relu=False, by_magnitude=True),
}
plans = st.fixed_dictionaries(
    {"edits": drawn_edits, "kind": st.sampled_from(sorted({*KINDS, *MORE})), "preserve_norm": st.booleans()}
)
WHERES = [
    {},
    {"prompt": False},
    {"generated": False},
    {"prompt": False, "last_prompt": True},
    {"positions": slice(-2, None)},
    {"prompt": False, "new_positions": slice(1, 3)},
    {"special": True},
    {"prompt": False, "decay": 0.7},
]


@pytest.fixture(params=["gpt2", "gemma2", "stories", "tinystories"])
def subject(request):
    return request.getfixturevalue(request.param)


def dictionary_of(model: sk.Model, kind: str) -> Dictionary:
    """A random dictionary of any kind there is."""
    dictionary = make(model, kind if kind in KINDS else "relu", "1.resid_post")
    return Dictionary(replace(dictionary.parts, activation=MORE[kind]), "random") if kind in MORE else dictionary


def plan_of(subject, drawn: dict) -> sk.Plan:
    """A plan of the numbers drawn; edits that would conflict are left out, one by one."""
    dictionary = dictionary_of(subject.model, drawn["kind"])
    probe = subject.vector(9, "0.resid_post", norm=0.5)
    conditions = [
        None,
        probe > 0,
        ~(probe > 0),
        (probe > 0.1).so_far(),
        (probe < -0.1).in_prompt() | (probe > 0.3),
        probe.cast() > 0,
    ]
    kept: list[sk.Edit] = []
    for i, numbers in enumerate(drawn["edits"]):
        site = SITES[numbers["site"]]
        target = dictionary[7 * i] if numbers["feature"] else subject.vector(i, site, norm=0.4)
        settings = {"where": sk.Where(**WHERES[numbers["where"]]), "when": conditions[numbers["when"]]}
        name, strength = numbers["operator"], numbers["strength"]
        if name == "ablate":
            edit = target.ablate(**settings)
        elif name == "scale":
            edit = target.scale(strength, **settings)
        elif name == "cap":
            edit = target.cap(-abs(strength), abs(strength), numbers["unit"], **settings)
        else:
            edit = getattr(target, name)(strength, numbers["unit"], **settings)
        try:
            subject.model.check([*kept, edit])
        except EditError:
            continue
        kept.append(edit)
    return sk.Plan(kept, preserve_norm=drawn["preserve_norm"])


def close(one: sk.Run, other: sk.Run) -> None:
    assert one.token_ids == other.token_ids
    torch.testing.assert_close(one.logprobs, other.logprobs, rtol=2e-3, atol=1e-3)
    torch.testing.assert_close(one.coefficients, other.coefficients, rtol=2e-3, atol=2e-3)


@few
@given(drawn=plans)
def test_switched_off_it_leaves_the_text_and_its_numbers_bit_for_bit(subject, drawn):
    plan = plan_of(subject, drawn)
    off = sk.Plan([replace(edit, enabled=False) for edit in plan], preserve_norm=plan.preserve_norm)
    assert torch.equal(subject.model.score(subject.ids(), off), subject.model.score(subject.ids()))
    runs = [subject.model.generate(subject.ids(), p, max_new_tokens=4) for p in (off, sk.Plan())]
    assert runs[0].token_ids == runs[1].token_ids
    assert torch.equal(runs[0].logprobs, runs[1].logprobs)


@few
@given(drawn=plans)
def test_with_a_cache_as_without(subject, drawn):
    plan = plan_of(subject, drawn)
    close(*(subject.model.generate(subject.ids(), plan, max_new_tokens=4, use_cache=cache) for cache in (True, False)))


@few
@given(drawn=plans, lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_a_row_of_a_padded_batch_is_the_row_alone(subject, drawn, lengths):
    plan, whole = plan_of(subject, drawn), subject.ids()
    prompts = [whole[:length] for length in lengths]
    batch = subject.model.generate_many([*prompts, whole], plan, max_new_tokens=3)
    for prompt, row in zip(prompts, batch, strict=False):
        close(row, subject.model.generate(prompt, plan, max_new_tokens=3))


@few
@given(drawn=plans)
def test_the_order_of_edits_does_not_matter(subject, drawn):
    plan = plan_of(subject, drawn)
    turned = sk.Plan(plan.edits[::-1], preserve_norm=plan.preserve_norm)
    one, other = (subject.model.score(subject.ids(), p) for p in (plan, turned))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@few
@given(drawn=plans)
def test_a_plan_reads_again_from_its_json(subject, drawn):
    plan = plan_of(subject, drawn)
    features = [edit.target.dictionary for edit in plan if isinstance(edit.target, sk.Feature)]
    again = sk.Plan.from_json(plan.to_json(), model=subject.model, dictionaries=features[:1])
    assert torch.equal(subject.model.score(subject.ids(), again), subject.model.score(subject.ids(), plan))


@pytest.fixture(scope="module", params=["gpt2", "tinystories"])
def halved(request):
    """The same models in bfloat16."""
    whole = request.getfixturevalue(request.param)
    plain = deepcopy(whole.plain).to(torch.bfloat16)
    return replace(whole, plain=plain, model=sk.load(plain, tokenizer=whole.model.tokenizer))


@few
@given(drawn=plans)
def test_in_bfloat16(halved, drawn):
    """Bit for bit where nothing acts; the first new token with a cache as without."""
    plan = plan_of(halved, drawn)
    off = sk.Plan([replace(edit, enabled=False) for edit in plan], preserve_norm=plan.preserve_norm)
    ids = halved.ids()
    assert torch.equal(halved.model.score(ids, off), halved.model.score(ids))
    with_cache, without = (
        halved.model.generate(ids, plan, max_new_tokens=1, temperature=0, use_cache=cache) for cache in (True, False)
    )
    torch.testing.assert_close(with_cache.logprobs, without.logprobs, rtol=0.05, atol=0.1)
    assert with_cache.logprobs.isfinite().all()
