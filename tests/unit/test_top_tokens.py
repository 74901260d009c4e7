"""Direct effects on logits against the plain models' own, and what is made of them."""

from __future__ import annotations

import plain
import pytest
import tiny
import torch
import transformers as hf
from test_sites import CASES, GATED, IDS, LAYERS, OPT_CONFIG
from torch import nn

import steerkit as sk

CASES = {name: (case.kind, case.config, f"{case.layers}.{LAYERS - 1}") for name, case in CASES.items()} | {
    "opt with a projection": (  # as the 350M model has it
        hf.OPTForCausalLM,
        hf.OPTConfig(**{**OPT_CONFIG, "word_embed_proj_dim": 16}, do_layer_norm_before=False),
        f"model.decoder.layers.{LAYERS - 1}",
    )
}
STEP = 1e-2  # RMS norms compute in float32 whatever they are given


@pytest.mark.parametrize("name", CASES)
def test_effects_are_the_derivative_of_the_logits_with_the_denominator_held(name):
    kind, config, last = CASES[name]
    module = tiny.build(kind, config)
    model = sk.load(module, tokenizer=tiny.tokenizer())
    module = module.double()
    module.config.get_text_config().final_logit_softcapping = None  # not linear
    _, outputs = plain.record(module, IDS)
    x, u = outputs[last][-1].detach(), torch.randn(24, generator=torch.Generator().manual_seed(0)).double()
    ending, denominator = model._runner.sites.family.ending, torch.tensor(1.0).double()
    if ending.norm is not None:
        norm = module.get_submodule(ending.norm)
        layer_norm = isinstance(norm, nn.LayerNorm)
        spread = x - x.mean() if layer_norm else x
        u = u - (u @ spread) / (spread @ spread) * spread  # along which the denominator does not change
        eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
        denominator = (spread.square().mean() + eps).sqrt()
    logits = []
    for step in (STEP, -STEP):
        with plain.output_changed(module.get_submodule(last), lambda y, step=step: y + step * u):
            logits.append(module(input_ids=torch.tensor([IDS]), use_cache=False).logits[0, -1].detach())
    expected = (logits[0] - logits[1]) / (2 * STEP) * denominator
    found = model.logit_effects(u.float())
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-4)
    assert found.std() > 0.01
    for token in (0, 3):
        assert (model.token_direction(token) @ u.float()).item() == pytest.approx(
            found[token].item(), rel=1e-3, abs=1e-4
        )


def test_the_tokens_raised_and_lowered_most(tinystories):
    model, vector = tinystories.model, tinystories.vector()
    found = vector.top_tokens(model, k=3)
    effects = model.logit_effects(vector[tinystories.site])[: len(model.tokenizer)]
    order = effects.argsort(descending=True).tolist()
    assert [effect for _, effect in found.promoted] == [effects[i].item() for i in order[:3]]
    assert [effect for _, effect in found.suppressed] == [effects[i].item() for i in order[::-1][:3]]
    names = [model.tokenizer.convert_ids_to_tokens(i).replace("Ġ", " ").replace("▁", " ") for i in order[:3]]
    assert [token for token, _ in found.promoted] == names


def test_a_strong_edit_writes_what_it_promotes(tinystories):
    model = tinystories.model
    vector = sk.Vector({"1.resid_post": tinystories.plain.lm_head.weight[700].detach()})
    token = model.tokenizer.decode([700])
    assert token.strip() in [text.strip() for text, _ in vector.top_tokens(model).promoted]
    run = model.generate("Once", [vector.add(30, "norm")], temperature=0, max_new_tokens=3)
    assert any(text.strip() == token.strip() for text in run.tokens)


def test_results_show_themselves(gpt2):
    found = gpt2.vector().top_tokens(gpt2.model, k=4)
    assert "promotes" in str(found)
    assert len(found.to_frame()) == 4
    assert len(found.plot().axes[0].patches) == 8
    hostile = type(found)("<i>", found.site, (("<script>", 1.0),), (("&", -1.0),))
    assert "<script>" not in hostile._repr_html_()
    assert "&lt;script&gt;" in hostile._repr_html_()


def test_what_has_no_direct_effect_is_refused(gpt2, tinystories):
    model = gpt2.model
    two = sk.Vector({"0.resid_post": torch.ones(32), "1.resid_post": torch.ones(32)})
    with pytest.raises(sk.errors.SiteError, match=r"0\.resid_post, 1\.resid_post; say which"):
        two.top_tokens(model)
    assert two.top_tokens(model, site="1.resid_post").site == sk.Site(1, "resid_post")
    with pytest.raises(sk.errors.SiteError, match="through other weights only"):
        sk.Vector({"1.mlp_in": torch.ones(32)}).top_tokens(model)
    with pytest.raises(sk.errors.SettingError, match="k=-1 is no number"):
        gpt2.vector().top_tokens(model, -1)
    with pytest.raises(sk.errors.VectorError, match=r"shape \(128,\).* 32 wide"):
        tinystories.vector().top_tokens(model)


def test_an_unknown_type_is_refused():
    module = tiny.build(hf.StableLmForCausalLM, hf.StableLmConfig(**GATED))
    model = sk.load(module, tokenizer=tiny.tokenizer())
    with pytest.raises(sk.errors.ModelError, match="'stablelm' are steered, but their final norm is not known"):
        sk.Vector({"1.resid_post": torch.ones(24)}).top_tokens(model)
