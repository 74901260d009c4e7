"""What editing features costs in the program itself, over a plain decode step.

A random dictionary as wide as GPT-2's, a plan of 1, 8 and 64 of its features, one token: the masks, the coefficients
and what is written, without nnsight around it. Beside it a decode step of a random GPT-2 of 124M parameters.

    python benchmarks/edits.py [--csv edits.csv]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import pandas as pd
import torch
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from steerkit.compiling import compile_plans
from steerkit.dictionaries.activations import Activation, JumpReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.edits import Edit
from steerkit.engines.live import Live
from steerkit.plans import Plan
from steerkit.scope import Layout
from steerkit.sites import Site, SiteMap

D_MODEL, N_FEATURES, N_PROMPT = 768, 24_576, 16
BOUNDS = {1: 0.3, 8: 0.6, 64: 1.5}  # milliseconds


def dictionary(activation: Activation) -> Dictionary:
    """A random dictionary at the output of layer 6."""
    noise = torch.Generator().manual_seed(0)
    site = Site(6, "resid_post")
    parts = Parts(
        format="random",
        W_dec=InMemory(torch.randn(N_FEATURES, D_MODEL, generator=noise) / D_MODEL**0.5),
        b_dec=torch.zeros(D_MODEL),
        activation=activation,
        W_enc=InMemory(torch.randn(D_MODEL, N_FEATURES, generator=noise) / D_MODEL**0.5),
        b_enc=torch.zeros(N_FEATURES),
        site_in=site,
        site_out=site,
    )
    return Dictionary(parts, "random")


def edits_of(features: Dictionary, count: int) -> list[Edit]:
    """Edits by every kind of operator in turn."""
    makers = (
        lambda f: f.add(2),
        lambda f: f.set(1),
        lambda f: f.at_least(0.5),
        lambda f: f.scale(0),
        lambda f: f.cap(0, 1),
    )
    return [makers[i % len(makers)](features[i * 11]) for i in range(count)]


def in_milliseconds(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """Median and mean of a call, after a tenth as many to warm up."""
    for _ in range(calls // 10):
        call()
    took = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return 1000 * median(took), 1000 * sum(took) / calls


@torch.inference_mode()
def edit_step(model: GPT2LMHeadModel, plan: Plan) -> Callable[[], object]:
    """What one decoded token costs in the program."""
    program = compile_plans(
        [plan], SiteMap(model, "gpt2"), model, torch.zeros(model.config.vocab_size, dtype=torch.bool)
    )
    live, (stop,) = Live(program), program.stops
    ids = torch.randint(model.config.vocab_size, (1, N_PROMPT + 1), generator=torch.Generator().manual_seed(0))
    layout = Layout(torch.ones(1, N_PROMPT + 1, dtype=torch.bool), torch.tensor([N_PROMPT]))
    hidden = torch.randn(1, 1, D_MODEL)

    def call() -> None:
        live.begin(ids, N_PROMPT, layout)
        live._edit(None, stop, hidden, {})

    return call


@torch.inference_mode()
def decode_step(model: GPT2LMHeadModel) -> Callable[[], object]:
    """A plain decode step with a cache of 16 tokens."""
    cache = DynamicCache(config=model.config)
    model(input_ids=torch.zeros(1, N_PROMPT, dtype=torch.long), past_key_values=cache)
    token = torch.zeros(1, 1, dtype=torch.long)

    def call() -> None:
        model(input_ids=token, past_key_values=cache)
        cache.crop(-1)

    return call


def main() -> None:
    """Print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--csv", default="edits.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = GPT2LMHeadModel(GPT2Config()).eval()
    rows = []
    with torch.inference_mode():
        step, _ = in_milliseconds(decode_step(model), 50)
        activations = {"JumpReLU": JumpReLU(torch.full((N_FEATURES,), 0.5)), "top-k": TopK(64)}
        for name, activation in activations.items():
            features = dictionary(activation)
            for count, bound in BOUNDS.items():
                calls = options.calls if name == "JumpReLU" else options.calls // 20  # it reads the whole encoder
                typical, mean = in_milliseconds(edit_step(model, Plan(edits_of(features, count))), calls)
                rows.append(
                    {
                        "activation": name,
                        "features": count,
                        "calls": calls,
                        "median ms": typical,
                        "mean ms": mean,
                        "at most": bound if name == "JumpReLU" else None,
                        "of a decode step": typical / step,
                    }
                )
    table = pd.DataFrame(rows)
    print(f"plain decode step of {model.num_parameters() / 1e6:.0f}M parameters: {step:.2f} ms")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
