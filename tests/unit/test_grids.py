"""Grids of edits by strengths."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.errors import EditError, PromptError, SettingError


def letters(run: sk.Run) -> float:
    return float(sum(character.isalpha() for character in run.text))


@pytest.fixture(scope="module")
def grid(tinystories) -> sk.Grid:
    vector = sk.Vector({site: tinystories.vector(0, site)[site] for site in ("0.resid_post", "1.resid_post")}, "v")
    edits = [vector.at(site).add(1) for site in vector.sites] + [vector.at("0.resid_post").set(1)]
    return sk.grid(tinystories.model, ["One day", "The dog"], edits, [0, 1], letters, max_new_tokens=8, batch_size=5)


def test_each_cell_is_the_mean_over_prompts_of_runs_made_alone(grid, tinystories):
    for i, edit in enumerate(grid.edits):
        for j, strength in enumerate(grid.strengths):
            alone = [
                tinystories.model.generate(prompt, edit.with_strength(strength), seed=seed, max_new_tokens=8)
                for seed, prompt in enumerate(["One day", "The dog"])
            ]
            assert [run.text for run in grid.runs[i][j]] == [run.text for run in alone]
            assert grid.effect[i, j] == pytest.approx(sum(map(letters, alone)) / 2)


def test_cost_counts_from_the_baseline(grid, tinystories):
    texts = [
        tinystories.model.generate(prompt, seed=seed, max_new_tokens=8)
        for seed, prompt in enumerate(["One day", "The dog"])
    ]
    assert grid.baseline == pytest.approx(sum(map(letters, texts)) / 2)
    assert grid.cost[:2, 0].tolist() == pytest.approx([0, 0], abs=1e-5)  # adding 0
    plain = sum(run.nats for run in tinystories.model.rescore(texts)) / 2
    steered = sum(run.nats for run in grid.runs[0][1]) / 2
    assert grid.cost[0, 1].item() == pytest.approx(steered - plain, abs=1e-5)


def test_controls_are_random_directions_of_the_same_length(grid):
    assert grid.control[:2, 0].tolist() == pytest.approx([grid.baseline] * 2)  # adding 0 of it
    assert not torch.equal(grid.control[:, 1], grid.effect[:, 1])


def test_it_shows_as_a_table_and_a_picture(grid):
    frame = grid.to_frame()
    assert len(frame) == 6
    assert frame["effect"].tolist() == grid.effect.flatten().tolist()
    assert len(grid.plot().axes) == 6  # three maps, each with its scale
    shown = grid._repr_html_()
    assert "add v @ 1.resid_post" in shown
    assert f"unsteered {grid.baseline:.3g}" in shown


def test_what_cannot_be_a_grid(tinystories, unchecked):
    vector = tinystories.vector()
    for edits, strengths, error in (
        ([], [1], EditError),
        ([vector.ablate()], [1], EditError),
        ([vector.add(1)], [], EditError),
        ([vector.add(1)], 1, EditError),
        (vector.add(1), [1], EditError),
    ):
        with pytest.raises(error):
            sk.grid(tinystories.model, ["One day"], edits, strengths, letters)
    for effect, message in (("rain", "effect='rain' is no function"), (lambda run: None, "effect gives None")):
        with pytest.raises(SettingError, match=message):
            sk.grid(tinystories.model, ["One day"], [vector.add(1)], [1], effect, max_new_tokens=1)
    with pytest.raises(PromptError, match="no list of prompts"):
        sk.grid(tinystories.model, "One day", [vector.add(1)], [1], letters)
