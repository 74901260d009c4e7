"""Learns directions with AxBench's own code, and keeps them.

PYTHONPATH names a checkout of stanfordnlp/axbench, which is on no package index:

    pip install torch safetensors transformers pyvene einops pandas datasets && \
        python tests/reference/make_reft_fixtures.py

Its packages import all that its judges and other methods need, so the modules that train are loaded without them. Its
trainings ask which process of several they are, and are told the first. All texts are of the same length: where they
are not, it reads a token of padding with the shorter ones.

`reft` is its training as it is: a direction gets length 1 before each step of the optimiser, and the step makes it
longer again, so that the next forward pass and what is saved have another length. `reft_unit` is the same code with its
own function for that called after each step too, and before the first.

Everything goes to `tests/fixtures/reft/`: the texts, the direction after each step of each training, what its
intervention and its penalty make of some activations, and the versions. `test_reft_peers.py` reads them. The
model is the Llama of `tests/fixtures/steering/`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import random
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import torch
from safetensors.torch import save_file
from torch.optim.optimizer import register_optimizer_step_post_hook
from transformers import AutoModelForCausalLM, AutoTokenizer

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
FOLDER = FIXTURES / "reft"
LAYER, SEED, TEXTS, D = 1, 42, 20, 32
SETTINGS = {"batch_size": 6, "n_epochs": 3, "lr": 0.01, "weight_decay": 0.0, "gradient_accumulation_steps": 1}


def axbench() -> Path:
    """Makes its modules importable one by one."""
    place = Path(importlib.util.find_spec("axbench").submodule_search_locations[0])
    for name in ("axbench", "axbench.models", "axbench.utils", "axbench.scripts"):
        package = sys.modules[name] = ModuleType(name)
        package.__path__ = [str(place.joinpath(*name.split(".")[1:]))]
    inference = sys.modules["axbench.scripts.inference"] = ModuleType("axbench.scripts.inference")
    inference.prepare_df = None
    return place


def texts() -> list[dict[str, str]]:
    """Prompts and what follows them."""
    draw = random.Random(SEED)

    def words(n: int) -> str:
        return " ".join(f"w{draw.randrange(3, 64)}" for _ in range(n))

    return [{"input": f"<s> {words(5)}", "output": f" {words(9)}"} for _ in range(TEXTS)]


def learned(method: str, *, unit: bool = False, **settings: float) -> torch.Tensor:
    """The direction after each step."""
    utils = importlib.import_module("axbench.utils.model_utils")
    kind = {"LsReFT": "lsreft", "SteeringVector": "steering_vector"}[method]
    folder = FIXTURES / "steering" / "llama"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    trainer = getattr(importlib.import_module(f"axbench.models.{kind}"), method)(
        model,
        tokenizer,
        layer=LAYER,
        training_args=SimpleNamespace(**SETTINGS, topk=8, **settings),
        device="cpu",
        seed=SEED,
    )
    trainer.make_model(mode="train", low_rank_dimension=1, intervention_type="addition")
    steps = []

    def keep(*_: object) -> None:
        if unit:
            utils.set_decoder_norm_to_unit_norm(trainer.ax)
        steps.append(trainer.ax.proj.weight.detach()[0].clone())

    if unit:
        utils.set_decoder_norm_to_unit_norm(trainer.ax)
    handle = register_optimizer_step_post_hook(keep)
    trainer.train(pd.DataFrame(texts()), prefix_length=1, positions="all", exclude_bos=True)
    handle.remove()
    return torch.stack(steps)


def main() -> None:
    place = axbench()
    torch.distributed.get_rank = lambda: 0
    interventions = importlib.import_module("axbench.models.interventions")
    utils = importlib.import_module("axbench.utils.model_utils")
    torch.manual_seed(SEED)
    x, w = torch.randn(3, 12, D), torch.nn.functional.normalize(torch.randn(D), dim=-1)
    intervention = interventions.TopKReLUIntervention(embed_dim=D, low_rank_dimension=1)
    intervention.proj.weight.data = w[None]
    changed = intervention(x, subspaces={"k": 8})
    penalties = [utils.calculate_l1_losses(*(part[i : i + 1] for part in changed.latent)) for i in range(len(x))]
    tensors = {
        "x": x,
        "w": w,
        "changed": changed.output,
        "penalties": torch.stack(penalties),
        "reft": learned("LsReFT", coeff_latent_l1_loss=0.005),
        "reft_unit": learned("LsReFT", coeff_latent_l1_loss=0.005, unit=True),
        "steering_vector": learned("SteeringVector"),
    }
    FOLDER.mkdir(exist_ok=True)
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, FOLDER / "axbench.safetensors")
    (FOLDER / "texts.json").write_text(json.dumps(texts(), indent=1) + "\n")
    command = ["git", "-C", str(place), "rev-parse", "HEAD"]
    commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    versions = {package: version(package) for package in ("torch", "transformers", "pyvene")} | {"axbench": commit}
    (FOLDER / "axbench.json").write_text(json.dumps(versions, indent=1) + "\n")


if __name__ == "__main__":
    main()
