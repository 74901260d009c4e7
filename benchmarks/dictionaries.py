"""What reading and steering with dictionaries costs in time and memory.

Encoding: all features of random weights, with as many active at a token as published dictionaries have, beside the bare
float32 product of the activations and the encoder in the same run. Every round runs each variant once. Throughput is in
times the product's: from the best round of each, since other work on the machine can only add time, and the median over
rounds of the rounds' own. Extra memory is the peak above what the process held before, results included, each in a
process of its own. Agreement is the share of the active features that both have, among those that either has
(intersection over union), with the features that the product in float32 finds. A batch top-k dictionary is read with
one threshold for all its features, so as JumpReLU.

Opening: a dictionary of 65,536 features over 8,192 dimensions in Goodfire's format is written to a temporary folder
(2 GB), opened, and one of its features steers a random Llama of one layer of that width, all in a fresh process.

    python benchmarks/dictionaries.py
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch

SIZES = [(768, 24_576), (768, 32_768), (2304, 16_384), (2304, 65_536)]
ACTIVATIONS = ["ReLU", "JumpReLU", "top-k", "batch top-k"]
DTYPES = [torch.float32, torch.bfloat16]
ACTIVE = 64  # features at a token


def make(kind: str, W_enc: torch.Tensor, bar: float) -> Any:
    """A dictionary whose pre-activations exceed `bar` at `ACTIVE` features of a token, on average."""
    from steerkit.dictionaries.activations import JumpReLU, ReLU, TopK
    from steerkit.dictionaries.dictionary import Dictionary
    from steerkit.dictionaries.matrix import InMemory
    from steerkit.dictionaries.parts import Parts

    n_features = W_enc.shape[1]
    bias, spread = torch.zeros(n_features), torch.linspace(-0.2, 0.2, n_features)
    match kind:
        case "ReLU":
            bias, activation = bias - bar, ReLU()
        case "JumpReLU":
            activation = JumpReLU(bar + spread)
        case "top-k":
            activation = TopK(ACTIVE)
        case "batch top-k":
            activation = JumpReLU(torch.full((n_features,), bar))
    decoder = InMemory(torch.zeros(n_features, 1))
    return Dictionary(Parts("random", decoder, torch.zeros(1), activation, InMemory(W_enc), bias), kind)


def make_weights(d: int, n_features: int, n_tokens: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Activations, an encoder, and what `ACTIVE` features of a token exceed."""
    generator = torch.Generator().manual_seed(0)
    x, W_enc = torch.randn(n_tokens, d, generator=generator), torch.randn(d, n_features, generator=generator) / d**0.5
    some = (x[:64] @ W_enc).flatten()
    return x, W_enc, some.kthvalue(len(some) - 64 * ACTIVE).values.item()


def clock(device: torch.device) -> float:
    """Seconds, when the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def held(line: str) -> float:
    """MB that this process holds (`VmRSS`), or has held at most (`VmHWM`)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").split()
    return int(status[status.index(f"{line}:") + 1]) * 1024 / 1e6


def extra_memory(run: Callable[[], object], device: torch.device) -> float:
    """MB above what was held before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 1e6
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is the present
    before = held("VmRSS")
    run()
    return held("VmHWM") - before


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def encoding_memory(
    d: int, n_features: int, n_tokens: int, kind: str | None, dtype: torch.dtype, device: torch.device
) -> float:
    """MB that encoding takes, or the bare product without a kind; libraries are loaded and weights placed before."""
    x, W_enc, bar = make_weights(d, n_features, n_tokens)
    x = x.to(device)
    if kind is None:
        W_enc = W_enc.to(device, dtype)
        run = lambda tokens: tokens.to(dtype) @ W_enc  # noqa: E731
    else:
        dictionary = make(kind, W_enc, bar)
        run = lambda tokens: dictionary.encode(tokens, dtype=dtype)  # noqa: E731
    with torch.inference_mode():
        run(x[:8])
        return extra_memory(lambda: run(x), device)


def agreement(found: Any, exact: Any) -> float:
    """Intersection over union of the active features of all tokens."""
    pairs = [codes.tokens * codes.shape[-1] + codes.features for codes in (found, exact)]
    both = torch.isin(*pairs).sum().item()
    return both / (len(pairs[0]) + len(pairs[1]) - both)


def encoding(d: int, n_features: int, n_tokens: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    """Rows of the table, for one size."""
    x, W_enc, bar = make_weights(d, n_features, n_tokens)
    dictionaries = {kind: make(kind, W_enc, bar) for kind in ACTIVATIONS}
    x, W_enc = x.to(device), W_enc.to(device)
    bare = {dtype: (x.to(dtype), W_enc.to(dtype)) for dtype in DTYPES}
    runs: dict[tuple[str | None, torch.dtype], Callable[[], Any]] = {}
    for dtype in DTYPES:
        runs[None, dtype] = lambda dtype=dtype: bare[dtype][0] @ bare[dtype][1]
        for kind, dictionary in dictionaries.items():
            runs[kind, dtype] = lambda dictionary=dictionary, dtype=dtype: dictionary.encode(x, dtype=dtype)
    elapsed: dict[tuple[str | None, torch.dtype], list[float]] = {key: [] for key in runs}
    rows = []
    with torch.inference_mode():
        for kind, dtype in runs:  # warm-up
            row = {"d_model": d, "features": n_features, "activation": kind or "bare product", "dtype": str(dtype)[6:]}
            rows.append(row)
            if kind is None:
                runs[kind, dtype]()
                continue
            exact, found = dictionaries[kind].encode(x), runs[kind, dtype]()
            row["active at a token"] = len(found.values) / n_tokens
            row["agreement"] = agreement(found, exact)
        for _ in range(rounds):
            for key, run in runs.items():
                start = clock(device)
                run()
                elapsed[key].append(clock(device) - start)
    base = elapsed[None, torch.float32]
    for (kind, dtype), row in zip(runs, rows, strict=True):
        times = elapsed[kind, dtype]
        row["tokens/s"] = n_tokens / min(times)
        row["times product, best"] = min(base) / min(times)
        row["median"] = median(b / t for b, t in zip(base, times, strict=True))
        row["extra MB"] = in_fresh_process(encoding_memory, d, n_features, n_tokens, kind, dtype, device)
    return rows


def write_dictionary(path: Path, n_features: int, d: int) -> None:
    """A random dictionary as Goodfire publishes them, in bfloat16."""
    torch.manual_seed(0)
    tensors = {
        "encoder_linear.weight": torch.empty(n_features, d, dtype=torch.bfloat16).normal_(std=d**-0.5),
        "encoder_linear.bias": torch.zeros(n_features, dtype=torch.bfloat16),
        "decoder_linear.weight": torch.empty(d, n_features, dtype=torch.bfloat16).normal_(std=d**-0.5),
        "decoder_linear.bias": torch.zeros(d, dtype=torch.bfloat16),
    }
    torch.save(tensors, path)


def write_model(folder: Path, d: int) -> None:
    """A random Llama of one layer, with bytes as tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytelevel = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    bytelevel.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytelevel.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=bytelevel).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(names),
        hidden_size=d,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=4,
        head_dim=64,
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def opening(dictionary_path: Path, model_path: Path) -> list[dict[str, Any]]:
    """Seconds and MB of each step in a process that has imported torch before."""
    rows: list[dict[str, Any]] = []
    state: dict[str, Any] = {}
    peaks: list[float] = []

    def importing() -> None:
        import steerkit

        state["steerkit"] = steerkit

    def loading() -> None:
        state["model"] = state["steerkit"].load(str(model_path), device="cpu", dtype="float32")

    def writing() -> None:
        state["plain"] = state["model"].generate("Once", max_new_tokens=8, temperature=0).token_ids

    def opening_it() -> None:
        state["dictionary"] = state["steerkit"].load_dictionary(str(dictionary_path), site="0.resid_post")

    def steering(operator: str, index: int) -> None:
        edit = getattr(state["dictionary"][index], operator)(40.0)
        steered = state["model"].generate("Once", [edit], max_new_tokens=8, temperature=0).token_ids
        if steered == state["plain"]:
            raise SystemExit("steering changed nothing")

    def step(name: str, run: Callable[[], None]) -> None:
        before, start = held("VmRSS"), time.perf_counter()
        extra = extra_memory(run, torch.device("cpu"))
        rows.append({"step": name, "seconds": time.perf_counter() - start, "extra MB": extra})
        peaks.append(before + extra)

    beginning = held("VmRSS")
    step("import steerkit", importing)
    step("load the model", loading)
    step("generate 8 tokens", writing)
    step("generate 8 tokens again", writing)
    step("open the dictionary", opening_it)
    step("add a feature, generate 8 tokens", lambda: steering("add", 40_000))
    step("set another, generate 8 tokens", lambda: steering("set", 50_000))
    weights = sum(parameter.nbytes for parameter in state["model"].nnsight.parameters()) / 1e6
    rows.append({"step": "all, less the model's weights", "extra MB": max(peaks) - beginning - weights})
    return rows


def main() -> None:
    """Print the tables and write them as CSV."""
    import pandas as pd

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", default="dictionaries.csv")
    parser.add_argument("--opening-output", default="dictionaries_opening.csv")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dictionary, model = Path(folder) / "dictionary.pt", Path(folder) / "model"
        in_fresh_process(write_dictionary, dictionary, 65_536, 8192)
        in_fresh_process(write_model, model, 8192)
        frame = pd.DataFrame(in_fresh_process(opening, dictionary, model))
    frame.to_csv(options.opening_output, index=False)
    print(frame.to_string(index=False, float_format="{:.3f}".format), flush=True)
    devices = [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]
    rows = []
    for device in devices:
        for d, n_features in SIZES:
            table = encoding(d, n_features, options.tokens, options.rounds, device)
            rows += [{"device": device.type, **row} for row in table]
            print(pd.DataFrame(rows[-len(table) :]).to_string(index=False, float_format="{:.3f}".format), flush=True)
    pd.DataFrame(rows).to_csv(options.output, index=False)
    print(f"CSV in {options.output} and {options.opening_output}")


if __name__ == "__main__":
    main()
