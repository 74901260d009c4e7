"""How well storybook's supervised dictionary, learned by ReFT-r1, detects and steers, beside the difference of means.

    python benchmarks/storybook_supervised.py --learned storybook/reft_l4 --means build/means_l4

`--means` is what `python -m steerkit.storybook.train supervised` leaves beside the model. Everything is measured on
held-out stories: for detection, a feature's largest activation in a sentence against the answer key; for steering, as
`storybook_steering.py` does. Tables are printed, and written as CSV with a row a concept.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd
import torch
from storybook_quality import SEED, detection, interval
from storybook_steering import NATS, steering

import steerkit as sk
from steerkit import storybook
from steerkit.storybook.measures import read_stories

STORIES = 400
ENOUGH, NEAR = 0.95, 0.02


def compared(measure: str, learned: pd.Series, means: pd.Series) -> dict[str, object]:
    """A line of the table: two means, and their difference with a 95% bootstrap interval over concepts."""
    difference = torch.tensor((learned - means).to_numpy())
    low, high = interval(difference)
    return {
        "measure": measure,
        "ReFT-r1": learned.mean(),
        "means": means.mean(),
        "difference": difference.mean().item(),
        "low": low,
        "high": high,
    }


def main() -> None:
    """Print the tables and write what they rest on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="storybook", help="the embedded model, or a folder")
    parser.add_argument("--learned", default="storybook/reft_l4", help="the supervised dictionary: a name or folder")
    parser.add_argument("--means", required=True, help="folder of the differences of means")
    parser.add_argument("--concepts", type=int, default=72, help="how many are steered, evenly spread")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that steer")
    parser.add_argument("--output", type=Path, default=Path("storybook_supervised"))
    options = parser.parse_args()
    model = sk.load(options.model)
    stories = list(storybook.corpus(SEED, STORIES, split="held_out"))
    kinds = {"ReFT-r1": options.learned, "means": options.means}
    own = torch.eye(len(storybook.concepts()))  # feature i is concept i's
    told = {
        kind: detection(own, read_stories(model, sk.load_dictionary(place), stories)) for kind, place in kinds.items()
    }
    table = [
        compared("AUROC", told["ReFT-r1"].auroc, told["means"].auroc),
        compared("AUROC of words never shown", told["ReFT-r1"].unseen_words, told["means"].unseen_words),
        compared("AUROC within the family", told["ReFT-r1"].in_family, told["means"].in_family),
        compared(f"AUROC of {ENOUGH} reached", *((told[kind].auroc >= ENOUGH).astype(float) for kind in kinds)),
    ]
    if options.concepts:
        names = storybook.concepts()
        chosen = {names[i]: [i] for i in torch.linspace(0, len(names) - 1, options.concepts).round().int().tolist()}
        rows = {kind: steering(options.model, chosen, options.workers, place)[0] for kind, place in kinds.items()}
        for kind, found in rows.items():
            found.to_csv(f"{options.output}_steering_{kind}.csv", index=False)
        table += [
            compared("stories steered, at their best strength", *(found.share for found in rows.values())),
            compared("nats a token that it costs", *(found.nats for found in rows.values())),
            compared(f"concepts steered at {NATS} nats", *(_steers(found) for found in rows.values())),
        ]
    for kind, found in told.items():
        found.to_csv(f"{options.output}_detection_{kind}.csv", index=False)
    frame = pd.DataFrame(table)
    frame.to_csv(f"{options.output}.csv", index=False)
    print(frame.to_string(index=False, float_format="{:.3f}".format))
    reached = int((told["ReFT-r1"].auroc >= ENOUGH).sum())
    print(f"{reached} of {len(told['ReFT-r1'])} concepts told with AUROC {ENOUGH}; aim: 60 of 64")
    print(f"detection within {NEAR} of the means: {table[0]['difference'] >= -NEAR}")


def _steers(found: pd.DataFrame) -> pd.Series:
    return (found.steers & (found.nats <= NATS)).astype(float)


if __name__ == "__main__":
    main()
