"""Examples: their builders, their tokens, and what is refused."""

from __future__ import annotations

import pytest

import steerkit as sk
from steerkit.learn import Completion, Examples


def test_two_lists_of_equal_length_are_pairs():
    assert Examples.of(["a", "b"], ["c", "d"]).paired
    assert not Examples.of(["a", "b"], ["c"]).paired
    given = Examples.from_pairs([("a", "b"), ("c", "d")])
    assert given == Examples(("a", "c"), ("b", "d"), paired=True)
    assert Examples.of(given) is given


def test_labels_choose_sides():
    texts, labels = ["a", "b", "c", "d", "e"], [["joy"], ["sad"], ["joy", "sad"], ["fear"], "joy"]
    against = Examples.from_labels(texts, labels, "joy", "sad")
    assert (against.positives, against.negatives) == (("a", "e"), ("b",))
    rest = Examples.from_labels(texts, labels, "joy")
    assert (rest.positives, rest.negatives) == (("a", "c", "e"), ("b", "d"))
    assert not rest.paired


def test_templates_cross_personas_and_completions():
    built = Examples.from_templates(["Act {persona}. ", "Be {persona}: "], ["glad", "gay"], ["sad", "low"], ["I", "We"])
    assert len(built) == 2 * 8
    assert built.paired
    assert built.positives[1] == Completion("Act glad. ", "We")
    assert built.negatives[-1] == Completion("Be low: ", "We")
    chat = Examples.from_templates(["Act {persona}."], ["glad"], ["sad"], ["I"], chat=True)
    assert chat.positives == (Completion([{"role": "user", "content": "Act glad."}], "I"),)


def test_a_completion_begins_where_its_prompt_ends(subject):
    model = subject.model
    for prompt in ("One day, Mia", list(model.encode("One day, Mia").ids), model.encode("One day, Mia")):
        (encoded,) = model.encode_all([Completion(prompt, " ran home.")])
        before, text = encoded.prompt.tokens[: encoded.start], encoded.prompt.tokens[encoded.start :]
        assert "".join(text).endswith("ran home.")
        assert not "".join(text[1:]).startswith("Mia")  # a token may span the border
        assert "ran" not in "".join(before)
        assert encoded.prompt.text.split() == ["One", "day,", "Mia", "ran", "home."]
    together = model.encode("One day, Mia ran home.")
    (encoded,) = model.encode_all([Completion("One day, Mia", " ran home.")])
    assert encoded.prompt == together  # tokenised as one text


def test_a_completion_of_a_chat_is_the_answer(gpt2):
    tokenizer = gpt2.model.tokenizer
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]"
    before, tokenizer.chat_template = tokenizer.chat_template, template
    try:
        messages = [{"role": "user", "content": "hi"}]
        (encoded,) = gpt2.model.encode_all([Completion(messages, "yes")])
        assert encoded.prompt.text == "[user]hi[assistant]yes"
        assert "".join(encoded.prompt.tokens[encoded.start :]) == "yes"
        assert encoded.prompt.roles.count("user") == 2
    finally:
        tokenizer.chat_template = before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Examples(("a",), ()), "1 positive and 0 negative texts. Give at least one of each"),
        (lambda: Examples("happy", ("a",)), "one text where a list of texts belongs"),
        (lambda: Examples(("a", "b"), ("c",), paired=True), "Pairs need equally many"),
        (lambda: Examples.of("ab", "ab"), "one text where a list of texts belongs"),
        (lambda: Examples.of(["a"]), "The negatives are missing"),
        (lambda: Examples.of(Examples(("a",), ("b",)), ["c"]), "have negatives already"),
        (lambda: Examples.from_pairs([]), "0 positive and 0 negative"),
        (lambda: Examples.from_pairs([("a", "b", "c")]), r"\('a', 'b', 'c'\) is no pair"),
        (lambda: Examples.from_pairs(["ab", "cd"]), "'ab' is no pair"),
        (lambda: Examples.from_pairs({"a": "b"}), "'a' is no pair"),
        (lambda: Examples.from_labels(["a", "b"], ["joy"], "joy"), "2 texts and 1 labels"),
        (lambda: Examples.from_labels(["a", "b"], ["joy", "joy"], "joy"), "2 positive and 0 negative"),
        (lambda: Examples.from_templates(["Act."], ["a"], ["b"], ["c"]), r"has no \{persona\}"),
        (lambda: Examples.from_templates(["{persona}"], ["a"], [], ["c"]), "1 positive and 0 negative personas"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(sk.errors.PromptError, match=message):
        make()


def test_a_text_on_both_sides_is_refused(gpt2):
    ids = list(gpt2.model.encode("It rained.").ids)
    with pytest.raises(sk.errors.PromptError, match=r"1 of the texts stand on both sides, such as 'It rained\.'"):
        Examples(("It rained.", "Sun."), ("Wind.", ids)).encode(gpt2.model)


def test_a_completion_that_is_empty_is_refused(gpt2):
    with pytest.raises(sk.errors.PromptError, match="What follows the prompt 'a' is empty"):
        gpt2.model.encode_all([Completion("a", "")])
