"""When an edit acts: conditions against readings of the unsteered model, worked out token by token."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.errors import EditError, PromptError, SteerkitError

NEW = sk.Where(prompt=False)


def last(subject) -> str:
    return f"{subject.model.n_layers - 1}.resid_post"


def reading(subject, vector: sk.Vector, ids: list[int]) -> torch.Tensor:
    return subject.model.read(ids, vector).coefficients[:, 0]


def middle(values: torch.Tensor) -> float:
    """A number that about half of them exceed, and none equals."""
    ordered = values.sort().values
    half = len(ordered) // 2
    return ((ordered[half - 1] + ordered[half]) / 2).item()


def acts(subject, when: sk.Condition, ids: list[int], where: sk.Where = sk.Where(special=True)) -> torch.Tensor:  # noqa: B008
    """On which tokens an edit at the end of the stream acts: it moves what is read there by 1."""
    vector = subject.vector(5, last(subject))
    before = reading(subject, vector, ids)
    after = subject.model.read(ids, vector, [vector.add(1, where=where, when=when)]).coefficients[:, 0]
    return (after - before) > 0.5


def test_conditions_at_this_token_combine(subject):
    ids = subject.ids()
    v, w = subject.vector(0, "0.resid_post"), subject.vector(1)
    a, b = reading(subject, v, ids), reading(subject, w, ids)
    s, t = middle(a), middle(b)
    assert torch.equal(acts(subject, v > s, ids), a > s)
    assert torch.equal(acts(subject, v <= s, ids), a <= s)
    assert torch.equal(acts(subject, (v > s) & (w < t), ids), (a > s) & (b < t))
    assert torch.equal(acts(subject, (v > s) | (w < t), ids), (a > s) | (b < t))
    assert torch.equal(acts(subject, ~(v >= s), ids), ~(a >= s))


def test_conditions_over_earlier_tokens(subject):
    ids = subject.ids()
    plain = ~torch.tensor(subject.model.encode(ids).special)
    v = subject.vector(0, "0.resid_post")
    a = reading(subject, v, ids)
    s = middle(a[plain])
    so_far = ((a > s) & plain).cumsum(0) > 0
    assert torch.equal(acts(subject, (v > s).so_far(), ids), so_far)
    assert acts(subject, (v > s).in_prompt(), ids).all()
    assert not acts(subject, (v > a[plain].max().item() + 1).in_prompt(), ids).any()
    assert torch.equal(acts(subject, ~(v > s).so_far(), ids), ~so_far)


def test_cast_reads_the_prompts_mean(subject):
    """Worked out by its equation: cos(h, tanh(P h)), h the mean over the prompt."""
    ids, v = subject.ids(), subject.vector(0, "0.resid_post")
    _, x = next(subject.model.activations([ids], ["0.resid_post"]))
    h, d = x[sk.Site(0, "resid_post")].mean(0), v["0.resid_post"]
    similarity = torch.nn.functional.cosine_similarity(h, torch.tanh(d * (h @ d) / (d @ d)), dim=0).item()
    assert acts(subject, v.cast() > similarity - 1e-4, ids).all()
    assert not acts(subject, v.cast() > similarity + 1e-4, ids).any()
    assert acts(subject, v.cast() < similarity + 1e-4, ids).all()


def rescored(model: sk.Model, run: sk.Run) -> torch.Tensor:
    """Log-probabilities of a run's text under its own plan, read in as few passes as that takes."""
    runner = model._runner
    program, last = runner.compile([run.plan]), len(run.token_ids)
    return runner.score(program, [runner.text_of(run)], [len(run.prompt)], last)["logprobs"][0]


CONDITIONS = {
    "this token": lambda s, v, w, t: v > t,
    "so far": lambda s, v, w, t: (v > t).so_far(),
    "not so far": lambda s, v, w, t: ~(v > t).so_far(),
    "prompt": lambda s, v, w, t: (v > t).in_prompt(),
    "cast": lambda s, v, w, t: v.cast() > 0,
    "deeper, so far": lambda s, v, w, t: (w > 0.02).so_far() | (v > t),
    "deeper, prompt": lambda s, v, w, t: (w > 0.02).in_prompt() & (v > t),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_with_a_cache_as_without_and_padded_as_alone(drawn, name):
    model, ids = drawn.model, drawn.ids()
    v, w = drawn.vector(0, "0.resid_post"), drawn.vector(1, last(drawn))
    when = CONDITIONS[name](drawn, v, w, middle(reading(drawn, v, ids)))
    edit = drawn.vector(3, "0.resid_post").add(0.7, where=NEW, when=when)
    settings = {"max_new_tokens": 7, "temperature": 0}
    with_cache = model.generate(ids, [edit], **settings)
    without = model.generate(ids, [edit], use_cache=False, **settings)
    assert with_cache.token_ids == without.token_ids
    torch.testing.assert_close(with_cache.logprobs, without.logprobs, rtol=1e-3, atol=1e-4)
    longer = [*ids, *ids]
    padded, _ = model.generate_many([ids, longer], [edit], **settings)
    assert padded.token_ids == with_cache.token_ids
    torch.testing.assert_close(padded.logprobs, with_cache.logprobs, rtol=1e-3, atol=1e-4)
    scored = rescored(model, with_cache)
    torch.testing.assert_close(scored, with_cache.logprobs, rtol=1e-3, atol=1e-4)


def test_a_condition_that_holds_for_new_tokens_steers_them(drawn):
    """A deeper site's reading of earlier tokens steers the tokens after them."""
    model, ids = drawn.model, drawn.ids()
    deep = drawn.vector(1, last(drawn))
    always = drawn.vector(3, "0.resid_post").add(2, where=NEW)
    low = reading(drawn, deep, ids).min().item()
    never = deep > reading(drawn, deep, ids).max().item() + 100
    steered, unsteered = model.generate(ids, [always]), model.generate(ids)
    for when, expected in (
        ((deep > low).so_far(), steered),
        (never.so_far(), unsteered),
        (~never.in_prompt(), steered),
    ):
        edit = drawn.vector(3, "0.resid_post").add(2, where=NEW, when=when)
        assert model.generate(ids, [edit]).token_ids == expected.token_ids


def test_a_feature_as_condition(gpt2):
    from dictionaries.test_steering import make

    dictionary, ids = make(gpt2.model, "jumprelu"), gpt2.ids()
    active = gpt2.model.read(ids, dictionary[3]).coefficients[:, 0]
    assert 0 < (active > 0.2).sum() < len(ids)
    assert torch.equal(acts(gpt2, dictionary[3] > 0.2, ids), active > 0.2)


def test_the_text_stops_at_the_token_that_fires(subject):
    vector = subject.vector(0)
    whole = subject.model.generate(subject.ids(), [vector.add(0)], max_new_tokens=12, temperature=0)
    values = whole.coefficients[:, 0]
    at = int(values.argmax())
    threshold = (values[at] - 1e-4).item()
    first = int((values > threshold).nonzero()[0])
    stopped = subject.model.generate(
        subject.ids(), [sk.StopText(when=vector > threshold)], max_new_tokens=12, temperature=0
    )
    assert stopped.token_ids == whole.token_ids[: first + 1]
    assert stopped.stopped == ("condition" if first + 1 < len(whole.token_ids) else whole.stopped)


def test_a_function_is_called_at_every_token_that_fires(subject):
    vector, calls = subject.vector(0), []
    whole = subject.model.generate(subject.ids(), [vector.add(0)], max_new_tokens=10)
    threshold = middle(whole.coefficients[:, 0])
    watch = sk.Call(lambda row, position: calls.append((row, position)), when=vector > threshold)
    assert subject.model.generate(subject.ids(), [watch], max_new_tokens=10).token_ids == whole.token_ids
    assert calls == [(0, i) for i in (whole.coefficients[:, 0] > threshold).nonzero()[:, 0].tolist()]


def test_a_condition_is_no_truth_value(drawn):
    v = drawn.vector()
    for use in (lambda: bool(v > 1), lambda: 0 < v < 1, lambda: (v > 1) and (v < 2), lambda: not (v > 1)):
        with pytest.raises(EditError, match="no truth value"):
            use()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda v, w: v.add(1, when=w > 0), "comes later. Ask about earlier tokens"),
        (lambda v, w: v.add(1, when=(w > 0).so_far()), r"Add where=Where\(prompt=False\)"),
        (lambda v, w: v.add(1, when=w.cast() > 0), r"Add where=Where\(prompt=False\)"),
        (lambda v, w: v.add(1, when=sk.Vector({"0.z": w[w.sites[0]], "0.resid_pre": w[w.sites[0]]}) > 0), "Choose one"),
        (lambda v, w: v.add(1, when=sk.Vector({"0.resid_pre": torch.ones(3)}) > 0), "3 wide"),
    ],
)
def test_what_cannot_be_known_is_refused(gpt2, make, message):
    v, w = gpt2.vector(0, "0.resid_post"), gpt2.vector(1, last(gpt2))
    with pytest.raises(SteerkitError, match=message):
        gpt2.model.generate("a", [make(v, w)], max_new_tokens=2)


def test_conditions_speak_of_several_tokens_once(drawn):
    with pytest.raises(EditError, match="already speaks of several tokens"):
        (drawn.vector() > 1).so_far().in_prompt()


def test_roles_without_a_chat(drawn):
    with pytest.raises(PromptError, match="roles or messages, but the prompt has none"):
        drawn.model.generate("a", [drawn.vector().add(1, where=sk.Where(roles=["user"]))], max_new_tokens=2)
