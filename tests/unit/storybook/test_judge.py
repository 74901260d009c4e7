"""The judge accepts what the language generates, and nothing else."""

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerkit import storybook
from steerkit.storybook.language.cast import genders

GENDER = {"her": "his", "his": "her", "she": "he", "he": "she", "Her": "His", "His": "Her", "She": "He", "He": "She"}
NUMBER = {"was": "were", "were": "was", "had": "have", "has": "have", "is": "are"}


def test_the_answer_key_and_the_judge_agree(stories: list[storybook.Story]) -> None:
    for told in stories[:1000]:
        assert storybook.judge(told.text) == told.sentences


def test_lexemes_are_found_where_they_stand_whatever_space_is_between() -> None:
    text = "Mia  opened\r\n  her umbrella.\n\nIt\trained so hard that the street became a stream. She sang."
    found = [text[x.start : x.end] for sentence in storybook.judge(text) for x in sentence.lexemes]
    assert found == ["umbrella", "rained"]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**9),
    about=st.lists(st.sampled_from(storybook.concepts()), max_size=3, unique=True),
    split=st.sampled_from(["train", "second", "held_out"]),
    lexemes=st.sampled_from(["all", "shown", "held_out"]),
)
def test_any_story_is_well_formed_and_about_what_was_asked(
    seed: int, about: list[str], split: str, lexemes: str
) -> None:
    told = storybook.story(seed, about, split=split, lexemes=lexemes)
    assert all(storybook.well_formed(told.text))
    assert storybook.expressed(told.text) == told.concepts >= set(about)


def shuffled(text: str, rng: random.Random, _: list[str]) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def cut_off(text: str, rng: random.Random, _: list[str]) -> str:
    words = text.split()
    return " ".join(words[: rng.randrange(1, len(words))])


def cut_short(text: str, rng: random.Random, others: list[str]) -> str:
    return cut_off(text, rng, others).rstrip('.,"') + "."


def mixed(text: str, rng: random.Random, others: list[str]) -> str:
    words, more = text.split(), rng.choice(others).split()
    return " ".join(words[: len(words) // 2] + more[len(more) // 2 :])


def without_a_word(text: str, rng: random.Random, _: list[str]) -> str:
    words = text.split()
    del words[rng.randrange(len(words))]
    return " ".join(words)


def with_a_word_twice(text: str, rng: random.Random, _: list[str]) -> str:
    words = text.split()
    i = rng.randrange(len(words))
    return " ".join([*words[:i], words[i], *words[i:]])


def with_another_word(text: str, rng: random.Random, others: list[str]) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = rng.choice(rng.choice(others).split())
    return " ".join(words)


def with_neighbours_swapped(text: str, rng: random.Random, _: list[str]) -> str:
    words = text.split()
    i = rng.randrange(len(words) - 1)
    words[i], words[i + 1] = words[i + 1], words[i]
    return " ".join(words)


def with_another_article(text: str, rng: random.Random, _: list[str]) -> str:
    return re.sub(r"\b(an?) ", lambda m: "a " if m[1] == "an" else "an ", text)


def with_another_number(text: str, rng: random.Random, _: list[str]) -> str:
    return re.sub(r"\b(was|were|had|has|is)\b", lambda m: NUMBER[m[1]], text)


def with_another_pronoun(text: str, rng: random.Random, _: list[str]) -> str:
    pronouns = list(re.finditer(rf"\b({'|'.join(GENDER)})\b", text))
    if len(pronouns) < 2 or "best friend" in text:  # whose hero, not named, may be a girl or a boy
        return text
    one = rng.choice(pronouns)
    return text[: one.start()] + GENDER[one[0]] + text[one.end() :]


def with_small_names(text: str, rng: random.Random, _: list[str]) -> str:
    return re.sub(rf"\b({'|'.join(genders())})\b", lambda m: m[0].lower(), text)


CORRUPTIONS = [
    shuffled,
    cut_off,
    cut_short,
    mixed,
    without_a_word,
    with_a_word_twice,
    with_another_word,
    with_neighbours_swapped,
    with_another_article,
    with_another_number,
    with_another_pronoun,
    with_small_names,
]


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
def test_corrupted_sentences_are_rejected(
    corrupt: Callable[[str, random.Random, list[str]], str], stories: list[storybook.Story]
) -> None:
    rng = random.Random(0)
    sentences = [told.text[s.start : s.end] for told in stories[:150] for s in told.sentences]
    corrupted = {corrupt(text, rng, sentences) for text in sentences} - set(sentences)
    accepted = [text for text in corrupted if storybook.well_formed(text) == [True]]
    assert len(corrupted) > 100
    assert len(accepted) < 0.01 * len(corrupted), accepted[:20]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Mia opened her umbrella.", True),
        ("She opened her umbrella.", True),
        ("Mia opened his umbrella.", False),
        ("He opened her umbrella.", False),
        ("Zorg opened her umbrella.", False),
        ("mia opened her umbrella.", False),
        ("Mia open her umbrella.", False),
        ("Mia opened her umbrella", False),
        ("Just then, she opened her umbrella.", True),
        ("Just then, She opened her umbrella.", False),
        ("Just then, mia opened her umbrella.", False),
        ("“Why not?” said Ben.", True),
        ("Mia opened her umbrella, and she caught a cold flake on her tongue.", False),
        ('"Rub-a-dub-dub, a goose in a tub," said Ben.', True),
        ('"Rub-a-dub-dub, a goose in a shoe," said Ben.', False),
        ("An emerald beetle sat on Mia's knee.", True),
        ("A emerald beetle sat on Mia's knee.", False),
    ],
)
def test_agreement(text: str, verdict: bool) -> None:
    assert storybook.well_formed(text) == [verdict]


def test_a_text_is_judged_sentence_by_sentence() -> None:
    text = "Mia opened her umbrella. it. “Why not?” said Ben.\n\nMia opened the. 2 It snowed her so mu"
    judged = storybook.judge(text)
    assert [text[s.start : s.end] for s in judged] == [
        "Mia opened her umbrella.",
        "it.",
        "“Why not?” said Ben.",
        "Mia opened the.",
        "2 It snowed her so mu",
    ]
    assert storybook.well_formed(text) == [True, False, True, False, False]
    assert [set(s.concepts) for s in judged] == [{"rain"}, set(), {"questions"}, set(), set()]
    assert storybook.expressed(text) == {"rain", "questions"}


@pytest.mark.parametrize("text", ["", "   \n", "...", '"', "?!", "a" * 5000, "Mia " * 500, "\x00 ."])
def test_any_text_can_be_judged(text: str) -> None:
    assert not any(storybook.well_formed(text))


def test_ill_formed_sentences_express_nothing() -> None:
    assert storybook.expressed("Umbrella her opened Mia rain puddles.") == set()


def test_lexemes_say_what_expressed_a_concept() -> None:
    text = "Mia pulled on her galoshes and hurried out."
    (sentence,) = storybook.judge(text)
    (lexeme,) = sentence.lexemes
    assert (lexeme.concept, lexeme.text, lexeme.held_out) == ("rain", "galoshes", True)
    assert sentence.held_out
    assert sentence.unseen == {"rain"}
