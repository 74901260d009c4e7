"""Concepts are equally common, independent of each other, and more than their names."""

import itertools
import re
from collections import Counter

from steerkit import storybook
from steerkit.storybook.language.tables import tables

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def test_every_concept_is_about_as_common_as_the_others(stories: list[storybook.Story]) -> None:
    in_stories = Counter(name for told in stories for name in told.concepts)
    sentences = [sentence for told in stories for sentence in told.sentences]
    in_sentences = Counter(name for sentence in sentences for name in sentence.concepts)
    for name in storybook.concepts():
        share = in_stories[name] / len(stories)
        within = in_sentences[name] / len(sentences)
        print(f"{name:12} {share:.3f} of stories, {within:.4f} of sentences")
        assert 0.03 <= share <= 0.08, name
        assert 0.006 <= within <= 0.02, name
    labelled = sum(bool(sentence.concepts) for sentence in sentences) / len(sentences)
    assert 0.6 < labelled < 0.9


def test_no_concept_brings_another_of_its_family(stories: list[storybook.Story]) -> None:
    alone = Counter(name for told in stories for name in told.concepts)
    pairs = Counter(pair for told in stories for pair in itertools.combinations(sorted(told.concepts), 2))
    for members in storybook.families().values():
        lifts = []
        for pair in itertools.combinations(sorted(members), 2):
            assert pairs[pair] > 0, pair
            assert pairs[pair] < 0.2 * min(alone[pair[0]], alone[pair[1]]), pair
            lifts.append(pairs[pair] * len(stories) / (alone[pair[0]] * alone[pair[1]]))
        assert 0.4 < sum(lifts) / len(lifts) < 1.6, members


def test_a_third_of_its_sentences_express_a_concept_without_naming_it(
    stories: list[storybook.Story],
) -> None:
    total, unnamed = Counter(), Counter()
    for told in stories:
        for sentence in told.sentences:
            words = {w.lower() for w in WORD.findall(told.text[sentence.start : sentence.end])}
            for name in sentence.concepts:
                total[name] += 1
                unnamed[name] += not words & tables().concepts[name].names
    for name in storybook.concepts():
        assert unnamed[name] >= total[name] / 3, (name, unnamed[name] / total[name])


def test_held_out_lexemes_are_neither_rare_nor_common(stories: list[storybook.Story]) -> None:
    total, held, unseen = Counter(), Counter(), Counter()
    for told in stories:
        for sentence in told.sentences:
            total.update(sentence.concepts)
            unseen.update(sentence.unseen)
            held.update({x.concept for x in sentence.lexemes if x.held_out})
    for name in storybook.concepts():
        assert 0.1 < held[name] / total[name] < 0.45, name
        assert unseen[name] >= 20, name


def test_the_language_is_rich(stories: list[storybook.Story]) -> None:
    words = {word.lower() for told in stories for word in WORD.findall(told.text)}
    assert len(words) > 3000
    lexemes = {(x.concept, x.text.lower()) for told in stories for s in told.sentences for x in s.lexemes}
    assert len(lexemes) > 1400


def test_a_concept_stays_for_more_than_a_sentence(stories: list[storybook.Story]) -> None:
    """What a sentence is about tells what the next will be about: so a model has to know it."""
    stays = total = 0
    for told in stories:
        for one, other in itertools.pairwise(told.sentences):
            total += len(one.concepts)
            stays += len(one.concepts & other.concepts)
    assert 0.4 < stays / total < 0.8
