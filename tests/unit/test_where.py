"""Where an edit acts, against a definition written out token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import steerkit as sk
from steerkit.errors import EditError, PromptError
from steerkit.scope import Layout, fading, in_scope

N_PROMPT, N_NEW = 6, 4
LENGTH = N_PROMPT + N_NEW


def layout(padding: int = 0) -> Layout:
    real = torch.arange(LENGTH + padding)[None] >= padding
    return Layout(real, torch.tensor([N_PROMPT + padding]))


def chosen(where: sk.Where, padding: int = 0) -> list[int]:
    return in_scope([where], layout(padding))[0, padding:, 0].nonzero()[:, 0].tolist()


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (sk.Where(), range(10)),
        (sk.Where(prompt=False), range(6, 10)),
        (sk.Where(prompt=False, last_prompt=True), range(5, 10)),
        (sk.Where(prompt=False, generated=False, last_prompt=True), [5]),
        (sk.Where(last_prompt=False), [0, 1, 2, 3, 4, 6, 7, 8, 9]),
        (sk.Where(positions=[0, -1]), [0, 5]),
        (sk.Where(positions=-2), [4]),
        (sk.Where(positions=slice(4)), range(4)),
        (sk.Where(positions=slice(2, None)), range(2, 10)),
        (sk.Where(positions=slice(-3, None)), range(3, 10)),
        (sk.Where(positions=slice(-3, 0)), range(3, 6)),
        (sk.Where(positions=slice(-3, -1)), range(3, 5)),
        (sk.Where(positions=range(5, 8), prompt=False), [6, 7]),
        (sk.Where(prompt=False, new_positions=slice(2)), [6, 7]),
        (sk.Where(new_positions=[1]), [0, 1, 2, 3, 4, 5, 7]),
        (sk.Where(positions=99), []),
        (sk.Where(positions=slice(-99, -4)), [0, 1]),
    ],
    ids=str,
)
def test_windows(where, expected, padding):
    assert chosen(where, padding) == list(expected)


def test_decay_starts_with_the_second_new_token():
    assert fading([sk.Where()], layout()) is None
    factors = fading([sk.Where(decay=0.5), sk.Where()], layout())[0]
    assert factors[:, 0].tolist() == [1.0] * 7 + [0.5, 0.25, 0.125]
    assert factors[:, 1].tolist() == [1.0] * 10


windows = st.one_of(
    st.none(),
    st.lists(st.integers(-7, 11), min_size=1, max_size=3),
    st.builds(slice, st.none() | st.integers(-7, 11), st.none() | st.integers(-7, 11)).filter(
        lambda span: len(range(20)[span]) or span.stop == 0 > (span.start or 0)
    ),
)
# fields, not Where itself: checking its types draws random numbers, which strategies must not
wheres = st.fixed_dictionaries(
    {
        "prompt": st.booleans(),
        "last_prompt": st.sampled_from([None, True, False]),
        "positions": windows,
        "tokens": st.none() | st.lists(st.integers(0, 3), min_size=1, max_size=2),
    }
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(first=wheres, second=wheres.filter(lambda fields: fields["prompt"] or fields["last_prompt"]))
def test_what_does_not_overlap_shares_no_token(first, second):
    first, second = sk.Where(**first), sk.Where(**second, generated=second["prompt"])
    if not first.overlaps(second):
        ids_apart = (
            first.tokens is not None and second.tokens is not None and not set(first.tokens) & set(second.tokens)
        )
        assert ids_apart or not set(chosen(first)) & set(chosen(second))
    assert first.overlaps(first) or not chosen(first)
    assert first.overlaps(second) == second.overlaps(first)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": False, "generated": False}, "leaves no token"),
        ({"positions": []}, "is empty"),
        ({"positions": "last"}, "no position"),
        ({"positions": [1.5]}, "no position"),
        ({"positions": slice(0, 8, 2)}, "no position"),
        ({"positions": slice(5, 2)}, r"slice\(5, 2, None\), which ends where it starts or before"),
        ({"positions": slice(0)}, "ends where it starts"),
        ({"positions": slice(-2, -3)}, "ends where it starts"),
        ({"new_positions": (slice(2), slice(3, 3))}, "ends where it starts"),
        ({"positions": [2**40]}, "no text reaches"),
        ({"new_positions": -1}, "from 0 on"),
        ({"roles": "user"}, "Put it into brackets"),
        ({"messages": ["first"]}, "whole number"),
        ({"tokens": [True]}, "whole number"),
        ({"prompt": "no"}, "neither True nor False"),
        ({"special": None}, "neither True nor False"),
        ({"decay": 0}, "no factor"),
        ({"decay": 1.5}, "no factor"),
    ],
)
def test_fields_that_mean_nothing(unchecked, fields, message):
    with pytest.raises(EditError, match=message):
        sk.Where(**fields)


def test_numbers_of_numpy(unchecked):
    where = sk.Where(positions=np.array([0, 3]), tokens=np.array([5, 6]), messages=np.int64(1), decay=np.float32(0.5))
    assert where == sk.Where(positions=[0, 3], tokens=[5, 6], messages=[1], decay=0.5)
    assert [type(edge) for window in where.positions for edge in window] == [int] * 4


def steered_tokens(model: sk.Model, prompt, where: sk.Where) -> list[bool]:
    """On which tokens of a prompt an edit of the incoming stream acts."""
    vector = sk.Vector({"0.resid_pre": torch.ones(model.d_model)})
    before, after = (
        model.read(prompt, vector, edits).coefficients[:, 0] for edits in ([], [vector.add(1, where=where)])
    )
    return ((after - before) > 0.5).tolist()


def test_token_ids(drawn):
    ids = drawn.model.encode("a cab, a cab").ids
    a = drawn.model.encode("a").ids[-1]
    assert steered_tokens(drawn.model, ids, sk.Where(tokens=[a])) == [i == a for i in ids]
    special = drawn.model.encode(ids).special
    expected = [i != a and not s for i, s in zip(ids, special, strict=True)]
    assert steered_tokens(drawn.model, ids, sk.Where(not_tokens=[a])) == expected
    assert not any(steered_tokens(drawn.model, ids, sk.Where(tokens=[a], not_tokens=[a])))
    with pytest.raises(PromptError, match="Token id 99999 is out of range"):
        steered_tokens(drawn.model, ids, sk.Where(tokens=[99999]))


TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}[assistant]"


@pytest.fixture
def chat(gpt2) -> sk.Model:
    import tiny

    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = TEMPLATE
    return sk.load(gpt2.plain, tokenizer=tokenizer)


def test_roles_and_messages(chat):
    messages = [
        {"role": "system", "content": "xx"},
        {"role": "user", "content": "yyy"},
        {"role": "assistant", "content": "z"},
        {"role": "user", "content": "yy"},
    ]
    prompt = chat.encode(messages)

    def text(where: sk.Where) -> str:
        steered = steered_tokens(chat, messages, where)
        return "".join(token for token, on in zip(prompt.tokens, steered, strict=True) if on)

    assert text(sk.Where(roles=["user"])) == "yyyyy"
    assert text(sk.Where(roles=["user", "system"])) == "xxyyyyy"
    assert text(sk.Where(messages=[-1])) == "yy"
    assert text(sk.Where(messages=[0, 2])) == "xxz"
    assert text(sk.Where(roles=["user"], messages=[0])) == ""
    assert text(sk.Where(messages=[-4, 4])) == "xx"


def test_new_tokens_belong_to_the_assistant(chat):
    messages = [{"role": "user", "content": "yyy"}]
    vector = sk.Vector({"1.resid_post": torch.ones(chat.d_model)})
    unsteered = chat.generate(messages, max_new_tokens=4).logprobs
    for where, steers in (
        (sk.Where(roles=["assistant"]), True),
        (sk.Where(messages=[1]), True),
        (sk.Where(roles=["user"], prompt=False), False),
        (sk.Where(messages=[0], prompt=False), False),
    ):
        steered = chat.generate(messages, [vector.add(3, where=where)], max_new_tokens=4).logprobs
        assert torch.equal(steered, unsteered) != steers


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"roles": ["asistant"]}, r"'asistant', which no message has: roles are system and user, and assistant"),
        ({"roles": ["user", "tool"]}, r"'tool', which no message has"),
        ({"messages": [7]}, r"message 7, which is not there: messages are 0 to 1, and 2 is the new text"),
        ({"messages": [-3]}, r"message -3, which is not there"),
    ],
)
def test_roles_and_messages_that_are_not_there(chat, fields, message):
    messages = [{"role": "system", "content": "xx"}, {"role": "user", "content": "yyy"}]
    edit = sk.Vector({"1.resid_post": torch.ones(chat.d_model)}, "joy").add(1, where=sk.Where(**fields))
    with pytest.raises(PromptError, match=message):
        chat.generate(messages, edit, max_new_tokens=2)
    with pytest.raises(PromptError, match=message), chat.stream(messages, max_new_tokens=2) as stream:
        stream.update(edit)


def test_of_several_chats_one_has_to_have_it(chat):
    long = [{"role": role, "content": "xy"} for role in ("system", "user", "assistant", "user")]
    vector = sk.Vector({"1.resid_post": torch.ones(chat.d_model)}, "joy")
    third, system = vector.add(1, where=sk.Where(messages=[3])), vector.add(1, where=sk.Where(roles=["system"]))
    chat.generate_many([long, long[1:2]], [third, system], max_new_tokens=2)
    with pytest.raises(PromptError, match="message 3"):
        chat.generate_many([long, long[1:2]], [sk.Plan(system), sk.Plan(third)], max_new_tokens=2)


@pytest.mark.parametrize("use_cache", [True, False])
@pytest.mark.parametrize(
    "where",
    [
        sk.Where(positions=slice(-2, 9)),
        sk.Where(prompt=False, new_positions=slice(1, 3)),
        sk.Where(last_prompt=True, prompt=False, decay=0.5),
        sk.Where(not_tokens=range(60, 90)),
    ],
    ids=str,
)
def test_positions_mean_the_same_with_a_cache_without_and_padded(drawn, where, use_cache):
    edit = drawn.vector(0).add(0.8, where=where)
    alone = drawn.model.generate(drawn.ids(), [edit], max_new_tokens=5, use_cache=use_cache)
    longer = [*drawn.ids(), *drawn.ids()]
    batch = drawn.model.generate_many([drawn.ids(), longer], [edit], max_new_tokens=5)
    assert batch[0].token_ids == alone.token_ids
    torch.testing.assert_close(batch[0].logprobs, alone.logprobs, rtol=1e-3, atol=1e-4)
    runner = drawn.model._runner
    program, last = runner.compile([alone.plan]), len(alone.token_ids)
    scored = runner.score(program, [runner.text_of(alone)], [len(alone.prompt)], last)["logprobs"][0]
    torch.testing.assert_close(scored, alone.logprobs, rtol=1e-3, atol=1e-4)
