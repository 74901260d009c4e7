"""Directions learned by gradient: what they learn, alone and together, and what is left behind."""

from __future__ import annotations

import pytest
import torch

import steerkit as sk
from steerkit.dictionaries.formats import axbench
from steerkit.errors import DictionaryError, EngineError, PromptError, SettingError, SiteError, VectorError
from steerkit.learn import Completion, Examples, reft, reft_dictionary, steering_vector
from steerkit.learn.descent import Descent

RAIN = ["It rained all day.", Completion("What fell?", " Rain, and more rain."), "Wet, wet, wet!", "The rain fell."]
SUN = ["The sun was hot.", "It was a sunny day, and they played.", "She sat in the sun."]
SITE = "1.resid_post"


@pytest.fixture
def clean(gpt2):
    """A model that is found as it was."""
    module = gpt2.model.nnsight._module
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    scores = gpt2.model.score(RAIN[0])
    yield gpt2.model
    assert all(torch.equal(weight, before[name]) for name, weight in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.equal(gpt2.model.score(RAIN[0]), scores)


def test_nats_are_those_that_the_model_gives(subject):
    texts = subject.model.encode_all([RAIN[0], RAIN[1], SUN[1]])
    nats = subject.model.nats(texts, subject.site, lambda x, plain: x)
    expected = [-subject.model.score(text.prompt)[max(text.start - 1, 0) :].sum() for text in texts]
    torch.testing.assert_close(nats, torch.stack(expected), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("site", ["1.resid_post", "1.resid_pre", "0.attn_out", "0.mlp_out", "1.z"])
def test_gradients_are_the_slope_of_the_nats(clean, site):
    texts = clean.encode_all(RAIN[:2])
    v = torch.zeros(clean.width(site), requires_grad=True)
    u = torch.randn(clean.width(site), generator=torch.Generator().manual_seed(0))

    def nats(v: torch.Tensor) -> torch.Tensor:
        return clean.nats(texts, site, lambda x, plain: x + plain[..., None] * v).sum()

    (slope,) = torch.autograd.grad(nats(v), v)
    step = 1e-2
    with torch.no_grad():
        change = (nats(step * u) - nats(-step * u)) / (2 * step)
    torch.testing.assert_close(slope @ u, change, rtol=2e-2, atol=1e-2)


def test_special_tokens_are_left_as_they_are(clean):
    seen = []

    def change(x, plain):
        seen.append(plain)
        return x

    clean.nats(clean.encode_all([RAIN[0], SUN[1]]), SITE, change)
    lengths = [len(clean.encode(text)) for text in (RAIN[0], SUN[1])]
    assert seen[0].sum(-1).tolist() == [n - 1 for n in lengths]  # all but the first
    assert not seen[0][0, : max(lengths) - lengths[0] + 1].any()


def test_a_concept_learned_beside_others_is_the_one_learned_alone(clean):
    concepts = {"rain": Examples(tuple(RAIN), tuple(SUN)), "sun": Examples(tuple(SUN), tuple(RAIN[:2]))}
    together = reft_dictionary(clean, concepts, site=SITE, batch_size=2)
    for name, examples in concepts.items():
        alone = reft(clean, examples, site=SITE, batch_size=2)
        torch.testing.assert_close(together[name].direction, alone[SITE], rtol=1e-4, atol=1e-5)
        assert alone.norm(SITE) == pytest.approx(1)


def test_it_reads_as_axbench_does(clean):
    dictionary = reft_dictionary(clean, {"rain": Examples(tuple(RAIN), tuple(SUN))}, site=SITE, epochs=1)
    reading = clean.read(RAIN[0], dictionary["rain"])
    ((_, found),) = clean.activations([RAIN[0]], [SITE])
    expected = (found[sk.Site.parse(SITE)] @ dictionary["rain"].direction).relu()
    torch.testing.assert_close(reading.activations(dictionary["rain"]), expected, rtol=1e-3, atol=1e-4)


def test_0_lies_midway_between_the_sides(clean):
    vector = reft(clean, RAIN, SUN, site=SITE, epochs=1)
    site = sk.Site.parse(SITE)
    sides = [clean.gather(texts, [SITE], tokens="every").activations[site] @ vector[SITE] for texts in (RAIN, SUN)]
    assert vector.offset(SITE) == pytest.approx(((sides[0].mean() + sides[1].mean()) / 2).item(), rel=1e-4)
    made = vector.provenance
    assert (made.method, made.model, made.positives, made.negatives, made.seed) == ("reft", clean.name, 4, 3, 0)
    assert made.quality["loss"][SITE] > 0


def test_a_learned_vector_makes_its_texts_likelier(tinystories):
    model = tinystories.model
    vector = steering_vector(model, RAIN, SUN, site="0.resid_post", epochs=20, rate=0.1)
    gains = {text: (model.score(text, [vector.add(1)]) - model.score(text)).sum() for text in (RAIN[0], RAIN[3], *SUN)}
    for text in (RAIN[0], RAIN[3]):
        assert gains[text] > 1
        assert gains[text] > max(gains[other] for other in SUN)


def interrupted(monkeypatch, after: int) -> None:
    learn, taken = Descent._learn, []

    def cut(self, rows):
        if len(taken) == after:
            raise KeyboardInterrupt
        taken.append(rows)
        learn(self, rows)

    monkeypatch.setattr(Descent, "_learn", cut)


def test_an_interrupt_keeps_what_was_learned(clean, monkeypatch):
    whole = reft(clean, RAIN, SUN, site=SITE, batch_size=2)
    interrupted(monkeypatch, 3)
    with pytest.warns(UserWarning, match="after 3 of 12 steps; what was learned so far is kept"):
        part = reft(clean, RAIN, SUN, site=SITE, batch_size=2)
    assert part.provenance.method == "reft, 3 of 12 steps"
    assert not torch.equal(part[SITE], whole[SITE])
    assert not torch.allclose(part[SITE], torch.full((32,), 32**-0.5))


def test_a_training_that_goes_on_is_the_same_training(clean, monkeypatch, tmp_path):
    whole = reft(clean, RAIN, SUN, site=SITE, batch_size=2)
    with monkeypatch.context() as patch:
        interrupted(patch, 5)
        with pytest.warns(UserWarning, match="after 5 of 12"):
            reft(clean, RAIN, SUN, site=SITE, batch_size=2, checkpoint=tmp_path / "c.pt")
    resumed = reft(clean, RAIN, SUN, site=SITE, batch_size=2, checkpoint=tmp_path / "c.pt")
    torch.testing.assert_close(resumed[SITE], whole[SITE], rtol=0, atol=0)
    assert resumed.provenance.method == "reft"
    with pytest.raises(SettingError, match="checkpoint of another training"):
        reft(clean, RAIN, SUN, site=SITE, batch_size=3, checkpoint=tmp_path / "c.pt")
    with pytest.raises(SettingError, match="checkpoint of another training"):
        reft(clean, RAIN, SUN, site=SITE, batch_size=2, checkpoint=tmp_path / "c.pt", start=whole)


def test_a_model_that_was_trained_further_is_another(clean, tmp_path):
    reft(clean, RAIN, SUN, site=SITE, epochs=1, checkpoint=tmp_path / "c.pt")
    module = clean.nnsight._module
    further = type(module)(module.config)
    further.load_state_dict({name: 1.5 * weight for name, weight in module.state_dict().items()})
    further.name_or_path = clean.name
    other = sk.load(further, tokenizer=clean.tokenizer)
    with pytest.raises(SettingError, match="checkpoint of another training"):
        reft(other, RAIN, SUN, site=SITE, epochs=1, checkpoint=tmp_path / "c.pt")


def test_a_batch_that_does_not_fit_is_taken_in_halves(clean, monkeypatch):
    expected = reft(clean, RAIN, SUN, site=SITE, epochs=1)
    sizes, gradient = [], Descent._gradient

    def cramped(self, rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return gradient(self, rows)

    monkeypatch.setattr(Descent, "_gradient", cramped)
    halved = reft(clean, RAIN, SUN, site=SITE, epochs=1)
    assert sizes == [6, 3, 1, 2, 3, 1, 2, 1]
    torch.testing.assert_close(halved[SITE], expected[SITE], rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(Descent, "_gradient", lambda *_: cramped(None, [0, 0, 0]))
    with pytest.raises(EngineError, match="does not suffice for a text of"):
        reft(clean, RAIN, SUN, site=SITE, epochs=1)


def test_after_an_error_inside_a_pass_the_model_is_as_it_was(clean):
    def broken(x, plain):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        clean.nats(clean.encode_all(RAIN), SITE, broken)


def test_a_direction_that_reads_nothing_says_so(clean):
    rows = clean.gather(["rain", "sun"], [SITE], tokens="every").activations[sk.Site.parse(SITE)]
    away = torch.linalg.lstsq(rows, -torch.ones(len(rows), 1)).solution[:, 0]
    with pytest.warns(UserWarning, match=r"1 of 1 directions \(0\) read nothing"):
        reft(clean, ["rain"], ["sun"], site=SITE, epochs=1, start=sk.Vector({SITE: away}))


def test_what_axbench_s_layout_holds_comes_back(clean, tmp_path):
    names = ["rain", "sun & <b>"]
    concepts = dict.fromkeys(names, Examples(tuple(RAIN), tuple(SUN)))
    learned = reft_dictionary(clean, concepts, site=SITE, epochs=1)
    axbench.write(learned.parts, tmp_path / "reft_l1")
    again = sk.load_dictionary(tmp_path / "reft_l1")
    assert [feature.label for feature in again] == names
    assert str(again.reads_at()) == SITE
    x = torch.randn(5, 32)
    assert torch.equal(again.encode(x).to_dense(), learned.encode(x).to_dense())
    assert torch.equal(again[1].direction, learned[1].direction)


def test_other_dictionaries_are_not_written_as_axbench_s(gpt2, tmp_path):
    parts = axbench.supervised("LsReFT", torch.ones(2, 32), ["one"], "gpt2", sk.Site.parse(SITE))
    with pytest.raises(DictionaryError, match="1 names for 2 features cannot be written"):
        axbench.write(parts, tmp_path)


@pytest.mark.parametrize("learn", [reft, steering_vector])
def test_refusals(clean, learn):
    with pytest.raises(PromptError, match="4 positive and 0 negative"):
        learn(clean, RAIN, [], site=SITE)
    with pytest.raises(PromptError, match="stand on both sides"):
        learn(clean, RAIN, RAIN[:1], site=SITE)
    with pytest.raises(SiteError, match=r"no site '7\.resid_post'"):
        learn(clean, RAIN, SUN, site="7.resid_post")
    with pytest.raises(SiteError, match="no module's own"):
        learn(clean, RAIN, SUN, site="1.resid_mid")
    with pytest.raises(SettingError, match="all three must be above 0"):
        learn(clean, RAIN, SUN, site=SITE, rate=0.0)
    with pytest.raises(PromptError, match="no token that something predicts"):
        learn(clean, [[clean.tokenizer.bos_token_id]], SUN, site=SITE)
    with pytest.raises(PromptError, match="context of 96 tokens"):
        learn(clean, ["rain " * 40], SUN, site=SITE)


def test_more_refusals(clean, monkeypatch):
    with pytest.raises(VectorError, match="must be 1 rows of 32 finite numbers"):
        reft_dictionary(clean, {"rain": Examples(tuple(RAIN), tuple(SUN))}, site=SITE, start=torch.zeros(1, 32))
    with pytest.raises(PromptError, match="no concepts"):
        reft_dictionary(clean, {}, site=SITE)

    def overflowing(self, texts, site, change):
        return change(torch.ones(len(texts), 3, 32), torch.ones(len(texts), 3, dtype=torch.bool)).sum((1, 2)) / 0

    monkeypatch.setattr(sk.Model, "nats", overflowing)
    with pytest.raises(EngineError, match="The loss is inf at step 0"):
        steering_vector(clean, RAIN, SUN, site=SITE)
