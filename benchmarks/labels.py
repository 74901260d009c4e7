"""How long a keystroke in the label search takes, over as many labels as the largest dictionaries have features.

The labels are made up: sentences like those of Neuronpedia's explainers, over a vocabulary of invented words that is
used as language uses words (Zipf). Every search is typed letter by letter, some with a mistake, and every keystroke
asks for the 20 best.

    python benchmarks/labels.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from steerkit.dictionaries.labels import Labels

SYLLABLES = [a + b + c for a in "bcdfglmnprst" for b in "aeiou" for c in ("", "n", "r", "s", "l")]
FORMS = [
    "references to {} and {}",
    "{} in the context of {}",
    "phrases related to {}, {} and {}",
    "mentions of {} or {} in {} {}",
    "the word {} at the beginning of a sentence",
    "{}",
    "{} {}",
]


def make_labels(n_labels: int, n_words: int, random: np.random.Generator) -> tuple[dict[int, str], list[str]]:
    """Labels, and the words in them from frequent to rare."""
    invented: dict[str, None] = {}
    while len(invented) < n_words:
        invented.setdefault("".join(random.choice(SYLLABLES, random.integers(1, 5))))
    words = list(invented)
    frequency = 1 / np.arange(5, n_words + 5)
    drawn = iter(random.choice(n_words, 5 * n_labels, p=frequency / frequency.sum()))
    labels = {}
    for index in range(n_labels):
        form = FORMS[index % len(FORMS)]
        labels[index] = form.format(*(words[next(drawn)] for _ in range(form.count("{}"))))
    return labels, words


def searches(labels: dict[int, str], words: list[str], random: np.random.Generator) -> dict[str, list[str]]:
    """Texts to type, by kind."""
    long = [word for word in words if len(word) > 5]
    some = [long[i] for i in random.integers(0, len(long), 40)]
    return {
        "a word": some,
        "a frequent word": [*words[:20], "references to", "the", "context"],
        "two words": [" ".join(label.split()[-2:]) for label in list(labels.values())[:40]],
        "a whole label": [labels[int(i)] for i in random.integers(0, len(labels), 20)],
        "a word mistyped": [word[:2] + word[3] + word[2] + word[4:] for word in some],
        "no such word": ["qqxxzz", "zzyzx weather", "!!"],
    }


def main() -> None:
    """Print milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=131_072)
    parser.add_argument("--words", type=int, default=40_000)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    texts, words = make_labels(arguments.labels, arguments.words, random)
    with tempfile.TemporaryDirectory() as folder:
        for place in (None, Path(folder) / "labels.sqlite"):
            labels = Labels(place)
            start = time.perf_counter()
            labels.add(texts, source="made up")
            first = time.perf_counter()
            labels.search("mistaek")
            size = f", {place.stat().st_size / 2**20:.0f} MiB" if place else ""
            print(f"{'in a file' if place else 'in memory'}: {len(texts):,} labels, {len(words):,} words{size}")
            print(f"  import {first - start:.2f} s, first search {1e3 * (time.perf_counter() - first):.0f} ms")
            every = []
            for kind, typed in searches(texts, words, random).items():
                elapsed, slowest = [], defaultdict(float)
                for text in typed:
                    for length in range(1, len(text) + 1):
                        start = time.perf_counter()
                        labels.search(text[:length])
                        elapsed.append(1e3 * (time.perf_counter() - start))
                        slowest[text[:length]] = elapsed[-1]
                every += elapsed
                middle, late = np.median(elapsed), np.percentile(elapsed, 95)
                worst = max(slowest, key=slowest.__getitem__)
                print(
                    f"  {kind:16} median {middle:6.2f} ms, 95% {late:6.2f} ms, most {max(elapsed):6.1f} ms ({worst!r})"
                )
            print(f"  {'every keystroke':16} median {np.median(every):6.2f} ms, 95% {np.percentile(every, 95):6.2f} ms")
            labels.close()


if __name__ == "__main__":
    main()
