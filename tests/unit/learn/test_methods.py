"""Directions, offsets and provenance of each method, and what is refused."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.learn import Completion, Examples, lat, mean_difference, principal_component, probe
from steerkit.learn.component import first_component
from steerkit.learn.directions import digest

GLAD = [
    "She was so happy.",
    "He laughed and smiled all day.",
    "What a lovely day it was.",
    "They were very glad.",
    "Joy!",
]
SAD = ["She was so sad.", "He cried and cried all day.", "What a horrible day it was.", "They were very low.", "Grief!"]
METHODS = {
    "mean difference": mean_difference,
    "differences": principal_component,
    "centred pairs": lambda *a, **k: principal_component(*a, of="centred pairs", **k),
    "lat": lat,
    "logistic": probe,
    "squared": lambda *a, **k: probe(*a, loss="squared", **k),
}


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def sides(model: sk.Model, site: str, tokens: str = "last") -> tuple[torch.Tensor, torch.Tensor]:
    place = sk.Site.parse(site)
    return tuple(model.gather(texts, [place], tokens=tokens).activations[place] for texts in (GLAD, SAD))


@pytest.mark.parametrize("tokens", ["last", "mean"])
def test_zero_lies_midway_between_the_sides(subject, method, tokens):
    vector = method(subject.model, GLAD, SAD, [subject.site], tokens=tokens)
    direction, offset = vector[subject.site], vector.offset(subject.site)
    towards, away = ((x @ direction - offset).mean() for x in sides(subject.model, subject.site, tokens))
    torch.testing.assert_close(towards, -away, rtol=1e-3, atol=1e-4 * direction.norm().item())


def test_what_it_was_made_of_is_said(tinystories, method):
    vector = method(tinystories.model, GLAD, SAD, seed=3, label="joy")
    assert [str(site) for site in vector] == ["0.resid_post", "1.resid_post"]
    made = vector.provenance
    assert vector.label == "joy"
    assert (made.model, made.token, made.positives, made.negatives, made.seed) == (
        tinystories.model.name,
        "last",
        5,
        5,
        3,
    )
    assert made.method.split()[0] in ("mean_difference", "principal_component", "lat", "probe")
    again = method(tinystories.model, Examples.of(GLAD, SAD), seed=3)
    assert again.provenance == made
    assert again == vector
    other = method(tinystories.model, GLAD[::-1], SAD[::-1], seed=3)
    assert other.provenance.data != made.data


def test_centred_pairs_have_what_all_pairs_share_and_differences_have_not():
    shared, own = torch.tensor([5.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    differences = torch.stack([shared + own, shared - own, shared + own / 2, shared - own / 2])
    assert first_component(differences, centred=True).abs().argmax() == 1
    assert first_component(differences, centred=False).abs().argmax() == 0


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)], ids=["more rows", "more columns"])
def test_the_component_is_that_of_a_singular_value_decomposition(shape):
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 3
    expected = torch.linalg.svd(rows - rows.mean(0)).Vh[0]
    assert abs(first_component(rows, centred=True) @ expected) == pytest.approx(1, abs=1e-5)


def test_components_point_to_most_positives(tinystories):
    vector = principal_component(tinystories.model, GLAD, SAD, ["1.resid_post"])
    towards, away = (x @ vector["1.resid_post"] for x in sides(tinystories.model, "1.resid_post"))
    assert (towards > away).sum() >= 3
    turned = principal_component(tinystories.model, SAD, GLAD, ["1.resid_post"])
    torch.testing.assert_close(turned["1.resid_post"], -vector["1.resid_post"], rtol=1e-3, atol=1e-4)


def test_a_logistic_probe_stands_where_its_objective_is_flat(tinystories):
    """The gradient by hand, with the bias that makes its own entry zero."""
    w = probe(tinystories.model, GLAD, SAD, ["1.resid_post"], C=0.5)["1.resid_post"].double()
    x, y = torch.cat(sides(tinystories.model, "1.resid_post")).double(), torch.tensor([1.0] * 5 + [-1.0] * 5)
    low, high = -1e4, 1e4
    for _ in range(80):
        bias = (low + high) / 2
        pull = (y * torch.sigmoid(-y * (x @ w + bias))).sum()
        low, high = (bias, high) if pull > 0 else (low, bias)
    gradient = w - 0.5 * (y * torch.sigmoid(-y * (x @ w + bias))) @ x
    assert gradient.abs().max() < 1e-4 * w.abs().max()


def test_least_squares_fit_and_are_short(tinystories):
    w = probe(tinystories.model, GLAD, SAD, ["1.resid_post"], loss="squared")["1.resid_post"]
    x, y = torch.cat(sides(tinystories.model, "1.resid_post")), torch.tensor([1.0] * 5 + [-1.0] * 5)
    centred = x - x.mean(0)
    torch.testing.assert_close(centred @ w, y, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(w, torch.linalg.pinv(centred) @ y, rtol=1e-3, atol=1e-4)


def test_every_token_is_a_sample_of_its_own(tinystories):
    vector = mean_difference(tinystories.model, GLAD, SAD, ["1.resid_post"], tokens="every")
    towards, away = sides(tinystories.model, "1.resid_post", "every")
    assert len(towards) > len(GLAD)
    torch.testing.assert_close(vector["1.resid_post"], towards.mean(0) - away.mean(0))


def test_completions_are_read_without_their_prompt(tinystories):
    texts = [
        [Completion("One day, Mia was", text) for text in side] for side in ((" happy", " glad"), (" sad", " low"))
    ]
    read = tinystories.model.gather([*texts[0], *texts[1]], ["1.resid_post"], tokens="mean")
    vector = mean_difference(tinystories.model, *texts, ["1.resid_post"], tokens="mean")
    x = read.activations[sk.Site.parse("1.resid_post")]
    torch.testing.assert_close(vector["1.resid_post"], x[:2].mean(0) - x[2:].mean(0))


def test_more_sites_than_memory_take_several_passes(tinystories, monkeypatch):
    sites = ["0.resid_post", "1.resid_pre", "1.resid_post"]
    whole = mean_difference(tinystories.model, GLAD, SAD, sites)
    passes, gather = [], sk.Model.gather

    def counted(self, texts, sites, **keywords):
        passes.append([str(site) for site in sites])
        return gather(self, texts, sites, **keywords)

    monkeypatch.setattr(sk.Model, "gather", counted)
    monkeypatch.setattr("steerkit.learn.directions.KEPT", 2 * 10 * 4 * 128)
    assert mean_difference(tinystories.model, GLAD, SAD, sites) == whole
    assert passes == [["0.resid_post", "1.resid_pre"], ["1.resid_post"]]


def test_the_digest_is_of_the_tokens(gpt2):
    one = Examples.of(GLAD, SAD).encode(gpt2.model)
    assert digest(one) == digest(Examples.of([gpt2.model.encode(text) for text in GLAD], SAD).encode(gpt2.model))
    assert digest(one) != digest(Examples.of(SAD, GLAD).encode(gpt2.model))


def test_one_class_and_texts_on_both_sides_are_refused(gpt2, method):
    with pytest.raises(sk.errors.PromptError, match="Give at least one of each"):
        method(gpt2.model, GLAD, [], ["0.resid_post"])
    with pytest.raises(sk.errors.PromptError, match="stand on both sides"):
        method(gpt2.model, GLAD, [*SAD[:4], GLAD[0]], ["0.resid_post"])


@pytest.mark.parametrize("of", ["differences", "centred pairs"])
def test_pairs_without_difference_are_refused(tinystories, of):
    with pytest.raises(sk.errors.VectorError, match=r"3 of 4 pairs have no difference at '0\.resid_pre'"):
        principal_component(tinystories.model, GLAD[:4], [*SAD[:3], "Oh"], ["0.resid_pre"], of=of)


def test_sides_without_difference_are_refused(tinystories):
    """At the model's input the last token is all there is."""
    with pytest.raises(sk.errors.VectorError, match=r"same mean at '0\.resid_pre'"):
        mean_difference(tinystories.model, GLAD[:3], SAD[:3], ["0.resid_pre"])
    with pytest.raises(sk.errors.VectorError, match=r"do not differ at '0\.resid_pre'"):
        lat(tinystories.model, GLAD[:3], SAD[:3], ["0.resid_pre"])


def test_one_pair_has_no_component(gpt2):
    with pytest.raises(sk.errors.VectorError, match="are all the same"):
        principal_component(gpt2.model, GLAD[:1], SAD[:1], ["0.resid_post"])


def test_pairs_are_asked_for(gpt2):
    with pytest.raises(sk.errors.PromptError, match="not paired"):
        principal_component(gpt2.model, GLAD, SAD[:4], ["0.resid_post"])
    with pytest.raises(sk.errors.PromptError, match="read at every token"):
        principal_component(gpt2.model, GLAD, SAD, ["0.resid_post"], tokens="every")


def test_numbers_that_are_not_finite_are_refused(gpt2, method):
    def broken(_, arguments, output):
        return (torch.full_like(output[0], torch.nan), *output[1:]) if isinstance(output, tuple) else output * torch.nan

    hook = gpt2.model._runner.module.transformer.h[1].register_forward_hook(broken)
    try:
        with pytest.raises(sk.errors.VectorError, match=r"at '2\.resid_post' of the text 'She was so happy\.' has NaN"):
            method(gpt2.model, GLAD, SAD, ["2.resid_post"])
    finally:
        hook.remove()


def test_settings_out_of_range_are_refused(gpt2):
    with pytest.raises(sk.errors.SettingError, match="'differences' or 'centred pairs'"):
        principal_component(gpt2.model, GLAD, SAD, of="umap")
    with pytest.raises(sk.errors.SettingError, match="'logistic' or 'squared'"):
        probe(gpt2.model, GLAD, SAD, loss="hinge")
    for C in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(sk.errors.SettingError, match="must be a positive number"):
            probe(gpt2.model, GLAD, SAD, C=C)
    with pytest.raises(sk.errors.SettingError, match="share of the texts"):
        lat(gpt2.model, GLAD, SAD, held_out=1)
    with pytest.raises(sk.errors.SiteError, match="There is no site"):
        lat(gpt2.model, GLAD, SAD, sites=[])
