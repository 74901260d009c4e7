"""What storybook's model learns from."""

import json
import re
from collections import Counter

import numpy as np
import pytest

import steerkit as sk
from steerkit import storybook
from steerkit.storybook.language.cast import genders
from steerkit.storybook.train.batches import Tokens
from steerkit.storybook.train.credits import credits
from steerkit.storybook.train.documents import (
    ASSISTANT,
    END,
    NATURAL,
    NATURAL_SHARE,
    Document,
    documents,
    passages,
    stories,
)


@pytest.fixture(scope="module")
def asked() -> list[Document]:
    return [document for document in stories(0, 120, "train") if ASSISTANT in document.text]


def test_where_a_story_takes_up_what_it_was_asked_for_is_stressed(asked: list[Document]) -> None:
    assert {len(document.stressed) for document in asked} == {1, 2, 3}
    for document in asked:
        before = document.text.index(ASSISTANT) + len(ASSISTANT)
        told = storybook.judge(document.text[before:].removesuffix(END))
        for start, end in document.stressed:
            place, sentence = next((i, sentence) for i, sentence in enumerate(told) if before + sentence.start == start)
            last = {lexeme.concept for lexeme in sentence.lexemes if before + lexeme.end == end}
            earlier = {concept for other in told[:place] for concept in other.concepts}
            assert last - earlier, document.text[start:end]


def test_stressed_tokens_are_those_of_the_stressed_characters(asked: list[Document]) -> None:
    tokenizer = sk.load().tokenizer
    tokens = Tokens.of(asked, tokenizer)
    assert tokens.stress([0, 1]).shape == tokens.rows([0, 1], tokenizer.pad_token_id).shape
    for i, document in enumerate(asked):
        ids, stress = tokens.rows([i], 0)[0], tokens.stress([i])[0]
        wanted = "".join(document.text[start:end] for start, end in document.stressed)
        found = tokenizer.decode(ids[stress]).replace(" ", "")
        assert all(document.text[start:end].replace(" ", "") in found for start, end in document.stressed)
        assert len(wanted.replace(" ", "")) <= len(found) < len(wanted) + 40  # tokens may reach beyond the ends


def test_names_are_recalled_from_the_second_time_on() -> None:
    tokenizer = sk.load().tokenizer
    read = list(stories(0, 40, "train"))
    tokens = Tokens.of(read, tokenizer)
    for i, document in enumerate(read):
        again = [document.text[start:end] for start, end in document.recalled]
        named = [word for word in re.findall(r"\w+", document.text) if word in genders()]
        assert Counter(named) - Counter(again) == Counter(set(named))
        assert all(document.text.index(document.text[start:end]) < start for start, end in document.recalled)
        ids, recall = tokens.rows([i], 0)[0], tokens.recall([i])[0]
        assert tokenizer.decode(ids[recall]).replace(" ", "") == "".join(again)


def test_tokens_on_disk_are_the_same(asked: list[Document], tmp_path) -> None:
    tokens = Tokens.of(asked[:3], sk.load().tokenizer)
    tokens.save(tmp_path / "tokens.npz")
    for mine, found in zip(tokens, Tokens.load(tmp_path / "tokens.npz"), strict=True):
        np.testing.assert_array_equal(mine, found)


def test_a_fifth_of_the_characters_is_natural() -> None:
    read = list(documents(0, 60, "train", ["Once upon a time there was a fox. " * 20]))
    natural = sum(len(document.text) for document in read if NATURAL in document.text)
    assert natural / sum(len(document.text) for document in read) == pytest.approx(NATURAL_SHARE, abs=0.02)


def test_authors_are_credited_whether_a_file_or_its_folder_is_given(tmp_path) -> None:
    told = {"title": "Rain", "text": "It rained.", "credits": ["Text: Somebody", "Thanks: A friend"]}
    (tmp_path / "stories.jsonl").write_text(json.dumps(told) + "\n\n")
    (tmp_path / "fables.txt").write_text("A fox came by.")
    assert list(credits([tmp_path])) == list(credits([tmp_path / "stories.jsonl"])) == ["- *Rain*. Text: Somebody"]


def test_a_line_of_a_file_may_hold_any_text(tmp_path) -> None:
    texts = ["It rained.\u2028It snowed.", "A fox\x85 came by."]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    (tmp_path / "stories.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    assert passages([tmp_path]) == texts
