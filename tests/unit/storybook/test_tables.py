"""What the tables hold, and what keeps their labels honest."""

import re
from collections import defaultdict

import pytest

from steerkit import storybook
from steerkit.storybook.errors import TableError
from steerkit.storybook.language.notation import Choice, parse
from steerkit.storybook.language.tables import Tables, read, tables

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# Their lexemes express something by the form of the sentence, not by being said.
FORMS = {"rhyme", "questions", "shouting"}


def test_there_are_enough_concepts_families_and_patterns() -> None:
    assert len(storybook.concepts()) == 72
    assert len(storybook.families()) == 17
    assert all(len(members) >= 3 for members in storybook.families().values())
    sources = [pattern.source for pattern in tables().patterns()]
    assert len(sources) >= 1700
    assert len(set(sources)) == len(sources)


@pytest.mark.parametrize("name", storybook.concepts())
def test_a_concept_is_complete(name: str) -> None:
    concept = tables().concepts[name]
    assert concept.asked
    assert concept.names
    assert len(concept.things) >= 3
    assert len(concept.enter) >= 4
    assert len(concept.more) >= 8
    assert len(concept.turns) >= 3
    assert all(turn.mends for turn in concept.turns)
    assert len(concept.end) >= 2
    lexemes = concept.lexemes()
    assert len(lexemes) >= 10
    assert 3 <= len(concept.held) <= len(lexemes) / 2
    assert concept.held <= lexemes, "a held-out lexeme that no pattern has"


def test_every_sentence_of_a_concept_expresses_it() -> None:
    for concept in tables().concepts.values():
        for pattern in concept.patterns():
            assert concept.name in pattern.concepts() or pattern.role == "mend", pattern.source
        assert all(concept.name in phrase.concepts() for phrase in concept.things)


def test_questions_and_shouts_are_labelled_wherever_they_are() -> None:
    for pattern in tables().patterns():
        assert ("?" in pattern.source) <= ("questions" in pattern.concepts()), pattern.source
        exclaims = "!" in pattern.source.replace("{Mia!}", "")
        assert exclaims <= ("shouting" in pattern.concepts()), pattern.source


def test_lexemes_are_said_only_where_they_are_labelled() -> None:
    """A feature that follows the words of a concept must not be wrong for it."""
    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for concept in tables().concepts.values():
        if concept.name not in FORMS:
            for lexeme in concept.lexemes():
                if "{" not in lexeme:
                    owners[tuple(WORD.findall(lexeme))].add(concept.name)
    phrases = [phrase for concept in tables().concepts.values() for phrase in concept.things]
    for pattern in [*tables().patterns(), *phrases]:
        plain = re.sub(r"\{[^{}]*\}", "|", pattern.source)
        for piece in re.split(r"[\[\]()|]", plain):
            words = tuple(word.lower() for word in WORD.findall(piece))
            for i in range(len(words)):
                for n in (1, 2, 3):
                    said = owners.get(words[i : i + n], set())
                    assert not said or said & pattern.concepts(), (said, pattern.source)


def test_a_line_without_a_role_is_refused() -> None:
    with pytest.raises(TableError, match=r"weather\.txt, line 2: 'moer  It rained\.'"):
        read("weather", "= rain\nmoer  It rained.", Tables({}, {}, {}))


def test_an_open_bracket_is_refused() -> None:
    with pytest.raises(TableError, match="not closed"):
        parse("It [rained.")


def test_the_notation_is_read() -> None:
    pattern = parse("{Mia} saw a (big|old) [=bird:owl|robin] in [rain].", owner="rain")
    choices = [part for part in pattern.parts if isinstance(part, Choice)]
    assert [choice.concept for choice in choices] == [None, "rain", "rain"]
    labelled = parse("A [bird:nest|wing].", owner="rain")
    assert labelled.concepts() == {"bird"}
