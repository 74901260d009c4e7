"""Quality of learned directions: measured on held-out texts, shown, and refused where it is not known."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.learn import Quality, mean_difference, principal_component
from steerkit.learn.quality import draw_held_out, measure
from steerkit.learn.samples import Samples
from steerkit.ranks import auroc, auroc_interval

WHO = ["She", "He", "Mia", "Tom", "The dog", "A bird", "My cat", "Mom"]
GLAD = [f"{who} was so happy" for who in WHO]
SAD = [f"{who} was so sad" for who in WHO]


@pytest.fixture(scope="module")
def joy(tinystories) -> sk.Vector:
    return mean_difference(tinystories.model, GLAD, SAD, label="joy", seed=1)


def test_it_is_measured_on_texts_that_were_not_learned_from(tinystories, joy):
    """Again by hand: the direction of the other texts, and the share of held-out pairs in order."""
    frame = Quality.of(joy).to_frame().set_index("site")
    held_out = draw_held_out(8, 8, 0.25, 1, paired=True)
    for site in joy.sites:
        x = tinystories.model.gather([*GLAD, *SAD], [site]).activations[site]
        positive = torch.arange(16) < 8
        direction = x[positive & ~held_out].mean(0) - x[~positive & ~held_out].mean(0)
        above, below = x[positive & held_out] @ direction, x[~positive & held_out] @ direction
        row = frame.loc[str(site)]
        assert row.auroc == pytest.approx((above[:, None] > below).float().mean().item())
        assert row.held_out == 4
        assert (row.auroc_low, row.auroc_high) == auroc_interval(float(row.auroc), 2, 2)
        along = ((x - x.mean(0)) @ joy[site]).square().sum() / joy[site].square().sum()
        assert row.explained_variance == pytest.approx((along / (x - x.mean(0)).square().sum()).item(), rel=1e-4)
        assert row.norm == pytest.approx(joy.norm(site))


def test_pairs_are_held_out_together():
    paired = draw_held_out(10, 10, 0.25, 0, paired=True)
    assert int(paired.sum()) == 4
    assert torch.equal(paired[:10], paired[10:])
    apart = draw_held_out(10, 21, 0.25, 0, paired=False)
    assert (int(apart[:10].sum()), int(apart[10:].sum())) == (2, 5)
    assert torch.equal(apart, draw_held_out(10, 21, 0.25, 0, paired=False))
    assert not torch.equal(apart, draw_held_out(10, 21, 0.25, 1, paired=False))
    assert not draw_held_out(3, 100, 0.25, 0, paired=False).any()


def test_a_text_counts_once_however_many_tokens_it_has():
    """Held-out texts are scored by their mean, and tokens of one text never come on both sides of the split."""
    torch.manual_seed(0)
    text = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 7])
    samples = Samples(sk.Site(0, "resid_post"), torch.randn(12, 5), text, n_positives=4, paired=False)
    held_out = torch.tensor([False, True, False, False, True, False, True, False])
    seen = []

    def fit(some: Samples) -> torch.Tensor:
        seen.append(some)
        return some.mean_difference

    found = measure(samples, samples.mean_difference, fit, held_out)
    (rest,) = seen
    assert rest.text.tolist() == [0, 0, 0, 2, 2, 3, 5, 7]
    scores = [samples.rows[text == i].mean(0) @ rest.mean_difference for i in (1, 4, 6)]
    expected = auroc(torch.stack(scores)[:, None], torch.tensor([[True], [False], [False]])).item()
    assert found["held-out AUROC"] == pytest.approx(expected)


def test_the_best_layer_is_the_one_that_tells_most_apart(joy):
    quality = Quality.of(joy)
    frame = quality.to_frame()
    best = frame.sort_values(["auroc", "explained_variance"]).iloc[-1].site
    assert str(quality.best_layer()) == best


def test_cosines_between_sites(joy):
    cosines = Quality.of(joy).cosines()
    expected = torch.cosine_similarity(joy["0.resid_post"], joy["1.resid_post"], dim=0).item()
    assert cosines.loc["0.resid_post", "1.resid_post"] == pytest.approx(expected, abs=1e-6)
    assert cosines.loc["0.resid_post", "0.resid_post"] == pytest.approx(1)


def test_sites_of_other_widths_have_no_cosine(tinystories):
    vector = mean_difference(tinystories.model, GLAD, SAD, ["0.mlp_post", "0.resid_post"])
    assert torch.isnan(torch.tensor(Quality.of(vector).cosines().to_numpy())).sum() == 2


def test_it_shows_itself(joy):
    quality = Quality.of(joy)
    assert "held-out AUROC" in quality._repr_html_()
    lines, cosines = quality.plot().axes[:2]
    assert [line.get_label() for line in lines.get_lines()][:2] == ["held-out AUROC", "explained variance"]
    assert cosines.images[0].get_array().shape == (2, 2)


def test_a_part_of_a_vector_keeps_its_quality(joy):
    assert Quality.of(joy.at("1.resid_post")).to_frame().site.tolist() == ["1.resid_post"]


def test_without_held_out_texts_there_is_no_auroc(tinystories):
    for vector in (
        mean_difference(tinystories.model, GLAD, SAD, held_out=0),
        principal_component(tinystories.model, GLAD[:3], SAD[:3]),
    ):
        quality = Quality.of(vector)
        assert quality.to_frame().auroc.isna().all()
        assert (quality.to_frame().held_out == 0).all()
        with pytest.raises(sk.errors.VectorError, match="No texts were held out"):
            quality.best_layer()


def test_what_was_not_learned_has_no_quality(joy):
    for vector in (sk.Vector({"0.resid_post": torch.ones(4)}), joy + joy.at("0.resid_post")):
        with pytest.raises(sk.errors.VectorError, match="measured where a direction is fitted to activations"):
            Quality.of(vector)
