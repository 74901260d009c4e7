from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import plain
import pytest
import tiny
import torch
import transformers as hf
from torch import nn

import steerkit as sk

IDS = [0, *range(10, 17)]
LAYERS = 3
WIDE = {"hidden_size": 24, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "max_position_embeddings": 64}
GATED = {**WIDE, **tiny.VOCABULARY, "intermediate_size": 40, "num_key_value_heads": 2, "initializer_range": 0.3}
HEADS = {**GATED, "head_dim": 8}  # heads together wider than the stream
ALL = {
    "resid_pre", "z", "attn_out", "resid_mid", "mlp_in", "mlp_in_normalized", "mlp_post", "mlp_out", "resid_post",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A family's tiny model, and the module names by which torch hooks find its activations."""

    kind: type[nn.Module]
    config: hf.PreTrainedConfig
    layers: str = "model.layers"
    projection: str = "self_attn.o_proj"
    attention: str = "self_attn"
    attention_norm: str | None = None
    mlp_norm: str = "post_attention_layernorm"
    mlp_first: str = "mlp"
    mlp_last: str = "mlp.down_proj"
    mlp: str = "mlp"
    offset: float = 0.0
    kinds: frozenset[str] = frozenset(ALL)
    parallel: bool = False
    summed: bool = True


GEMMA_NORMS = {
    "attention_norm": "post_attention_layernorm",
    "mlp_norm": "pre_feedforward_layernorm",
    "mlp": "post_feedforward_layernorm",
    "offset": 1.0,
}
TRANSFORMER = {"layers": "transformer.h", "attention": "attn", "mlp_norm": "ln_2", "mlp_last": "mlp.c_proj"}
NEOX = {
    "layers": "gpt_neox.layers",
    "attention": "attention",
    "projection": "attention.dense",
    "mlp_last": "mlp.dense_4h_to_h",
}
OPT = {
    "layers": "model.decoder.layers",
    "projection": "self_attn.out_proj",
    "mlp_norm": "final_layer_norm",
    "mlp_first": "fc1",
    "mlp_last": "fc2",
    "mlp": "fc2",
}
OPT_CONFIG = {**WIDE, **tiny.VOCABULARY, "ffn_dim": 40, "init_std": 0.3, "word_embed_proj_dim": 24, "dropout": 0.0}
NEOX_CONFIG = {**WIDE, **tiny.VOCABULARY, "intermediate_size": 40, "initializer_range": 0.3}
GEMMA3 = {**HEADS, "sliding_window": 5, "query_pre_attn_scalar": 8, "sliding_window_pattern": 2}
VISION = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
NO_MID = frozenset(ALL - {"resid_mid"})

CASES = {
    "llama": Case(hf.LlamaForCausalLM, hf.LlamaConfig(**HEADS, attention_bias=True)),
    "mistral": Case(hf.MistralForCausalLM, hf.MistralConfig(**HEADS, sliding_window=5)),
    "qwen2": Case(hf.Qwen2ForCausalLM, hf.Qwen2Config(**GATED)),
    "qwen3": Case(hf.Qwen3ForCausalLM, hf.Qwen3Config(**HEADS)),
    "gemma": Case(hf.GemmaForCausalLM, hf.GemmaConfig(**HEADS), offset=1.0),
    "gemma2": Case(
        hf.Gemma2ForCausalLM, hf.Gemma2Config(**HEADS, sliding_window=5, query_pre_attn_scalar=8), **GEMMA_NORMS
    ),
    "gemma3_text": Case(hf.Gemma3ForCausalLM, hf.Gemma3TextConfig(**GEMMA3), **GEMMA_NORMS),
    "gemma3": Case(
        hf.Gemma3ForConditionalGeneration,
        hf.Gemma3Config(
            text_config=hf.Gemma3TextConfig(**GEMMA3),
            vision_config=VISION,
            mm_tokens_per_image=4,
            image_token_id=280,
            image_token_index=280,
            boi_token_index=281,
            eoi_token_index=282,
            eos_token_id=1,
        ),
        layers="model.language_model.layers",
        **GEMMA_NORMS,
    ),
    "gpt2": Case(
        hf.GPT2LMHeadModel,
        hf.GPT2Config(**tiny.VOCABULARY, n_embd=24, n_layer=LAYERS, n_head=4, n_positions=64, initializer_range=0.3),
        projection="attn.c_proj",
        **TRANSFORMER,
    ),
    "gpt_neo": Case(
        hf.GPTNeoForCausalLM,
        hf.GPTNeoConfig(
            **tiny.VOCABULARY,
            hidden_size=24,
            num_layers=LAYERS,
            num_heads=4,
            intermediate_size=40,
            window_size=4,
            attention_types=[[["global", "local", "global"], 1]],
            max_position_embeddings=64,
            initializer_range=0.3,
        ),
        projection="attn.attention.out_proj",
        **TRANSFORMER,
    ),
    "gpt_neox parallel": Case(
        hf.GPTNeoXForCausalLM,
        hf.GPTNeoXConfig(**NEOX_CONFIG, use_parallel_residual=True),
        kinds=NO_MID,
        parallel=True,
        **NEOX,
    ),
    "gpt_neox sequential": Case(
        hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**NEOX_CONFIG, use_parallel_residual=False), **NEOX
    ),
    "opt pre-norm": Case(hf.OPTForCausalLM, hf.OPTConfig(**OPT_CONFIG, do_layer_norm_before=True), **OPT),
    "opt post-norm": Case(
        hf.OPTForCausalLM,
        hf.OPTConfig(**OPT_CONFIG, do_layer_norm_before=False),
        kinds=frozenset(ALL - {"resid_mid", "attn_out", "mlp_out"}),
        summed=False,
        **{**OPT, "mlp_norm": "self_attn_layer_norm"},
    ),
    "phi": Case(
        hf.PhiForCausalLM,
        hf.PhiConfig(
            **NEOX_CONFIG, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 2 / 3}
        ),
        projection="self_attn.dense",
        mlp_norm="input_layernorm",
        mlp_last="mlp.fc2",
        kinds=NO_MID,
        parallel=True,
    ),
}


@dataclass(frozen=True)
class Served:
    case: Case
    module: nn.Module
    model: sk.Model

    def layer(self, index: int) -> nn.Module:
        return self.module.get_submodule(f"{self.case.layers}.{index}")

    def norm(self, index: int) -> tuple[torch.Tensor, torch.Tensor | float]:
        norm = self.layer(index).get_submodule(self.case.mlp_norm)
        bias = getattr(norm, "bias", None)
        return norm.weight.detach() + self.case.offset, 0.0 if bias is None else bias.detach()

    def added_by_attention(self) -> str:
        return self.case.attention_norm or self.case.attention


@pytest.fixture(scope="module", params=CASES)
def served(request) -> Served:
    case = CASES[request.param]
    module = tiny.build(case.kind, case.config)
    return Served(case, module, sk.load(module, tokenizer=tiny.tokenizer()))


def activations(model: sk.Model, ids: list[int]) -> dict[str, torch.Tensor]:
    """Every site's whole activation at every token: what is read along the axes."""
    widths = {site: model.last_activations([ids], [site])[site].shape[1] for site in model.sites}
    axes = [
        sk.Vector({site: torch.eye(width)[axis] for site, width in widths.items() if axis < width})
        for axis in range(max(widths.values()))
    ]
    reading = model.read(ids, axes)
    found: dict[str, list[torch.Tensor]] = {}
    for column, values in zip(reading.columns, reading.coefficients.T, strict=True):
        found.setdefault(str(column.site), []).append(values)
    return {site: torch.stack(values, dim=-1) for site, values in found.items()}


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected.detach().float(), rtol=1e-4, atol=1e-4)


def test_every_kind_is_the_activation_that_its_name_says(served):
    case, module = served.case, served.module
    inputs, outputs = plain.record(module, IDS)
    with torch.no_grad():
        hidden = module(input_ids=torch.tensor([IDS]), output_hidden_states=True, use_cache=False).hidden_states
    read = activations(served.model, IDS)
    for index in range(LAYERS):
        here = {kind: read.get(f"{index}.{kind}") for kind in ALL}
        under = f"{case.layers}.{index}."
        close(here["resid_pre"], hidden[index][0])
        close(here["resid_post"], outputs[under[:-1]])
        close(here["z"], inputs[under + case.projection])
        close(here["mlp_in"], outputs[under + case.mlp_norm])
        close(here["mlp_in"], inputs[under + case.mlp_first])
        gain, bias = served.norm(index)
        close(here["mlp_in_normalized"] * gain + bias, here["mlp_in"])
        close(here["mlp_post"], inputs[under + case.mlp_last])
        if not case.summed:
            continue
        close(here["attn_out"], outputs[under + served.added_by_attention()])
        close(here["mlp_out"], outputs[under + case.mlp])
        close(here["resid_post"], here["resid_pre"] + here["attn_out"] + here["mlp_out"])
        layer = served.layer(index)
        with torch.no_grad():
            attended = layer.get_submodule(case.projection)(here["z"])
            written = layer.get_submodule(case.mlp_last)(here["mlp_post"])
            if case.attention_norm:
                attended = layer.get_submodule(case.attention_norm)(attended)
                written = layer.get_submodule(case.mlp)(written)
        close(here["attn_out"], attended)
        close(here["mlp_out"], written)
        if not case.parallel:
            close(here["resid_mid"], here["resid_pre"] + here["attn_out"])
            close(here["resid_mid"], inputs[under + case.mlp_norm])


def test_the_stream_is_one(served):
    read = activations(served.model, IDS)
    for index in range(LAYERS - 1):
        close(read[f"{index}.resid_post"], read[f"{index + 1}.resid_pre"])


def test_last_activations_are_those_of_the_last_token(served):
    read = activations(served.model, IDS)
    last = served.model.last_activations([IDS, IDS[:4]], served.model.sites)
    shorter = activations(served.model, IDS[:4])
    for site in served.model.sites:
        close(last[site][0], read[str(site)][-1])
        close(last[site][1], shorter[str(site)][-1])


def test_kinds_that_the_family_lacks_are_refused(served):
    assert {site.kind for site in served.model.sites} == served.case.kinds
    vector = torch.ones(24)
    for kind in ALL - served.case.kinds:
        with pytest.raises(sk.errors.SiteError, match=f"has no site '1.{kind}'.*resid_post"):
            served.model.generate(IDS, [sk.Vector({f"1.{kind}": vector}).add(1.0)], max_new_tokens=1)


def hooked(served: Served, stack: ExitStack, kind: str, delta: torch.Tensor) -> None:
    """The same change as an `add` at a site of layer 1, by torch hooks on the plain model."""
    case, layer = served.case, served.layer(1)

    def add(x):
        return x + delta

    if kind == "resid_pre":
        stack.enter_context(plain.input_changed(layer, add))
    elif kind == "resid_post":
        stack.enter_context(plain.output_changed(layer, add))
    elif kind == "z":
        stack.enter_context(plain.input_changed(layer.get_submodule(case.projection), add))
    elif kind == "attn_out":
        stack.enter_context(plain.output_changed(layer.get_submodule(served.added_by_attention()), add))
    elif kind == "resid_mid":  # what the MLP reads, and the skip past it
        stack.enter_context(plain.input_changed(layer.get_submodule(case.mlp_norm), add))
        stack.enter_context(plain.output_changed(layer, add))
    elif kind == "mlp_in":
        stack.enter_context(plain.input_changed(layer.get_submodule(case.mlp_first), add))
    elif kind == "mlp_in_normalized":
        gain, _ = served.norm(1)
        stack.enter_context(plain.input_changed(layer.get_submodule(case.mlp_first), lambda x: x + delta * gain))
    elif kind == "mlp_post":
        stack.enter_context(plain.input_changed(layer.get_submodule(case.mlp_last), add))
    else:
        stack.enter_context(plain.output_changed(layer.get_submodule(case.mlp), add))


def test_adding_at_a_site_is_what_a_torch_hook_would_do(served):
    everywhere = sk.Where(special=True)
    unsteered = plain.chosen(plain.logprobs(served.module, IDS), IDS)
    for kind in sorted(served.case.kinds):
        if kind == "resid_mid" and served.case.attention_norm:
            continue  # below: the skip past the MLP is not the layer's output alone
        width = served.model.last_activations([IDS], [f"1.{kind}"])[sk.Site(1, kind)].shape[1]
        delta = torch.randn(width, generator=torch.Generator().manual_seed(1))
        with ExitStack() as stack:
            hooked(served, stack, kind, delta)
            expected = plain.chosen(plain.logprobs(served.module, IDS), IDS)
        found = served.model.score(IDS, [sk.Vector({f"1.{kind}": delta}).add(1, where=everywhere)])
        close(found, expected)
        assert (found - unsteered).abs().max() > 1e-3, kind


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "gemma3"])
def test_adding_at_resid_mid_of_a_layer_with_post_norms(name):
    case = CASES[name]
    module = tiny.build(case.kind, case.config)
    model = sk.load(module, tokenizer=tiny.tokenizer())
    delta = torch.randn(24, generator=torch.Generator().manual_seed(1))
    layer = module.get_submodule(f"{case.layers}.1")
    with plain.output_changed(layer.post_attention_layernorm, lambda x: x + delta):
        expected = plain.chosen(plain.logprobs(module, IDS), IDS)
    close(model.score(IDS, [sk.Vector({"1.resid_mid": delta}).add(1, where=sk.Where(special=True))]), expected)


def test_greedy_text_is_that_of_the_plain_model(served):
    run = served.model.generate(IDS, temperature=0, max_new_tokens=12)
    assert run.token_ids == plain.greedy(served.module, IDS, 12)[: len(run.token_ids)]
    steered = served.model.generate(
        IDS, [sk.Vector({"1.resid_post": torch.ones(24)}).add(2, where=sk.Where(special=True))],
        temperature=0, max_new_tokens=12,
    )  # fmt: skip
    with plain.output_changed(served.layer(1), lambda x: x + 2):
        assert steered.token_ids == plain.greedy(served.module, IDS, 12)[: len(steered.token_ids)]


class TupleLayer(nn.Module):
    """A layer as transformers 4 had them: it returns a tuple."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *args, **kwargs):
        return (self.layer(*args, **kwargs),)


class TupleLlama(hf.LlamaForCausalLM):
    """Takes its layers' outputs out of the tuples again."""

    def __init__(self, config):
        super().__init__(config)
        self.model.layers = nn.ModuleList(TupleLayer(layer) for layer in self.model.layers)

    def forward(self, input_ids=None, position_ids=None, attention_mask=None, logits_to_keep=0, **_):
        hidden = self.model.embed_tokens(input_ids)
        positions = torch.arange(input_ids.shape[1])[None] if position_ids is None else position_ids
        rotary = self.model.rotary_emb(hidden, positions)
        for layer in self.model.layers:
            hidden = layer(hidden, position_embeddings=rotary)[0]
        return hf.modeling_outputs.CausalLMOutputWithPast(logits=self.lm_head(self.model.norm(hidden)))


def test_layers_that_return_tuples():
    module = tiny.build(TupleLlama, hf.LlamaConfig(**HEADS))
    model = sk.load(module, tokenizer=tiny.tokenizer())
    delta = torch.randn(24, generator=torch.Generator().manual_seed(2))
    for index in range(LAYERS):
        with plain.output_changed(module.model.layers[index], lambda x: x + delta):
            expected = plain.chosen(plain.logprobs(module, IDS), IDS)
        vector = sk.Vector({f"{index}.resid_post": delta})
        close(model.score(IDS, [vector.add(1, where=sk.Where(special=True))]), expected)
        _, outputs = plain.record(module, IDS)
        close(model.read(IDS, vector).activations(vector), outputs[f"model.layers.{index}"] @ delta / delta.dot(delta))


def test_an_unknown_type_with_an_obvious_list_of_layers_serves_the_stream():
    module = tiny.build(hf.StableLmForCausalLM, hf.StableLmConfig(**GATED))
    model = sk.load(module, tokenizer=tiny.tokenizer())
    assert {site.kind for site in model.sites} == {"resid_pre", "resid_post"}
    with torch.no_grad():
        hidden = module(input_ids=torch.tensor([IDS]), output_hidden_states=True, use_cache=False).hidden_states
    read = activations(model, IDS)
    for index in range(LAYERS):
        close(read[f"{index}.resid_pre"], hidden[index][0])
    delta = torch.randn(24, generator=torch.Generator().manual_seed(3))
    with plain.output_changed(module.model.layers[1], lambda x: x + delta):
        expected = plain.chosen(plain.logprobs(module, IDS), IDS)
    close(model.score(IDS, [sk.Vector({"1.resid_post": delta}).add(1, where=sk.Where(special=True))]), expected)
    with pytest.raises(sk.errors.SiteError, match="the kinds of its layers are resid_pre, resid_post"):
        model.read("a", sk.Vector({"1.mlp_out": delta}))


class NoList(hf.StableLmForCausalLM):
    """Its layers stand in no list."""

    def __init__(self, config):
        super().__init__(config)
        self.model.layers = nn.ModuleDict({str(i): layer for i, layer in enumerate(self.model.layers)})


def test_an_unknown_type_without_a_list_of_layers_is_refused():
    module = tiny.build(NoList, hf.StableLmConfig(**GATED))
    with pytest.raises(sk.errors.ModelError, match=r"'stablelm', whose layers could not be found.*llama"):
        sk.load(module, tokenizer=tiny.tokenizer())


@pytest.mark.parametrize(
    "text", ["resid_post", "3", "x.resid_post", "-1.resid_post", "3.resid", "", "².resid_post", "3.resid_post.0"]
)
def test_what_is_no_site_is_refused(text):
    with pytest.raises(sk.errors.SiteError, match=r"is no site.*'3\.resid_post'.*resid_pre, z"):
        sk.Site.parse(text)


@pytest.mark.parametrize("layer", [3, 99, -1])
def test_a_layer_out_of_range_is_refused(served, layer):
    with pytest.raises(sk.errors.SiteError, match=f"has no site '{layer}.resid_post': its layers are 0 to 2"):
        served.model.last_activations([IDS], [sk.Site(layer, "resid_post")])


def test_sites_sort_by_depth():
    sites = [sk.Site.parse(text) for text in ("1.resid_pre", "0.resid_post", "0.mlp_in", "0.attn_out")]
    assert [str(site) for site in sorted(sites, key=lambda site: site.depth)] == [
        "0.attn_out",
        "0.mlp_in",
        "0.resid_post",
        "1.resid_pre",
    ]
