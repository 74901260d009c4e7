"""What steering costs while text is written, beside plain transformers in the same run.

Greedy, one edit at one layer. Steering is timed at strength 0, where it does all its work and writes the same tokens
as plain `generate`. Every round runs each variant once. Figures are medians over rounds; differences and ratios are
medians of the rounds' own; the best round stands beside, since other work on the machine can only add time.

    python benchmarks/generation.py FOLDER_OR_NAME  # of a model
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from statistics import median

import pandas as pd
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedModel
from transformers.utils import logging

import steerkit as sk

PROMPT = "Once upon a time, there was a little girl named Lily. She liked to play with her toys. One day,"
STRENGTHS = [-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0]


def variants(model: sk.Model, module: PreTrainedModel, n_new: int) -> dict[str, Callable[[], list[int]]]:
    """What is timed; each returns the new tokens of one text. `module` is the same model as transformers loads it."""
    site = f"{(model.n_layers - 1) // 2}.resid_post"
    generator = torch.Generator().manual_seed(0)
    vector = sk.Vector({site: torch.randn(model.d_model, generator=generator)}, "random")
    ids = torch.tensor([model.encode(PROMPT).ids], device=model.device)
    lm = model.nnsight
    layer = lm.get(module_path(model, site))
    config = GenerationConfig(
        max_new_tokens=n_new, do_sample=False, pad_token_id=0, eos_token_id=sorted(model._runner.end)
    )
    mask = torch.ones_like(ids)

    def plain() -> list[int]:
        return module.generate(ids, attention_mask=mask, generation_config=config)[0, ids.shape[1] :].tolist()

    def bare_nnsight() -> list[int]:
        nothing = torch.zeros(model.d_model, device=model.device)
        with lm.generate(generation_config=config, streamer=None) as tracer:
            with tracer.invoke(input_ids=ids):
                for _ in tracer.iter[:]:
                    layer.output = layer.output + nothing
            with tracer.invoke():
                out = tracer.result.save()
        return out[0, ids.shape[1] :].tolist()

    def steered() -> list[int]:
        return model.generate(PROMPT, [vector.add(0)], max_new_tokens=n_new, temperature=0).token_ids

    def sweep() -> list[int]:
        return model.sweep(PROMPT, vector.add(0), STRENGTHS, max_new_tokens=n_new, temperature=0)[0].token_ids

    return {"plain generate": plain, "bare nnsight edit": bare_nnsight, "steered": steered, "sweep of 8": sweep}


def module_path(model: sk.Model, site: str) -> str:
    """Module whose output is at the site."""
    return model._runner.sites.locate(sk.Site.parse(site)).module


def measure(model: sk.Model, module: PreTrainedModel, n_new: int, rounds: int) -> pd.DataFrame:
    """Milliseconds a run and a new token, and ratios, by variant."""
    runs = variants(model, module, n_new)
    tokens = {name: run() for name, run in runs.items()}  # warm-up
    plain = tokens["plain generate"]
    for name in ("bare nnsight edit", "steered"):
        if tokens[name] != plain:
            raise SystemExit(f"{name} wrote other tokens than plain generate")
    elapsed: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            elapsed[name].append((time.perf_counter() - start) * 1e3)
    frame = pd.DataFrame({"ms a run": {name: median(times) for name, times in elapsed.items()}})
    frame["ms a token"] = frame["ms a run"] / len(plain)
    best = {name: min(times) / len(plain) for name, times in elapsed.items()}
    base = elapsed["plain generate"]
    extra = {name: [t - b for t, b in zip(times, base, strict=True)] for name, times in elapsed.items()}
    frame["over plain, ms a token"] = {name: median(differences) / len(plain) for name, differences in extra.items()}
    frame["best round over plain, ms a token"] = {name: time - best["plain generate"] for name, time in best.items()}
    for other in ("plain generate", "steered"):
        frame[f"times {other}"] = {
            name: median(t / b for t, b in zip(times, elapsed[other], strict=True)) for name, times in elapsed.items()
        }
    frame["tokens"] = len(plain)
    return frame


def main() -> None:
    """Print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", default="generation.csv")
    options = parser.parse_args()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", message=".*the loop asked for a step the run did not make")
    model = sk.load(options.model)
    module = AutoModelForCausalLM.from_pretrained(options.model, dtype=model.dtype).to(model.device).eval()
    frame = measure(model, module, options.new_tokens, options.rounds)
    frame.to_csv(options.output, index_label="variant")
    print(frame.to_string(float_format="{:.3f}".format))
    print(f"CSV in {options.output}")


if __name__ == "__main__":
    main()
