"""Stories keep their promises: seeds, splits, what they are about, and who is in them."""

import hashlib
import itertools
import re
import subprocess
import sys

import pytest

from steerkit import storybook
from steerkit.errors import SettingError
from steerkit.storybook.language.cast import genders
from steerkit.storybook.language.plan import clash
from steerkit.storybook.language.tables import tables

GOLDEN = "940a1b344cfbaac0"


def texts(stories: list[storybook.Story]) -> str:
    return "\n\n\n".join(story.text for story in stories)


def test_a_corpus_is_always_the_same() -> None:
    """If the language was changed on purpose, put the new hash here and train anew."""
    text = texts(list(storybook.corpus(seed=0, n=100)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN


def test_no_story_depends_on_the_order_of_hashes() -> None:
    program = "from steerkit import storybook; print(storybook.story(5, ['rain', 'fox']).text)"
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_shorter_corpus_is_the_beginning_of_a_longer() -> None:
    assert list(storybook.corpus(seed=4, n=3)) == list(storybook.corpus(seed=4, n=6))[:3]
    assert storybook.story(1) != storybook.story(2)


def test_splits_share_no_story() -> None:
    pairs = {}
    for split in ("train", "second", "held_out"):
        names = [
            tuple(sorted(set(re.findall(r"[A-Z]\w+", told.text)) & set(genders())))
            for told in storybook.corpus(seed=2, n=150, split=split)
        ]
        assert all(len(found) == 2 for found in names)
        texts = [told.text for told in storybook.corpus(seed=2, n=150, split=split)]
        assert len(set(texts)) == len(texts)
        heroes = [min(found, key=text.index) for found, text in zip(names, texts, strict=True)]
        pairs[split] = {(hero, *(set(found) - {hero})) for hero, found in zip(heroes, names, strict=True)}
    for one, other in itertools.combinations(pairs.values(), 2):
        assert not one & other


@pytest.mark.parametrize("name", storybook.concepts())
def test_a_story_is_about_what_was_asked(name: str) -> None:
    for seed in range(2):
        told = storybook.story(seed, about=[name])
        assert told.about == (name,)
        assert sum(name in sentence.concepts for sentence in told.sentences) >= 4
    others = [other for other in storybook.concepts() if other != name]
    told = storybook.story(9, about=[others[7], name, others[40]])
    assert {name, others[7], others[40]} <= told.concepts


def test_spans_point_at_sentences_and_lexemes(stories: list[storybook.Story]) -> None:
    for told in stories[:300]:
        for sentence in told.sentences:
            text = told.text[sentence.start : sentence.end]
            assert text == text.strip()
            assert text[-1] in '.!?"'
            for lexeme in sentence.lexemes:
                assert told.text[lexeme.start : lexeme.end] == lexeme.text


def test_stories_have_a_length_that_children_like(stories: list[storybook.Story]) -> None:
    words = sorted(len(told.text.split()) for told in stories)
    sentences = sorted(len(told.sentences) for told in stories)
    assert words[0] >= 95
    assert words[-1] <= 250
    assert 100 <= words[len(words) // 20] <= words[-len(words) // 20] <= 195
    assert 10 <= sentences[len(words) // 20] <= sentences[-len(words) // 20] <= 18
    lengths = sorted(len(told.text[s.start : s.end].split()) for told in stories for s in told.sentences)
    assert lengths[len(lengths) // 20] >= 5
    assert lengths[-len(lengths) // 20] <= 17


def test_no_story_says_a_thing_twice(stories: list[storybook.Story]) -> None:
    for told in stories:
        said = [told.text[s.start : s.end] for s in told.sentences]
        assert len(set(said)) == len(said), told.text


def test_pronouns_go_with_the_children(stories: list[storybook.Story]) -> None:
    """The hero is named before being called she or he, in every paragraph."""
    for told in stories[:1000]:
        for paragraph in told.text.split("\n\n")[1:]:
            first = paragraph.split(" ", 1)[0]
            assert first not in ("She", "He", "Her", "His"), told.text
        opening = set(re.findall(r"[A-Z]\w+", told.text.split("\n\n")[0])) & set(genders())
        assert opening, told.text


def test_weather_stays_until_it_has_changed(stories: list[storybook.Story]) -> None:
    """Concepts that exclude each other are told one after the other, never to and fro."""
    for told in stories:
        order = [
            next(iter(s.concepts & set(told.about))) for s in told.sentences if len(s.concepts & set(told.about)) == 1
        ]
        for one, other in itertools.combinations(told.about, 2):
            if clash(one, other) and clash(one, other) != "mood":
                runs = [name for name, _ in itertools.groupby(order) if name in (one, other)]
                turns = [name for name, _ in itertools.groupby(runs)]
                assert len(turns) == 2, (one, other, told.text)


def test_the_day_runs_forward(stories: list[storybook.Story]) -> None:
    clocks = {name: c.axes["clock"] for name, c in tables().concepts.items() if "clock" in c.axes}
    for told in stories:
        hours = [clocks[name] for sentence in told.sentences for name in sentence.concepts if name in clocks]
        assert hours == sorted(hours), told.text


def test_held_out_lexemes_can_be_left_out() -> None:
    for seed in range(150):
        told = storybook.story(seed, lexemes="shown")
        assert not any(sentence.held_out for sentence in told.sentences)


def test_held_out_lexemes_can_be_asked_for() -> None:
    told = [storybook.story(seed, lexemes="held_out") for seed in range(150)]
    shares = [
        sum(len(s.unseen) for t in stories for s in t.sentences)
        / sum(len(s.concepts) for t in stories for s in t.sentences)
        for stories in (told, [storybook.story(seed) for seed in range(150)])
    ]
    assert shares[0] > 2 * shares[1] > 0.2


def test_unknown_concepts_are_refused_with_a_near_one() -> None:
    with pytest.raises(storybook.ConceptError, match=r"no concept 'rainn'. Did you mean 'rain'\?"):
        storybook.story(about=["rainn"])
    with pytest.raises(storybook.ConceptError, match="at most 3 different concepts"):
        storybook.story(about=["rain", "rain"])
    with pytest.raises(storybook.ConceptError, match=r"no concept 'RAIN'. Did you mean 'rain'\?"):
        storybook.story(about=["RAIN"])
    with pytest.raises(storybook.ConceptError, match=r"no concept 'umbrella'. There are: cat, dog, "):
        storybook.story(about=["umbrella"])
    with pytest.raises(storybook.ConceptError, match="no split 'test'"):
        storybook.corpus(split="test")
    with pytest.raises(SettingError, match="n=-3 is no number"):
        storybook.corpus(n=-3)
    with pytest.raises(storybook.ConceptError, match="There are: all, shown, held_out"):
        storybook.story(lexemes="most")


def test_storybook_imports_without_torch() -> None:
    program = "import sys; from steerkit import storybook; storybook.story(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"
