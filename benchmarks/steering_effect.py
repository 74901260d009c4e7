"""How far a difference of means moves a story, and what that costs.

Learns `happy` from the pairs that come with steerkit, adds it to and takes it from stories, and counts words of
happiness that stand in none of the pairs. Ten random directions of the same norm stand beside it.

    python benchmarks/steering_effect.py FOLDER_OR_NAME  # of a model
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence

import pandas as pd
import torch

import steerkit as sk
from steerkit.demo import load_pairs

PROMPT = "Once upon a time, there was a little girl named Lily. One day, Lily went to the park"
# Feeling happy and showing it. Those that the pairs use are taken out below.
HAPPY = """
    amazing celebrate celebrated cheer cheered cheerful cheering cheers dance danced dancing delight
    delighted enjoy enjoyed enjoying excited excitedly exciting fun giggle giggled giggles giggling
    glad happier happiest happily happiness hooray hug hugged hugging hugs jolly joy joyful joyfully
    kiss kissed laugh laughed laughing laughs laughter love loved lovely loves loving merry pleased
    proud proudly sang sing singing smile smiled smiles smiling thrilled wonderful yay
"""


def unseen_words(texts: Sequence[str]) -> frozenset[str]:
    """Words of happiness that stand in none of the texts."""
    return frozenset(HAPPY.split()) - frozenset(words(" ".join(texts)))


def words(text: str) -> list[str]:
    """Words of a text, in lower case."""
    return re.findall(r"[a-z]+", text.lower())


def measure(
    model: sk.Model, strength: float, n_seeds: int = 40, n_random: int = 10, max_new_tokens: int = 100
) -> pd.DataFrame:
    """One row for the baseline, the direction and each random direction, added and taken away.

    Columns: `direction`, `sign`, `happy` (unseen words of happiness over all seeds), `nats` (nats a token of the new
    texts under the unsteered model) and `repetition` (mean share of repeated 4-grams).
    """
    name, positives, negatives = load_pairs()
    site = "0.resid_post"
    counted = unseen_words([*positives, *negatives])
    happy = sk.learn.mean_difference(model, positives, negatives, [site], label=name)
    generator = torch.Generator().manual_seed(0)
    random = []
    for i in range(n_random):
        direction = torch.randn(len(happy[site]), generator=generator)
        random.append(sk.Vector({site: direction / direction.norm() * happy.norm(site)}, f"random {i}"))
    rows = [_row(model, "none", 0, (), counted, n_seeds, max_new_tokens)]
    for vector in [happy, *random]:
        for sign in (1, -1):
            edits = [vector.add(sign * strength)]
            rows.append(_row(model, vector.label, sign, edits, counted, n_seeds, max_new_tokens))
    return pd.DataFrame(rows)


def _row(model, direction, sign, edits, counted, n_seeds, max_new_tokens) -> dict[str, object]:
    runs = model.generate_many([PROMPT] * n_seeds, edits, seeds=range(n_seeds), max_new_tokens=max_new_tokens)
    runs = model.rescore(runs)
    found = Counter(word for run in runs for word in words(run.text))
    scores = torch.cat([run.unsteered_logprobs for run in runs])
    return {
        "direction": direction,
        "sign": sign,
        "happy": sum(found[word] for word in counted),
        "nats": -scores.mean().item(),
        "repetition": sum(run.repetition for run in runs) / n_seeds,
    }


def main() -> None:
    """Print the table and write it as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--strength", type=float, default=0.6)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--output", default="steering_effect.csv")
    options = parser.parse_args()
    frame = measure(sk.load(options.model), options.strength, options.seeds)
    baseline = frame.iloc[0]
    frame["nats over baseline"] = frame.nats - baseline.nats
    frame["repetition over baseline"] = frame.repetition - baseline.repetition
    frame.to_csv(options.output, index=False)
    print(frame.to_string(index=False, float_format="{:.3f}".format))
    plus, minus = frame.iloc[1], frame.iloc[2]
    print(f"\nhappy: {plus.happy} words under +, {minus.happy} under −, {baseline.happy} in the baseline: ", end="")
    print(f"{plus.happy / max(minus.happy, 1):.1f} times; CSV in {options.output}")


if __name__ == "__main__":
    main()
