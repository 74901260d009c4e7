"""Edits, plans, tokens and conditions in plain words."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import steerkit as sk

RAIN = sk.Vector({"12.resid_post": torch.ones(2)}, "rain")
NIGHT = sk.Vector({"3.resid_post": torch.ones(2), "4.resid_post": torch.ones(2)}, "night")
NEW = sk.Where(prompt=False)
sk.register_operator("dampen", lambda coefficient, strength: coefficient / (1 + strength))


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (RAIN.add(8), "Adds 8 to 'rain' at 12.resid_post on every token."),
        (RAIN.add(-0.5, "max"), "Adds -0.5 × its maximum to 'rain' at 12.resid_post on every token."),
        (RAIN.set(8, "residual"), "Sets 'rain' to a length of 8 at 12.resid_post on every token."),
        (RAIN.at_least(2), "Raises 'rain' to 2 where it is lower at 12.resid_post on every token."),
        (RAIN.at_most(2), "Lowers 'rain' to 2 where it is higher at 12.resid_post on every token."),
        (
            RAIN.cap(-1, 2, "norm"),
            "Keeps 'rain' between -1 × each token's norm and 2 × each token's norm at 12.resid_post on every token.",
        ),
        (NIGHT.scale(3), "Multiplies 'night' by 3 at 3.resid_post and 4.resid_post on every token."),
        (RAIN.ablate(), "Takes 'rain' out at 12.resid_post on every token."),
        (RAIN.move_to(NIGHT), "Moves 'rain' to 'night' at 12.resid_post on every token."),
        (
            sk.Edit(RAIN, "rotate", 30, other=NIGHT),
            "Turns 'rain' by 30° towards 'night' at 12.resid_post on every token.",
        ),
        (RAIN.apply("dampen", 2), "Applies dampen by 2 to 'rain' at 12.resid_post on every token."),
        (
            RAIN.add(8, where=sk.Where(prompt=False, decay=0.9), when=NIGHT > 0.5),
            "Adds 8 to 'rain' at 12.resid_post on new tokens only, where 'night' > 0.5; fading by 0.9 a token.",
        ),
        (
            RAIN.add(8, direct=False),
            "Adds 8 to 'rain' at 12.resid_post on every token; taken out again at the last layer's output.",
        ),
        (
            dataclasses.replace(RAIN.add(8), enabled=False),
            "Adds 8 to 'rain' at 12.resid_post on every token. It is off.",
        ),
    ],
)
def test_edits_in_a_sentence(edit, sentence):
    assert edit.describe() == sentence


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (sk.Where(), "every token"),
        (sk.Where(special=True), "every token, special ones too"),
        (sk.Where(generated=False), "prompt tokens only"),
        (NEW, "new tokens only"),
        (sk.Where(prompt=False, last_prompt=True), "new tokens and the prompt's last"),
        (sk.Where(prompt=False, generated=False, last_prompt=True), "the prompt's last token only"),
        (sk.Where(last_prompt=False), "every token but the prompt's last"),
        (sk.Where(generated=False, last_prompt=False), "prompt tokens only but the prompt's last"),
        (sk.Where(new_positions=slice(5)), "prompt tokens, and at positions up to 4 of the new text"),
        (sk.Where(prompt=False, new_positions=slice(5)), "new tokens only, at positions up to 4 of the new text"),
        (
            sk.Where(positions=[0, slice(3, 6), slice(-3, None), slice(-3, 0)]),
            "tokens, at positions 0, 3 to 5, from -3 on and -3 to -1",
        ),
        (sk.Where(roles=["user", "system"], messages=[-1]), "tokens, in messages of user and system, in messages -1"),
        (sk.Where(tokens=[5, 6], not_tokens=[7]), "tokens, with ids 5 and 6, without ids 7"),
    ],
)
def test_tokens_in_words(where, words):
    assert where.describe() == words


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (RAIN > 0.5, "'rain' > 0.5"),
        (RAIN.cast() <= 0.5, "CAST of 'rain' <= 0.5"),
        ((RAIN > 1) & ~(NIGHT > 2), "'rain' > 1 and not 'night' > 2"),
        ((RAIN > 1) & ((NIGHT > 2) | (NIGHT < 0)), "'rain' > 1 and ('night' > 2 or 'night' < 0)"),
        ((RAIN > 1).in_prompt(), "'rain' > 1 at any token of the prompt"),
        (~((RAIN > 1) | (NIGHT > 2)).so_far(), "not (('rain' > 1 or 'night' > 2) at any token so far)"),
    ],
)
def test_conditions_in_words(condition, words):
    assert condition.describe() == words


def test_plans_in_sentences():
    def ring(row: int, position: int) -> None: ...

    plan = sk.Plan([RAIN.add(8), sk.StopText(NIGHT > 1), sk.Call(ring, NIGHT > 2)], preserve_norm=True)
    assert plan.describe().splitlines() == [
        RAIN.add(8).describe(),
        "Ends the text at the first new token where 'night' > 1.",
        "Calls ring at every new token where 'night' > 2.",
        "After all edits at a site, each token gets back the norm that it had there.",
    ]
    assert sk.Plan().describe() == "Nothing is steered."


def test_plans_as_frames_and_pages():
    plan = sk.Plan([RAIN.add(8), dataclasses.replace(NIGHT.set(2, "norm"), enabled=False), sk.StopText(NIGHT > 1)])
    frame = plan.to_frame()
    assert frame["description"].tolist() == [edit.describe() for edit in plan]
    assert frame["enabled"].tolist() == [True, False]
    assert frame["unit"].tolist() == ["raw", "norm"]
    assert list(sk.Plan().to_frame().columns) == list(frame.columns)
    page = plan._repr_html_()
    assert page.count("<tr>") == 4
    assert "&#x27;rain&#x27;" in page
    assert "<td>off</td>" in page
    bad = sk.Vector({"0.resid_post": torch.ones(2)}, "<script>alert(1)</script>")
    assert "<script>" not in sk.Plan(bad.add(1))._repr_html_()
    assert "Nothing is steered." in sk.Plan()._repr_html_()
