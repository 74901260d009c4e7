from __future__ import annotations

import pytest
import torch

from steerkit.ranks import auroc, auroc_interval, best_by_luck


@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "few ties"])
def test_it_is_the_share_of_pairs_in_order(levels):
    torch.manual_seed(0)
    scores = torch.randint(-levels, levels, (23, 4)).float()
    positive = torch.rand(23, 3) < 0.4
    for i, row in enumerate(auroc(scores, positive)):
        for j, found in enumerate(row):
            above, below = scores[positive[:, j], i, None], scores[~positive[:, j], i]
            pairs = (above > below).float() + (above == below).float() / 2
            assert found == pytest.approx(pairs.mean().item())


def test_scores_are_ranked_in_parts(monkeypatch):
    scores, positive = torch.rand(9, 7), torch.arange(9)[:, None] < 4
    whole = auroc(scores, positive)
    monkeypatch.setattr("steerkit.ranks.COLUMNS", 3)
    assert torch.equal(auroc(scores, positive), whole)


def test_one_kind_alone_cannot_be_told_apart():
    assert auroc(torch.rand(4, 1), torch.ones(4, 1, dtype=torch.bool)).isnan().all()


@pytest.mark.parametrize(("n_positive", "n_negative", "shift"), [(20, 20, 0.5), (40, 15, 1.5), (10, 10, 3.0)])
def test_intervals_enclose_the_true_area_as_often_as_they_say(n_positive, n_negative, shift):
    """Of normal scores, whose true area is the normal distribution function of shift / √2."""
    noise = torch.Generator().manual_seed(0)
    true = torch.distributions.Normal(0, 1).cdf(torch.tensor(shift / 2**0.5)).item()
    positive = (torch.arange(n_positive + n_negative) < n_positive)[:, None]
    inside = 0
    for _ in range(400):
        scores = torch.randn(n_positive + n_negative, 1, generator=noise) + shift * positive
        low, high = auroc_interval(auroc(scores, positive).item(), n_positive, n_negative)
        inside += low <= true <= high
    assert 0.92 <= inside / 400 <= 0.99


def test_an_area_of_one_is_not_certain():
    low, high = auroc_interval(1.0, 10, 10)
    assert high == 1
    assert 0.7 < low < 0.95
    assert auroc_interval(0.0, 10, 10) == pytest.approx((0, 1 - low))
    assert auroc_interval(1.0, 100, 100)[0] > low


def test_luck_is_what_the_best_of_features_without_meaning_seldom_passes():
    beyond, level = 0, best_by_luck(20, 20, 200)
    for seed in range(200):
        scores = torch.rand(40, 200, generator=torch.Generator().manual_seed(seed))
        beyond += bool(((auroc(scores, torch.arange(40)[:, None] < 20) - 0.5).abs() > level - 0.5).any())
    assert 0 < beyond <= 20
