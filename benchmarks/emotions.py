"""How well learned directions tell texts apart that they were not learned from: method by method, layer by layer.

On a small model: emotions of GoEmotions (Reddit comments with one label alone), learned from its development file and
tested on its test file; and the contrast pairs beside it, every other one learned from and the rest tested on. AUROC
with bounds of 95% confidence; 0.5 is chance.

    python benchmarks/emotions.py [--model FOLDER] [--data FOLDER] [--tokens mean] [--csv emotions.csv]
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

import steerkit as sk
from steerkit.learn import Examples, lat, mean_difference, principal_component, probe
from steerkit.ranks import auroc, auroc_interval

DATA = Path(__file__).parents[2] / "shared/data"
EMOTIONS = (("joy", "sadness"), ("love", "anger"), ("gratitude", "annoyance"), ("amusement", "fear"))
PAIRED = {
    "PCA of differences": principal_component,
    "PCA of centred pairs": partial(principal_component, of="centred pairs"),
}
UNPAIRED: dict[str, Callable[..., sk.Vector]] = {
    "mean difference": mean_difference,
    "LAT": lat,
    "logistic probe": partial(probe, C=0.01),
    "least squares": partial(probe, loss="squared"),
}


def emotions(folder: Path) -> Iterator[tuple[str, Examples, Examples]]:
    """What to learn from and what to test on, for each pair of emotions."""
    names = (folder / "labels.txt").read_text(encoding="utf-8").split()
    files = []
    for name in ("dev.tsv", "test.tsv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        single = {text: names[int(labels)] for text, labels, _ in rows if "," not in labels}
        files.append((list(single), list(single.values())))
    for positive, negative in EMOTIONS:
        learned, tested = (Examples.from_labels(*file, positive, negative) for file in files)
        yield f"{positive} – {negative}", learned, tested


def pairs(folder: Path) -> Iterator[tuple[str, Examples, Examples]]:
    """The same for each file of contrast pairs, every other one to learn from."""
    for path in sorted(folder.glob("*_continuations/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        texts = [(f"You are an author {one}.", f"You are an author {other}.") for one, other in content["data"]]
        yield " – ".join(content["classes"]), Examples.from_pairs(texts[::2]), Examples.from_pairs(texts[1::2])


def told_apart(model: sk.Model, vector: sk.Vector, examples: Examples, tokens: str) -> Iterator[dict]:
    """AUROC and its bounds at each site of a vector."""
    n, m = len(examples.positives), len(examples.negatives)
    read = model.gather([*examples.positives, *examples.negatives], vector.sites, tokens=tokens)
    for site, x in read.activations.items():
        area = auroc((x @ vector[site])[:, None], (torch.arange(n + m) < n)[:, None]).item()
        low, high = auroc_interval(area, n, m)
        yield {"site": str(site), "positives": n, "negatives": m, "auroc": area, "low": low, "high": high}


def main() -> None:
    """Print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "text")
    parser.add_argument("--model", default=str(DATA / "models/tinystories656K"))
    parser.add_argument("--tokens", default="mean", choices=["mean", "last"])
    parser.add_argument("--csv", default="emotions.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = sk.load(options.model)
    sets = [*emotions(options.data / "goemotions"), *pairs(options.data / "control_vector_pairs")]
    rows = []
    for name, learned, tested in tqdm(sets):
        for method, learn in (UNPAIRED | PAIRED if learned.paired else UNPAIRED).items():
            vector = learn(model, learned, tokens=options.tokens, held_out=0)
            for found in told_apart(model, vector, tested, options.tokens):
                rows.append({"set": name, "method": method, "learned from": len(learned)} | found)
    table = pd.DataFrame(rows)
    table.to_csv(options.csv, index=False)
    table["AUROC"] = [f"{row.auroc:.2f} ({row.low:.2f}–{row.high:.2f})" for row in table.itertuples()]
    table["n"] = [f"{row.positives}+{row.negatives}" for row in table.itertuples()]
    print(table.pivot(index=["set", "n", "method"], columns="site", values="AUROC").to_string())


if __name__ == "__main__":
    main()
