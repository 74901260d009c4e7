"""Texts as dictionaries saw them in training."""

from __future__ import annotations

import copy

import pytest
import tiny

import steerkit as sk
from steerkit.dictionaries.texts import as_trained
from steerkit.errors import PromptError

TEMPLATE = "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}{% endfor %}"


def served(gpt2, bos: str | None, chat: bool = False) -> sk.Model:
    """A model whose tokenizer puts BOS first by itself, has it and does not, or has none."""
    tokenizer = tiny.tokenizer(bos=bos == "by itself")
    if bos == "there":
        tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.chat_template = TEMPLATE if chat else None
    return sk.load(copy.deepcopy(gpt2.plain), tokenizer=tokenizer)


@pytest.mark.parametrize("bos", ["by itself", "there"])
def test_a_text_begins_with_bos_where_there_is_one(gpt2, bos):
    model = served(gpt2, bos)
    (prompt,) = as_trained(model, ["one day"], chat=False)
    assert prompt.ids[0] == model.tokenizer.bos_token_id
    assert prompt.special == (True, *(False for _ in "one day"))
    assert prompt.text == "one day"


def test_without_bos_a_text_is_as_it_is(gpt2):
    model = served(gpt2, None)
    assert as_trained(model, ["one day"], chat=False) == [model.encode("one day")]


def test_for_a_dictionary_of_chats_a_text_is_a_message(gpt2):
    model = served(gpt2, "by itself", chat=True)
    message = [{"role": "user", "content": "one day"}]
    assert as_trained(model, ["one day"], chat=True) == [model.encode(message)]
    assert as_trained(model, ["one day"], chat=False) == [model.encode("one day")]
    plain = served(gpt2, "by itself")
    assert as_trained(plain, ["one day"], chat=True) == [plain.encode("one day")]


def test_ids_messages_and_prompts_stay(gpt2):
    model = served(gpt2, "there", chat=True)
    message = [{"role": "assistant", "content": "one day"}]
    given = [[7, 8], message, model.encode("one")]
    assert as_trained(model, given, chat=True) == [model.encode([7, 8]), model.encode(message), given[2]]


def test_a_single_text_is_refused(gpt2):
    with pytest.raises(PromptError, match="Put it into brackets"):
        as_trained(gpt2.model, "one day", chat=False)
