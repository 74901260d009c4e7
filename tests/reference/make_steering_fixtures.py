"""Steers tiny models with the peers' own packages, and keeps the logits that they give.

First the models and inputs, with any of the environments below; then each peer in an environment of its own, naming it
(repeng needs numpy<2, steering-vectors needs transformers<5):

    pip install torch transformers safetensors             && python tests/reference/make_steering_fixtures.py inputs
    pip install torch safetensors repeng                   && python tests/reference/make_steering_fixtures.py repeng
    pip install torch safetensors steering-vectors         && \
        python tests/reference/make_steering_fixtures.py steering-vectors
    pip install torch safetensors pyvene                   && python tests/reference/make_steering_fixtures.py pyvene

These two are on no package index; PYTHONPATH names a checkout of stanfordnlp/axbench, and checkouts of
IBM/sae-steering and openai/sparse_autoencoder:

    pip install torch safetensors pyvene                   && python tests/reference/make_steering_fixtures.py axbench
    pip install torch safetensors transformer-lens==2.2.2 transformers==4.42.4 numpy==1.26.4 pandas==2.2.2 \
        scikit-learn==1.5.1 blobfile==2.1.1 "datasets<4" "pyarrow<21" typeguard && \
        python tests/reference/make_steering_fixtures.py sae-steering

`goodfire` runs no code of Goodfire's: its model card's example imports nnsight's proxies and replaces layers' outputs
by tuples, neither of which exists any more. It is our own statement of the card's equations with torch's hooks: the
features of an activation are changed, decoded, and the autoencoder's error is added back. The text of the card that
has `cleanup_intervention_layer` could not be had; here it means that what was written is subtracted again from the
last layer's output.

Everything goes to `tests/fixtures/steering/`: `llama/` and `gpt2/` are the models, `inputs.safetensors` the token ids
and vectors, dictionaries lie as their publishers save them, `<peer>.safetensors` holds the logits of each case and
`<peer>.json` the versions that gave them. `tests/reference/test_steering_peers.py` reads them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "steering"
D, LAYERS, VOCABULARY, N, K = 32, 3, 64, 128, 8
WORDS = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
GOODFIRE = FOLDER / "goodfire" / "Random-SAE-l1.pth"
OPENAI = FOLDER / "openai" / "resid_post_mlp_v5_32k" / "autoencoders" / "1.pt"
AXBENCH = FOLDER / "axbench"
PROMPT = "w5 w9 w33 w12 w60 w7"


def write_inputs() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(WORDS, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )
    llama = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=D,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        **SPECIAL,
    )
    gpt2 = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=D,
        n_layer=LAYERS,
        n_head=4,
        n_positions=64,
        initializer_range=0.3,
        **SPECIAL,
    )
    for name, kind, config in (("llama", LlamaForCausalLM, llama), ("gpt2", GPT2LMHeadModel, gpt2)):
        model = kind(config)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn_like(parameter)
        model.save_pretrained(FOLDER / name)
        tokenizer.save_pretrained(FOLDER / name)

    ids = torch.randint(3, VOCABULARY, (2, 8))
    ids[:, 0] = SPECIAL["bos_token_id"]
    vectors = {f"vector.{layer}": 0.3 * torch.randn(D) for layer in range(LAYERS)}
    save_file({"ids": ids, "plain": logits(load("llama"), ids), **vectors}, FOLDER / "inputs.safetensors")


def load(name: str) -> nn.Module:
    """In float64, so that figures do not hang on the machine that made them."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(FOLDER / name, dtype=torch.float64).eval()


def logits(model: nn.Module, ids: Tensor, **inputs: Tensor) -> Tensor:
    return model(input_ids=ids, **inputs).logits


def inputs() -> tuple[Tensor, dict[int, Tensor]]:
    tensors = load_file(FOLDER / "inputs.safetensors")
    return tensors["ids"], {layer: tensors[f"vector.{layer}"].double() for layer in range(LAYERS)}


def keep(name: str, cases: dict[str, Tensor], *packages: str, **others: str) -> None:
    save_file({case: values.contiguous() for case, values in cases.items()}, FOLDER / f"{name}.safetensors")
    versions = {package: version(package) for package in ("torch", "transformers", *packages)} | others
    (FOLDER / f"{name}.json").write_text(json.dumps(versions, indent=1) + "\n")


def commit(module: ModuleType) -> str:
    """The commit of the checkout that a module comes from."""
    command = ["git", "-C", str(Path(module.__file__).parent), "rev-parse", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repeng() -> None:
    from repeng import ControlModel, ControlVector

    ids, vectors = inputs()
    control = ControlVector("llama", {layer: vector.numpy() for layer, vector in vectors.items()})
    model = ControlModel(load("llama"), range(LAYERS))
    cases, positions = {}, torch.arange(ids.shape[1]).expand(ids.shape)  # one row of them for both would not do
    for name, coefficient, options in [
        ("add", 1.5, {}),
        ("subtract", -0.7, {}),
        ("normalize", 1.5, {"normalize": True}),
    ]:
        model.set_control(control, coefficient, **options)
        cases[name] = logits(model, ids, position_ids=positions)
    # As generate() prepares it: three tokens of padding on the left, whose position is 1.
    padded = torch.cat([torch.full((1, 3), SPECIAL["pad_token_id"]), ids[:1, :5]], dim=1)
    real = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    positions = (real.cumsum(-1) - 1).masked_fill(real == 0, 1)
    model.set_control(control, 1.5)
    cases["padded"] = logits(model, padded, attention_mask=real, position_ids=positions)[:, 3:]
    keep("repeng", cases, "repeng")


def steering_vectors() -> None:
    from steering_vectors import (
        SteeringVector,
        ablation_operator,
        ablation_then_addition_operator,
        addition_operator,
    )

    ids, vectors = inputs()
    model, cases = load("llama"), {}
    for name, kind, operator, options in [
        ("add", "decoder_block", None, {"multiplier": 1.5}),
        ("addition", "decoder_block", addition_operator(), {"multiplier": -0.5}),
        ("ablation", "decoder_block", ablation_operator(), {"multiplier": -2.0}),
        ("ablation_then_addition", "decoder_block", ablation_then_addition_operator(), {"multiplier": 1.5}),
        ("self_attn", "self_attn", None, {"multiplier": 1.5}),
        ("mlp", "mlp", None, {"multiplier": 1.5}),
        ("min_token_index", "decoder_block", None, {"multiplier": 1.5, "min_token_index": 3}),
        ("token_indices", "decoder_block", None, {"multiplier": 1.5, "token_indices": [0, 2, -1]}),
    ]:
        vector = SteeringVector({layer: vectors[layer] for layer in (1, 2)}, kind)
        options = {"min_token_index": None} | options
        with vector.apply(model, operator=operator, **options):
            cases[name] = logits(model, ids)
    keep("steering-vectors", cases, "steering-vectors")


def intervene(intervention: nn.Module, ids: Tensor, **call: object) -> Tensor:
    """A model's logits under a pyvene intervention on what layer 1 gives, at all tokens."""
    import pyvene

    place = {"layer": 1, "component": "model.layers[1].output", "low_rank_dimension": 1, "intervention": intervention}
    config = pyvene.IntervenableConfig(representations=[place])
    model = pyvene.IntervenableModel(config, load("llama"))
    intervention.double()
    return model({"input_ids": ids}, unit_locations=None, **call)[1].logits


def pyvene() -> None:
    import pyvene

    ids, vectors = inputs()
    addition = pyvene.AdditionIntervention(embed_dim=D, source_representation=1.5 * vectors[1])
    keep("pyvene", {"add": intervene(addition, ids)}, "pyvene")


def axbench() -> None:
    """Its interventions alone, for the package imports all that its judges need."""
    place = Path(importlib.util.find_spec("axbench").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("interventions", place / "models" / "interventions.py")
    interventions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(interventions)

    ids, _ = inputs()
    AXBENCH.mkdir(exist_ok=True)
    rows = nn.functional.normalize(torch.randn(4, D), dim=-1)
    torch.save(rows, AXBENCH / "LsReFT_weight.pt")
    pruned = {"W_enc": torch.randn(D, 4) / 2, "W_dec": torch.randn(4, D) / 4, "b_dec": torch.randn(D)}
    pruned |= {"b_enc": torch.randn(4) / 4, "threshold": torch.rand(4)}
    torch.save(pruned, AXBENCH / "GemmaScopeSAE.pt")

    cases = {}
    for name, kind, max_act, factor, prefix in [
        ("addition", "AdditionIntervention", 2.5, 0.6, 1),
        ("subspace", "SubspaceIntervention", 2.5, 0.6, 0),
        ("subspace_prefix", "SubspaceIntervention", 2.5, 0.6, 3),
        ("thresholding", "ThresholdingIntervention", 2.5, 0.2, 1),
        ("clamping", "DictionaryAdditionIntervention", 2.5, 0.6, 1),
        ("min_clamping", "DictionaryMinClampingIntervention", 2.5, 0.2, 1),
    ]:
        intervention = getattr(interventions, kind)(embed_dim=D, low_rank_dimension=4)
        if hasattr(intervention, "proj"):
            intervention.proj.weight.data = rows.clone()
        else:
            intervention.load_state_dict(pruned, strict=False)  # as its models do: buffers of pyvene's are missing
        which = torch.tensor([2]) if "clamping" in name else torch.tensor([2, 2])
        mag, max_act = (torch.full(which.shape, number, dtype=torch.float64) for number in (factor, max_act))
        subspaces = [{"idx": which, "prefix_length": prefix, "mag": mag, "max_act": max_act}]
        cases[name] = intervene(intervention, ids, subspaces=subspaces)
    keep("axbench", cases, "pyvene", axbench=commit(interventions))


def goodfire() -> None:
    weights = {
        "encoder_linear.weight": torch.randn(N, D) / 4,
        "encoder_linear.bias": torch.randn(N) / 4,
        "decoder_linear.weight": torch.randn(D, N) / 8,
        "decoder_linear.bias": torch.randn(D) / 4,
    }
    GOODFIRE.parent.mkdir(exist_ok=True)
    torch.save(weights, GOODFIRE)
    weights = {key: value.double() for key, value in weights.items()}
    ids, _ = inputs()
    model, written = load("llama"), []

    def edited(x: Tensor, feature: int, change: str, value: float) -> Tensor:
        def decode(f: Tensor) -> Tensor:
            return nn.functional.linear(f, weights["decoder_linear.weight"], weights["decoder_linear.bias"])

        f = torch.relu(nn.functional.linear(x, weights["encoder_linear.weight"], weights["encoder_linear.bias"]))
        error = x - decode(f)
        f[..., feature] = f[..., feature] + value if change == "add" else value
        return decode(f) + error

    cases = {}
    for name, feature, change, value, clean in [
        ("add", 5, "add", 3.0, False),
        ("set", 5, "set", 2.0, False),
        ("set_to_zero", 5, "set", 0.0, False),
        ("cleaned_add", 5, "add", 3.0, True),
        ("cleaned_set", 5, "set", 2.0, True),
    ]:

        def write(_layer, _inputs, x, feature=feature, change=change, value=value):
            y = edited(x, feature, change, value)
            written.append(y - x)
            return y

        handles = [model.model.layers[1].register_forward_hook(write)]
        if clean:
            handles.append(model.model.layers[-1].register_forward_hook(lambda _layer, _inputs, x: x - written[-1]))
        cases[name] = logits(model, ids)
        for handle in handles:
            handle.remove()
    keep("goodfire", cases)


@contextmanager
def storage():
    """A working folder of the form that IBM's code writes to and reads from."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Storage").mkdir()
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def hooked_gpt2() -> nn.Module:
    """The tiny GPT-2 as transformer-lens runs it, which is what IBM's code steers."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    config = GPT2Config(**json.loads((FOLDER / "gpt2" / "config.json").read_text()))
    plain = GPT2LMHeadModel(config).eval()
    plain.load_state_dict(load_file(FOLDER / "gpt2" / "model.safetensors"), strict=False)  # the embedding is shared
    sizes = {"d_model": D, "n_layers": LAYERS, "n_heads": 4, "d_head": D // 4, "d_vocab": VOCABULARY, "n_ctx": 64}
    kind = {"act_fn": "gelu_new", "normalization_type": "LN", "eps": config.layer_norm_epsilon}
    model = HookedTransformer(HookedTransformerConfig(**sizes, **kind))
    steps = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
    model.load_and_process_state_dict(convert_gpt2_weights(plain, model.cfg), **dict.fromkeys(steps, False))
    # What transformer-lens looks for in a tokenizer, so that it takes this one as it is.
    special = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True, "name_or_path": "tiny"}
    model.set_tokenizer(PreTrainedTokenizerFast(tokenizer_file=str(FOLDER / "gpt2" / "tokenizer.json"), **special))
    return model


def sae_steering() -> None:
    """Swap, weight and clamp at every token, as published: without the autoencoder's error."""
    import pandas as pd
    import sparse_autoencoder
    import steering_utils
    from sparse_autoencoder.model import TopK

    model = hooked_gpt2()
    autoencoder = sparse_autoencoder.Autoencoder(N, D, activation=TopK(K), normalize=True)
    for parameter in autoencoder.parameters():
        parameter.normal_(std=0.3)
    OPENAI.parent.mkdir(parents=True, exist_ok=True)
    # The activation's own state is saved twice, and loading accepts it but once.
    state = {key: value for key, value in autoencoder.state_dict().items() if not key.startswith("activation.")}
    torch.save(state, OPENAI)

    scores = torch.rand(N, dtype=torch.float64)
    scores[::16] = 0  # as of features that never fired
    ids = model.to_tokens(PROMPT)
    cases = {"scores": scores, "ids": ids, "plain": model(ids)}
    with storage():
        for method in ("SAE", "clamp", "weight", "swap"):
            cases[method] = steering_utils.manipulate_d_align(
                PROMPT, model, autoencoder, scores.numpy(), 1, "cpu", method, final_layer=LAYERS - 1
            )
            latents = pd.read_csv(f"Storage/{method.lower()}_latents_at_layer_1.csv", index_col=0)
            cases[f"{method}_latents"] = torch.tensor(latents.to_numpy(dtype="float32"))
    keep("sae-steering", cases, "transformer-lens", **ibm_commits())


def ibm_commits() -> dict[str, str]:
    import sparse_autoencoder
    import steering_utils

    return {"sae-steering": commit(steering_utils), "sparse_autoencoder": commit(sparse_autoencoder)}


PEERS = {
    "inputs": write_inputs,
    "repeng": repeng,
    "steering-vectors": steering_vectors,
    "pyvene": pyvene,
    "axbench": axbench,
    "goodfire": goodfire,
    "sae-steering": sae_steering,
}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in PEERS:
        raise SystemExit(f"usage: {sys.argv[0]} {'|'.join(PEERS)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(sorted(PEERS).index(sys.argv[1]))
    torch.set_grad_enabled(False)
    PEERS[sys.argv[1]]()


if __name__ == "__main__":
    main()
