"""Time and memory of learning a direction at every layer, beside repeng and beside the bare forward passes.

Each in a process of its own, in turns, so that what disturbs one disturbs all: the bare passes of transformers over
the texts batched by length, from token ids on; principal components of the differences with steerkit, from texts to a
vector with its quality; and the same with repeng in an environment of its own, with a batch of 32 as it does by
default. Memory is the most that a process held beyond what it held with the model loaded and one text read.

    python -m venv peer && peer/bin/pip install torch "repeng==0.4.0"
    python benchmarks/learn.py --repeng peer/bin/python [--model FOLDER] [--pairs 256] [--csv learn.csv]

Without `--model`, a GPT-2 of 124M random parameters, in a folder that is made for it. Without `--repeng`, the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SENTENCE = "the old dog and a sad cat went to the big red house on a day of rain and then the girl saw the sun and ran"
PAIRS_SEED, WARM = 0, "One day."
AT_LEAST_SPEED, AT_MOST_MEMORY = 0.9, 0.25


def texts(n_pairs: int) -> tuple[list[str], list[str]]:
    """Pairs of texts of 12 to 36 words that differ in one."""
    draw = random.Random(PAIRS_SEED)
    bodies = [" ".join(draw.choices(SENTENCE.split(), k=draw.randint(11, 35))) for _ in range(n_pairs)]
    return [f"{body} happy" for body in bodies], [f"{body} sad" for body in bodies]


class Peak:
    """Bytes that this process has held at most since, beyond what it held then."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the maximum
        self._before = self._held()

    def _held(self) -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])

    def bytes(self) -> int:
        """How many."""
        return self._held() - self._before


def measured(run) -> dict[str, float]:
    """Wall time, processor time and peak memory of a call."""
    peak, before, start = Peak(), resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "processor": used, "MiB": peak.bytes() / 2**20}


def with_steerkit(model: str, positives: list[str], negatives: list[str], bare: bool) -> dict[str, float]:
    """Time and memory of steerkit's method, or of transformers alone on the same token ids in the same batches."""
    import torch

    import steerkit as sk
    from steerkit.batching import in_batches

    loaded = sk.load(model)
    transformer = loaded.nnsight._module
    prompts = [text.prompt for text in loaded.encode_all([*positives, *negatives])]

    def forward(batch: list[int]) -> None:
        width = max(len(prompts[i]) for i in batch)
        padding = [width - len(prompts[i]) for i in batch]
        ids = torch.tensor([(0,) * n + prompts[i].ids for n, i in zip(padding, batch, strict=True)])
        real = torch.arange(width) >= torch.tensor(padding)[:, None]
        transformer(
            input_ids=ids,
            attention_mask=real.long(),
            position_ids=(real.cumsum(-1) - 1).clamp_min(0),
            use_cache=False,
            logits_to_keep=1,
        )

    @torch.inference_mode()
    def passes() -> None:
        for _ in in_batches([len(prompt) for prompt in prompts], forward):
            pass

    def learn() -> None:
        sk.learn.principal_component(loaded, positives, negatives)

    sk.learn.mean_difference(loaded, [WARM], [WARM * 2], held_out=0)
    return measured(passes if bare else learn)


def with_repeng(model: str, positives: list[str], negatives: list[str]) -> dict[str, float]:
    """Time and memory of repeng's method."""
    import torch
    from repeng import ControlVector, DatasetEntry
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    entries = [DatasetEntry(*pair) for pair in zip(positives, negatives, strict=True)]
    everywhere = list(range(loaded.config.num_hidden_layers))
    with torch.inference_mode():
        loaded(**tokenizer(WARM, return_tensors="pt"))
    return measured(lambda: ControlVector.train(loaded, tokenizer, entries, hidden_layers=everywhere))


def random_gpt2(folder: str, tokenizer: Path) -> None:
    """Write a GPT-2 of 124M parameters that has learned nothing."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)
    GPT2Tokenizer(str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt")).save_pretrained(folder)


def in_process(python: str, what: str, options: argparse.Namespace, model: str) -> dict[str, float]:
    """What this file prints when it is called for one of the three."""
    command = [python, __file__, "--only", what, "--model", model, "--pairs", str(options.pairs)]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads), "TQDM_DISABLE": "1"}
    if what == "repeng":
        environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeng", help="the Python of an environment that has it")
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parents[2] / "shared/data/tokenizers/gpt2")
    parser.add_argument("--csv", default="learn.csv")
    parser.add_argument("--only", choices=["bare passes", "steerkit", "repeng"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        sides = texts(options.pairs)
        if options.only == "repeng":
            found = with_repeng(options.model, *sides)
        else:
            found = with_steerkit(options.model, *sides, bare=options.only == "bare passes")
        print(json.dumps(found))
        return
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            random_gpt2(folder, options.tokenizer)
        pythons = {"bare passes": sys.executable, "steerkit": sys.executable}
        pythons |= {"repeng": options.repeng} if options.repeng else {}
        rows = [
            {"what": what, "round": number} | in_process(python, what, options, options.model or folder)
            for number in range(options.rounds)
            for what, python in pythons.items()
        ]
    table = pd.DataFrame(rows)
    table.to_csv(options.csv, index=False)
    typical = table.groupby("what", sort=False)[["seconds", "processor", "MiB"]].agg(median)
    typical["speed"] = typical["seconds"]["bare passes"] / typical["seconds"]
    print(typical.to_string(float_format=lambda value: f"{value:.3f}"))
    speed = typical["speed"]["steerkit"]
    print(f"speed over the bare passes: {speed:.2f} (aim: {AT_LEAST_SPEED})")
    if options.repeng:
        memory = typical["MiB"]["steerkit"] / typical["MiB"]["repeng"]
        print(f"memory over repeng's: {memory:.2f} (aim: at most {AT_MOST_MEMORY})")


if __name__ == "__main__":
    main()
