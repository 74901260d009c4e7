"""The laws in small on a GPU, in float32 and bfloat16."""

from __future__ import annotations

import plain
import pytest
import tiny
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

import steerkit as sk

pytestmark = pytest.mark.gpu
EVERYWHERE = sk.Where(special=True)
CONFIG = {
    **tiny.VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 96, "sliding_window": 16,
    "initializer_range": 0.2,
}  # fmt: skip
IDS = [0, *range(20, 30)]
VECTOR = sk.Vector({"0.resid_post": torch.randn(64, generator=torch.Generator().manual_seed(0))})


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def model(request) -> sk.Model:
    module = tiny.build(Gemma2ForCausalLM, Gemma2Config(**CONFIG)).to("cuda", request.param)
    return sk.load(module, tokenizer=tiny.tokenizer())


def test_a_folder_loads_onto_the_gpu(tinystories_folder):
    model = sk.load(tinystories_folder)
    assert model.device.type == "cuda"
    assert sk.load(tinystories_folder, device="cuda:0", dtype="bfloat16").device == torch.device("cuda:0")
    assert sk.load(tinystories_folder, device="cpu").device.type == "cpu"


def test_what_comes_back_is_on_the_processor(model):
    both = model.compare(IDS, [VECTOR.add(1)], max_new_tokens=4)
    steps = list(model.stream(IDS, [VECTOR.add(1)], max_new_tokens=4))
    results = [
        both.kl, both.steered.coefficients, both.steered.logprobs, both.steered.unsteered_logprobs,
        model.read(IDS, VECTOR).coefficients, model.score(IDS), steps[-1].previous_coefficients,
        *model.last_activations([IDS], ["1.resid_post"]).values(),
    ]  # fmt: skip
    assert {result.device.type for result in results} == {"cpu"}
    assert {result.dtype for result in results} == {torch.float32}


@pytest.mark.parametrize(
    "edit", [VECTOR.add(0, where=EVERYWHERE), VECTOR.scale(1, EVERYWHERE), VECTOR.add(0, "norm", EVERYWHERE)], ids=str
)
def test_identity_is_bit_for_bit(model, edit):
    assert torch.equal(model.score(IDS, [edit]), model.score(IDS))
    alone = model.generate(IDS, max_new_tokens=10).token_ids
    assert model.generate(IDS, [edit], max_new_tokens=10).token_ids == alone


def test_coefficients_end_where_they_should(model):
    other = sk.Vector({"0.resid_post": VECTOR["0.resid_post"] + torch.ones(64)})
    reading = model.read(IDS, [VECTOR, other], [VECTOR.set(2, where=EVERYWHERE), other.ablate(EVERYWHERE)])
    room = 1e-5 if next(model.nnsight._module.parameters()).dtype == torch.float32 else 0.05
    torch.testing.assert_close(reading.coefficients, torch.tensor([[2.0, 0.0]] * len(IDS)), rtol=0, atol=room)


def test_a_sweep_shares_its_noise(model):
    sweep = model.sweep(IDS, VECTOR.add(1), [0, 0, 1], max_new_tokens=8)
    assert sweep[0].token_ids == sweep[1].token_ids


def test_noise_is_that_of_the_processor():
    module = tiny.build(Gemma2ForCausalLM, Gemma2Config(**CONFIG))
    here = sk.load(module, tokenizer=tiny.tokenizer()).generate(IDS, [VECTOR.add(0.5)], max_new_tokens=8)
    module = tiny.build(Gemma2ForCausalLM, Gemma2Config(**CONFIG)).to("cuda")
    there = sk.load(module, tokenizer=tiny.tokenizer()).generate(IDS, [VECTOR.add(0.5)], max_new_tokens=8)
    assert here.token_ids == there.token_ids
    torch.testing.assert_close(here.coefficients, there.coefficients, rtol=1e-2, atol=1e-2)


def test_a_cache_and_padding_change_nothing():
    module = tiny.build(Gemma2ForCausalLM, Gemma2Config(**CONFIG)).to("cuda")
    model = sk.load(module, tokenizer=tiny.tokenizer())
    edits = [VECTOR.add(0.5), sk.Vector({"1.resid_pre": torch.ones(64)}).scale(-1)]
    alone = model.generate(IDS, edits, max_new_tokens=8)
    assert model.generate(IDS, edits, max_new_tokens=8, use_cache=False).token_ids == alone.token_ids
    batch = model.generate_many([IDS[:3], IDS], edits, max_new_tokens=8)
    assert batch[1].token_ids == alone.token_ids
    assert batch[0].token_ids == model.generate(IDS[:3], edits, max_new_tokens=8).token_ids


def test_steering_inside_a_block(model):
    before = model.score(IDS)
    with model.steer([VECTOR.add(1)]), model.nnsight.trace(IDS):
        logits = model.nnsight.output.logits.save()
    assert logits.device.type == "cuda"
    assert torch.equal(model.score(IDS), before)


def test_the_plain_model_agrees():
    module = tiny.build(Gemma2ForCausalLM, Gemma2Config(**CONFIG)).to("cuda")
    model = sk.load(module, tokenizer=tiny.tokenizer())
    with torch.no_grad():
        logits = module(input_ids=torch.tensor([IDS], device="cuda")).logits[0].cpu().float()
    torch.testing.assert_close(model.score(IDS), plain.chosen(logits.log_softmax(-1), IDS), rtol=1e-3, atol=1e-3)
