from __future__ import annotations

import plain
import pytest
import torch

import steerkit as sk

HAPPY = ["She was so happy.", "He laughed and smiled all day", "What a lovely day!", "They were glad"]
SAD = ["She was so sad.", "He cried and cried", "What a horrible, terrible day it was!"]


def last_activation(subject, text, site) -> torch.Tensor:
    module = subject.model._runner.sites.locate(sk.Site.parse(site)).module
    return plain.record(subject.plain, subject.ids(text))[1][module][-1]


def test_the_difference_of_the_means_at_the_last_token(subject):
    sites = ["0.resid_post", f"{subject.model.n_layers - 1}.resid_post"]
    vector = sk.learn.mean_difference(subject.model, HAPPY, SAD, sites, label="joy")
    assert vector.label == "joy"
    assert [str(site) for site in vector] == sites
    for site in sites:
        towards = torch.stack([last_activation(subject, text, site) for text in HAPPY]).mean(0)
        away = torch.stack([last_activation(subject, text, site) for text in SAD]).mean(0)
        torch.testing.assert_close(vector[site], (towards - away).detach(), rtol=1e-3, atol=1e-4)


def test_the_order_of_texts_does_not_matter(subject):
    one = sk.learn.mean_difference(subject.model, HAPPY, SAD, [subject.site])
    other = sk.learn.mean_difference(subject.model, HAPPY[::-1], SAD[::-1], [subject.site])
    torch.testing.assert_close(one[subject.site], other[subject.site], rtol=1e-4, atol=1e-5)


def test_activations_come_in_the_order_of_texts_whatever_the_batches(subject):
    texts = [*HAPPY, *SAD]
    site = sk.Site.parse(subject.site)
    whole = subject.model.last_activations(texts, [site])[site]
    for size in (1, 3):
        batched = subject.model.last_activations(texts, [site], batch_size=size)[site]
        torch.testing.assert_close(batched, whole, rtol=1e-3, atol=1e-4)
    for row, text in zip(whole, texts, strict=True):
        torch.testing.assert_close(row, last_activation(subject, text, subject.site), rtol=1e-3, atol=1e-4)


def test_adding_it_once_moves_one_mean_onto_the_other(gpt2):
    vector = sk.learn.mean_difference(gpt2.model, HAPPY, SAD, [gpt2.site])
    site = sk.Site.parse(gpt2.site)
    means = [gpt2.model.last_activations(texts, [site])[site].mean(0) for texts in (HAPPY, SAD)]
    torch.testing.assert_close(means[1] + vector[site], means[0])


@pytest.mark.parametrize("sides", [([], SAD), (HAPPY, []), ([], [])], ids=["no positives", "no negatives", "none"])
def test_a_side_without_texts_is_refused(gpt2, sides):
    with pytest.raises(sk.errors.PromptError, match=r"There are \d positive and \d negative texts. Give at least one"):
        sk.learn.mean_difference(gpt2.model, *sides, ["0.resid_post"])


def test_what_does_not_fit_is_refused(gpt2):
    with pytest.raises(sk.errors.SiteError, match=r"no site '7.resid_post'"):
        sk.learn.mean_difference(gpt2.model, HAPPY, SAD, ["7.resid_post"])
    with pytest.raises(sk.errors.PromptError, match="The prompt is empty"):
        sk.learn.mean_difference(gpt2.model, HAPPY, [""], ["0.resid_post"])


def test_on_real_weights_a_learned_direction_tells_its_sides_apart(tinystories):
    model = tinystories.model
    vector = sk.learn.mean_difference(model, HAPPY, SAD, ["1.resid_post"])
    at_end = [model.read(text, vector).activations(vector)[-1].item() for text in (*HAPPY, *SAD)]
    assert sum(at_end[:4]) / 4 > sum(at_end[4:]) / 3
