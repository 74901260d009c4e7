"""Writes small dictionaries with their publishers' own packages, and what those packages compute from them.

Run it in an environment that has one of the packages, naming it:

    pip install torch safetensors sae-lens            && python tests/reference/make_dictionary_fixtures.py sae-lens
    pip install torch safetensors eai-sparsify        && python tests/reference/make_dictionary_fixtures.py eai-sparsify
    pip install torch safetensors dictionary-learning && \
        python tests/reference/make_dictionary_fixtures.py dictionary-learning

    pip install torch safetensors && pip install --no-deps git+https://github.com/openai/sparse_autoencoder && \
        python tests/reference/make_dictionary_fixtures.py sparse-autoencoder
    pip install torch safetensors git+https://github.com/OpenMOSS/Language-Model-SAEs@d9d4611f && \
        python tests/reference/make_dictionary_fixtures.py lm-saes
    pip install torch safetensors git+https://github.com/decoderesearch/circuit-tracer && \
        python tests/reference/make_dictionary_fixtures.py circuit-tracer

(dictionary-learning brings a torchvision that a CPU build of torch cannot load; `pip uninstall torchvision` helps.
lm-saes asks for Python 3.12 and a submodule; with `--no-deps --ignore-requires-python` beside sae-lens it will do.)

Each case is a folder of `tests/fixtures/dictionaries/<package>/` with the files as the package saves them, random
inputs `x` with its activations `f` and reconstructions `y` in `expected.safetensors`, and in `made.json` the hints that
the files need and the versions that wrote them. `tests/unit/dictionaries/test_against_packages.py` reads them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "dictionaries"
D, N, K, TOKENS = 6, 10, 3, 16


def random(module: nn.Module) -> None:
    """Give every parameter random values, and thresholds positive ones."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.normal_()
            if "threshold" in name:
                parameter.abs_()


def note(folder: Path, package: str, x: Tensor, f: Tensor, y: Tensor, **hints: object) -> None:
    expected = {"x": x, "f": f, "y": y}
    save_file({k: v.detach().float().contiguous() for k, v in expected.items()}, folder / "expected.safetensors")
    versions = {name: version(name) for name in (package, "torch")}
    (folder / "made.json").write_text(json.dumps({"hints": hints, "versions": versions}, indent=1) + "\n")


def sae_lens(root: Path) -> None:
    from sae_lens import SAE
    from sae_lens.registry import get_sae_training_class

    def cases() -> Iterator[tuple[str, dict]]:
        for architecture in ("standard", "topk", "abstopk", "jumprelu", "gated"):
            k = {"k": K} if "topk" in architecture else {}
            for normalisation in ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"):
                changes = {"normalize_activations": normalisation, **k}
                yield f"{architecture}_{normalisation}", {"architecture": architecture, **changes}
            yield f"{architecture}_without_b_dec", {"architecture": architecture, "apply_b_dec_to_input": False, **k}
        for architecture in ("topk", "abstopk"):
            yield (
                f"{architecture}_rescaled",
                {"architecture": architecture, "k": K, "rescale_acts_by_decoder_norm": True},
            )
        for architecture in ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"):
            yield architecture, {"architecture": architecture, "d_out": D + 1, "apply_b_dec_to_input": False}

    metadata = {"model_name": "gpt2", "hook_name": "blocks.3.hook_resid_pre"}
    for name, config in cases():
        sae = SAE.from_dict({"d_in": D, "d_sae": N, "metadata": metadata, **config})
        random(sae)
        x = torch.randn(TOKENS, D)
        sae.save_model(root / name)
        hints = {}
        if config.get("normalize_activations") == "expected_average_only_in":
            hints = {"scale": 0.285}
            sae.fold_activation_norm_scaling_factor(0.285)
        f = sae.encode(x)
        y = sae(x) if "skip" in name else sae.decode(f)
        note(root / name, "sae-lens", x, f, y, **hints)

    for architecture in ("batchtopk", "matryoshka_batchtopk"):
        for rescaled in (False, True):
            kind, config_kind = get_sae_training_class(architecture)
            widths = {"matryoshka_widths": [4, N]} if architecture.startswith("matryoshka") else {}
            sae = kind(config_kind(d_in=D, d_sae=N, k=K, rescale_acts_by_decoder_norm=rescaled, **widths))
            random(sae)
            sae.topk_threshold = torch.tensor(0.8, dtype=torch.float64)
            folder = root / f"{architecture}{'_rescaled' if rescaled else ''}"
            if rescaled:  # as its trainer does before saving
                sae.fold_W_dec_norm()
            sae.save_inference_model(folder)
            saved = SAE.load_from_disk(folder)
            x = torch.randn(TOKENS, D)
            f = saved.encode(x)
            note(folder, "sae-lens", x, f, saved.decode(f))


def eai_sparsify(root: Path) -> None:
    from sparsify import SparseCoder, SparseCoderConfig

    for name, config in {
        "layers.3": {"k": K},
        "layers.3.attention": {"k": K, "normalize_decoder": False},
        "layers.2.mlp/groupmax": {"k": 5, "activation": "groupmax"},
        "layers.2.mlp/transcoder": {"k": K, "transcode": True},
        "layers.2.mlp/skip_transcoder": {"k": K, "transcode": True, "skip_connection": True},
    }.items():
        coder = SparseCoder(D, SparseCoderConfig(num_latents=N, **config))
        random(coder)
        coder.save_to_disk(root / name)
        x = torch.randn(TOKENS, D)
        values, indices, _ = coder.encode(x)
        f = torch.zeros(TOKENS, N).scatter_(1, indices, values)
        note(root / name, "eai-sparsify", x, f, coder(x).sae_out)


def dictionary_learning(root: Path) -> None:
    from dictionary_learning import dictionary
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    for name, module in {
        "AutoEncoder": dictionary.AutoEncoder(D, N),
        "AutoEncoderNew": dictionary.AutoEncoderNew(D, N),
        "GatedAutoEncoder": dictionary.GatedAutoEncoder(D, N),
        "JumpReluAutoEncoder": dictionary.JumpReluAutoEncoder(D, N),
        "AutoEncoderTopK": AutoEncoderTopK(D, N, K),
        "BatchTopKSAE": BatchTopKSAE(D, N, K),
        "MatryoshkaBatchTopKSAE": MatryoshkaBatchTopKSAE(D, N, K, [4, 6]),
    }.items():
        random(module)
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            module.threshold.fill_(0.7)
        folder = root / "resid_post_layer_3" / name
        folder.mkdir(parents=True)
        torch.save(module.state_dict(), folder / "ae.pt")
        trainer = {"dict_class": name, "k": K, "lm_name": "gpt2", "submodule_name": "resid_post_layer_3"}
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"io": "out"}}))
        if name == "AutoEncoder":
            module = dictionary.AutoEncoder.from_pretrained(folder / "ae.pt")
        x = torch.randn(TOKENS, D)
        f = module.encode(x)
        note(folder, "dictionary-learning", x, f, module.decode(f))


def sparse_autoencoder(root: Path) -> None:
    from sparse_autoencoder.model import Autoencoder, TopK

    for name, options in {
        "mlp_post_act": {"activation": nn.ReLU()},
        "resid_delta_mlp_v4": {"activation": nn.ReLU(), "tied": True},
        "resid_post_mlp_v5_32k": {"activation": TopK(K), "normalize": True},
        "resid_post_attn_v5_128k": {"activation": TopK(K, nn.Identity()), "normalize": True},
    }.items():
        autoencoder = Autoencoder(N, D, **options)
        random(autoencoder)
        folder = root / name / "autoencoders"
        folder.mkdir(parents=True)
        torch.save(autoencoder.state_dict(), folder / "3.pt")
        x = torch.randn(TOKENS, D)
        f, info = autoencoder.encode(x)
        note(folder, "sparse_autoencoder", x, f, autoencoder.decode(f, info))


def lm_saes(root: Path) -> None:
    """Llama Scope: its package when it was published, which turns weights to units of the activations to use them."""
    from lm_saes.config import SAEConfig
    from lm_saes.sae import SparseAutoEncoder

    for name, hooks, options in [
        ("L15R", ("hook_resid_post", "hook_resid_post"), {"act_fn": "jumprelu"}),
        ("L15TC", ("ln2.hook_normalized", "hook_mlp_out"), {"act_fn": "jumprelu"}),
        ("L15A", ("hook_attn_out", "hook_attn_out"), {"act_fn": "jumprelu", "sparsity_include_decoder_norm": False}),
        ("L15M", ("hook_mlp_out", "hook_mlp_out"), {"act_fn": "relu"}),
    ]:
        hook_in, hook_out = (f"blocks.15.{hook}" for hook in hooks)
        norms = {"in": 10.8125, "out": 3.5 if hook_in != hook_out else 10.8125}
        options = {"sparsity_include_decoder_norm": True, "jump_relu_threshold": 0.35546875} | options
        config = SAEConfig(
            hook_point_in=hook_in,
            hook_point_out=hook_out,
            d_model=D,
            expansion_factor=2,
            device="cpu",
            dtype=torch.float32,
            norm_activation="dataset-wise",
            use_decoder_bias=True,
            **options,
        )
        sae = SparseAutoEncoder(config)
        random(sae)
        folder = root / name
        (folder / "checkpoints").mkdir(parents=True)
        sae.save_checkpoint(folder / "checkpoints" / "final.safetensors")
        sae.load_state_dict(load_file(folder / "checkpoints" / "final.safetensors"))  # saving can change the decoder
        sae.cfg.save_hyperparameters(folder)
        # As published: under the name of the months before, with the mean norms that the class does not write.
        written = json.loads((folder / "config.json").rename(folder / "hyperparams.json").read_text())
        (folder / "hyperparams.json").write_text(json.dumps(written | {"dataset_average_activation_norm": norms}))
        sae.standardize_parameters_of_dataset_norm({hook_in: norms["in"], hook_out: norms["out"]})
        if options["sparsity_include_decoder_norm"]:
            sae.transform_to_unit_decoder_norm()
        x = torch.randn(TOKENS, D)
        f = sae.encode(x)
        note(folder, "lm-saes", x, f, sae.decode(f))


def circuit_tracer(root: Path) -> None:
    from circuit_tracer.transcoder.activation_functions import JumpReLU, TopK
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, load_transcoder

    for name, activation, skip in [
        ("relu", torch.relu, False),
        ("jumprelu", JumpReLU(torch.rand(N), 0.1), True),
        ("topk", TopK(K), True),
    ]:
        folder = root / name
        folder.mkdir(parents=True)
        path = folder / "layer_4.safetensors"
        transcoder = SingleLayerTranscoder(D, N, activation, 4, skip_connection=skip, dtype=torch.float32)
        random(transcoder)
        transcoder.to_safetensors(path)
        x = torch.randn(TOKENS, D)
        f = transcoder.encode(x)
        note(folder, "circuit-tracer", x, f, transcoder.decode(f, x))
        if name != "topk":  # its own loader takes k from elsewhere
            assert torch.equal(load_transcoder(path, 4).encode(x), f)


PACKAGES = {
    "circuit-tracer": circuit_tracer,
    "lm-saes": lm_saes,
    "sae-lens": sae_lens,
    "eai-sparsify": eai_sparsify,
    "dictionary-learning": dictionary_learning,
    "sparse-autoencoder": sparse_autoencoder,
}


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in PACKAGES:
        raise SystemExit(f"usage: {sys.argv[0]} {'|'.join(PACKAGES)}")
    name = sys.argv[1]
    root = FOLDER / name
    shutil.rmtree(root, ignore_errors=True)
    torch.manual_seed(0)
    PACKAGES[name](root)


if __name__ == "__main__":
    main()
