"""Prompts to tokens, and tokens back to text."""

from __future__ import annotations

import plain
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import steerkit as sk
from steerkit.tokens import Decoder, encode, pieces, special_ids

TEXTS = [
    "Once upon a time",
    "  two spaces, and a trailing one ",
    "line\nbreaks\n\n\tand a tab",
    "a fox 🦊🦊🦊 and a family 👨‍👩‍👧",
    "漢字かな交じり文、それから한국어도 있습니다。",
    "日" * 40,
    "naïve café Ωmega e\u0301",
    "x🙂",
    "<not special> <s>",
]


@pytest.fixture(scope="module")
def bytelevel(gpt2_files) -> PreTrainedTokenizerFast:
    own = Tokenizer(models.BPE.from_file(str(gpt2_files / "vocab.json"), str(gpt2_files / "merges.txt")))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=own, eos_token="<|endoftext|>")


@pytest.fixture(params=["bytes", "gpt2", "stories260K", "tinystories656K"])
def tokenizer(request):
    """Bytes, byte-level BPE, and SentencePiece's kind with a byte for every character it does not know."""
    if request.param == "bytes":
        return tiny.tokenizer()
    if request.param == "gpt2":
        return request.getfixturevalue("bytelevel")
    subject = request.getfixturevalue({"stories260K": "stories", "tinystories656K": "tinystories"}[request.param])
    return subject.model.tokenizer


def joined(tokenizer, before, ids) -> str:
    special = set(tokenizer.all_special_ids)
    found = zip(ids, pieces(tokenizer, before, ids), strict=True)
    return "".join(text for index, text in found if index not in special)


def decoded(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert joined(tokenizer, (), ids) == decoded(tokenizer, ids)
    assert encode(tokenizer, text).text == decoded(tokenizer, ids)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_text_from_any_token_on(tokenizer, text):
    """Also where a prompt ends inside a character: then the new text begins with it."""
    ids = [index for index in tokenizer(text)["input_ids"] if index not in tokenizer.all_special_ids]
    whole = decoded(tokenizer, ids)
    for cut in range(1, len(ids)):
        assert joined(tokenizer, (), ids[:cut]) + joined(tokenizer, ids[:cut], ids[cut:]) == whole, cut


@given(text=st.text(min_size=1, max_size=30))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_pieces_join_to_any_text(stories, text):
    tokenizer = stories.model.tokenizer
    ids = tokenizer(text)["input_ids"]
    if "\N{REPLACEMENT CHARACTER}" not in decoded(tokenizer, ids)[-1:]:
        assert joined(tokenizer, (), ids) == decoded(tokenizer, ids)


def test_a_character_in_several_tokens_comes_with_the_last(bytelevel):
    ids = bytelevel("a🦊b")["input_ids"]
    texts = pieces(bytelevel, (), ids)
    assert "🦊" in texts
    assert texts.count("") == len(ids) - 3
    assert (texts[0], texts[-1]) == ("a", "b")


def test_the_leading_space_is_kept(stories, bytelevel):
    for tokenizer in (stories.model.tokenizer, bytelevel):
        before, after = tokenizer("Once upon")["input_ids"], tokenizer("Once upon a time")["input_ids"]
        assert after[: len(before)] == before
        assert joined(tokenizer, before, after[len(before) :]) == " a time"


def test_special_tokens_come_by_name(stories, tinystories):
    prompt = stories.model.encode("Once")
    assert prompt.tokens[0] == "<s>"
    assert prompt.special[0]
    assert not any(prompt.special[1:])
    assert prompt.text == "Once"
    ids = [*prompt.ids, 2, *prompt.ids[1:]]
    assert stories.model.encode(ids).tokens[len(prompt)] == "</s>"
    assert tinystories.model.encode("Once").tokens[0] == "<|start_story|>"


def test_runs_print_right_after_the_prompt(subject):
    run = subject.model.generate(subject.prompt, max_new_tokens=12)
    whole = decoded(subject.model.tokenizer, [*subject.ids(), *run.token_ids])
    assert whole.startswith((run.prompt.text + run.text).rstrip("\N{REPLACEMENT CHARACTER}"))


@pytest.mark.parametrize("ids", [[1, 5, 9], (1, 5, 9), torch.tensor([1, 5, 9])], ids=lambda ids: type(ids).__name__)
def test_token_ids_are_taken_as_they_are(stories, ids, unchecked):
    assert stories.model.encode(ids).ids == (1, 5, 9)


def test_a_prompt_is_a_prompt(stories):
    prompt = stories.model.encode("Once")
    assert stories.model.encode(prompt) is prompt
    assert stories.model.generate(prompt, max_new_tokens=3).prompt is prompt


CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def chat() -> PreTrainedTokenizerFast:
    tokenizer = tiny.tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    return tokenizer


def spoken(prompt) -> dict[str, str]:
    found: dict[str, str] = {}
    for token, role in zip(prompt.tokens, prompt.roles, strict=True):
        if role:
            found[role] = found.get(role, "") + token
    return found


def test_chat_messages_go_through_the_template_with_their_roles(chat):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi 🦊 there"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Bye."},
    ]
    prompt = encode(chat, messages)
    rendered = chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert list(prompt.ids) == chat(rendered, add_special_tokens=False)["input_ids"]
    assert prompt.tokens.count("<s>") == 1
    assert spoken(prompt) == {"system": "Be brief.", "user": "Hi 🦊 thereBye.", "assistant": "Hello."}
    names = ("<s>", "<|im_start|>", "<|im_end|>")
    assert prompt.special == tuple(token in names for token in prompt.tokens)
    assert prompt.tokens[-1] == "\n"
    assert prompt.roles[-1] is None


@pytest.mark.parametrize("content", ["user", "assistant", "im_start", "s", "  spaced\n", "user\nuser", "<s>"])
def test_content_that_looks_like_the_template_keeps_its_place(chat, content):
    messages = [
        {"role": "user", "content": "a"},
        {"role": "user", "content": content},
        {"role": "system", "content": "s"},
    ]
    prompt = encode(chat, messages)
    (start,) = [i for i, role in enumerate(prompt.roles) if role == "system"]
    assert prompt.tokens[start] == "s"
    assert "".join(prompt.tokens[start - 7 : start]) == "system\n"
    assert spoken(prompt)["user"] == "a" + content.strip()
    (first, *_) = [i for i, role in enumerate(prompt.roles) if role == "user"]
    assert "".join(prompt.tokens[first - 5 : first]) == "user\n"


def test_a_chat_is_steered_but_not_the_templates_special_tokens(gpt2, chat):
    model = sk.load(gpt2.plain, tokenizer=chat)
    messages = [{"role": "user", "content": "hi"}]
    vector = sk.Vector({"0.resid_pre": torch.ones(32)})
    before = model.read(messages, vector).coefficients[:, 0]
    after = model.read(messages, vector, [vector.add(1)]).coefficients[:, 0]
    expected = [0.0 if special else 1.0 for special in model.encode(messages).special]
    torch.testing.assert_close(after - before, torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert model.generate(messages, max_new_tokens=3).token_ids


@pytest.mark.parametrize(("bos", "eos"), [(True, False), (False, True), (False, False)])
def test_tokenizers_without_special_tokens_work(bos, eos):
    tokenizer = tiny.tokenizer(bos, eos)
    assert tokenizer.pad_token is None
    module = tiny.build(GPT2LMHeadModel, GPT2Config(**tiny.VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64))
    model = sk.load(module, tokenizer=tokenizer)
    vector = sk.Vector({"0.resid_post": torch.ones(16)})
    prompt = model.encode("one day")
    assert len(prompt) == 7 + bos
    assert sum(prompt.special) == bos
    runs = model.generate_many(["one day", "a"], [vector.add(1)], max_new_tokens=5)
    for text, run in zip(["one day", "a"], runs, strict=True):
        assert run.token_ids == model.generate(text, [vector.add(1)], max_new_tokens=5).token_ids
    everywhere = (
        model.read("one day", vector, [vector.add(1)]).coefficients - model.read("one day", vector).coefficients
    )
    assert everywhere[:, 0].round().tolist() == [0.0] * bos + [1.0] * 7
    model.compare("one day", [vector.add(1)], max_new_tokens=4)
    model.sweep("one day", vector.add(1), [0, 1], max_new_tokens=4)
    list(model.stream("one day", max_new_tokens=4))
    assert tokenizer.pad_token is None


def test_the_byte_level_tokenizer_of_gpt2_works_end_to_end(bytelevel):
    config = GPT2Config(vocab_size=50257, n_embd=16, n_layer=2, n_head=2, n_positions=64)
    module = tiny.build(GPT2LMHeadModel, config)
    model = sk.load(module, tokenizer=bytelevel)
    prompt = model.encode("A fox 🦊 ran")
    assert "".join(prompt.tokens) == "A fox 🦊 ran"
    assert not any(prompt.special)
    run = model.generate(prompt, temperature=0, max_new_tokens=5)
    assert run.token_ids == plain.greedy(module, list(prompt.ids), 5)


@pytest.mark.parametrize(
    "text", ["One day, Mia ran.", "Ünïcödé → 漢字 🦊 end", "<s> in text </s> and after", "  two  spaces "]
)
def test_pieces_at_once_are_those_one_by_one(subject, text):
    tokenizer = subject.model.tokenizer
    ids = tokenizer(text)["input_ids"]
    ids = [*ids, tokenizer.bos_token_id, *ids] if tokenizer.bos_token_id is not None else ids
    decoder = Decoder(tokenizer, (), special_ids(tokenizer))
    assert pieces(tokenizer, (), ids) == [decoder.push(index) for index in ids]
