"""What the embedded model, its dictionary and its labels can do, measured by the language's own answer key.

Everything is measured on held-out stories with fixed seeds. A table is printed and written as CSV, and beside it one
row a concept (detection, steering) and the curve of every strength that was tried.

    python benchmarks/storybook_quality.py --second build2/model

`--second` is a model of the same recipe, of another seed and split, that judges the sentences which the language itself
does not recognise; without it they are not judged. How to train it is in steerkit/storybook/files/README.md.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import storybook_start
import torch
from storybook_steering import NATS, TEMPERATURE, steering

import steerkit as sk
from steerkit import storybook
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.ranks import auroc
from steerkit.storybook.language.cast import genders
from steerkit.storybook.measures import Sentences, read_stories

SEED = 7  # of the held-out stories; labels were measured on others
SAMPLES, LENGTH = 60, 350
JUDGED = 240  # stories whose sentences are judged: few of them are ill-formed
REQUESTS = 128
STORIES = 800  # for detection, in two halves
RESAMPLES = 200
BATCH = 32


def interval(values: torch.Tensor, of: torch.Tensor | None = None) -> tuple[float, float]:
    """A 95% bootstrap interval of a mean; or of the ratio of two sums."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(values), (RESAMPLES * 5, len(values)), generator=generator)
    of = torch.ones(len(values)) if of is None else of
    ratios = values.float()[draws].sum(1) / of[draws].sum(1)
    low, high = ratios.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def row(
    measure: str,
    values: Sequence[float],
    target: float | None = None,
    of: Sequence[float] | None = None,
    *,
    most: bool = False,
) -> dict[str, object]:
    """A line of the table: a mean, or the ratio of two sums, with its interval."""
    counts = torch.ones(len(values)) if of is None else torch.tensor(of, dtype=torch.float)
    low, high = interval(torch.tensor(values, dtype=torch.float), counts)
    value = sum(values) / counts.sum().item()
    met = None if target is None else value <= target if most else value >= target
    return {"measure": measure, "value": value, "low": low, "high": high, "target": target, "met": met}


def count(measure: str, number: float, target: float, *, most: bool = False) -> dict[str, object]:
    """A line of the table: a number that is to be reached, or not to be passed."""
    return {
        "measure": measure,
        "value": number,
        "target": target,
        "met": number <= target if most else number >= target,
    }


def tell(model: sk.Model, prompts: Sequence, seed: int = 0) -> list[str]:
    """Stories to prompts, whole sentences only."""
    texts = []
    for start in range(0, len(prompts), BATCH):
        some = prompts[start : start + BATCH]
        seeds = range(seed + start, seed + start + len(some))
        runs = model.generate_many(some, seeds=seeds, max_new_tokens=LENGTH, temperature=TEMPERATURE)
        texts += [run.text if run.stopped == "end" else whole_sentences(run.text) for run in runs]
    return texts


def whole_sentences(text: str) -> str:
    """A text without the sentence in which it was cut off."""
    sentences = storybook.judge(text)
    return text if not sentences or text[-1] in '.!?"' else text[: sentences[-1].start].rstrip()


def fluency(model: sk.Model, second: sk.Model | None) -> list[dict[str, object]]:
    """How many sentences of stories from nothing are well formed, and how likely models find the others."""
    stories = tell(model, [[model.tokenizer.bos_token_id]] * JUDGED)
    judged = [storybook.judge(text) for text in stories]
    good = [sum(s.well_formed for s in found) for found in judged]
    repeated = max(
        times
        for text, found in zip(stories[:SAMPLES], judged[:SAMPLES], strict=True)
        for times in Counter(text[s.start : s.end] for s in found).values()
    )
    rows = [
        row("sentences well formed", good, 0.85, of=[len(found) for found in judged]),
        count("most repetitions of a sentence in a story", repeated, 2, most=True),
        {"measure": "children named in a story", "value": children(stories)},
        {"measure": "the same in the language", "value": children(own_stories())},
    ]
    others = [
        (before := text[: s.start].rstrip(), text[len(before) : s.end])
        for text, found in zip(stories, judged, strict=True)
        for s in found
        if not s.well_formed
    ]
    if others:
        rows.append(strangeness("nats a token of the others beyond held-out text", model, others))
    if others and second is not None:
        rows.append(strangeness("the same under the second model", second, others, 0.5))
    return rows


def own_stories() -> list[str]:
    """Held-out stories of the language, as many as are sampled."""
    return [told.text for told in storybook.corpus(SEED, SAMPLES, split="held_out")]


def children(stories: Sequence[str]) -> float:
    """How many different children a story names: one that drifts from child to child names many."""
    return sum(len(genders().keys() & set(re.findall(r"\w+", text))) for text in stories) / len(stories)


def strangeness(
    measure: str, judge: sk.Model, sentences: Sequence[tuple[str, str]], target: float | None = None
) -> dict[str, object]:
    """Nats a token that a model gives sentences, each after what stands before it, beyond held-out text."""
    usual = -torch.cat([judge.score(text) for text in own_stories()]).mean().item()
    nats = [-judge.score(sentence, prompt=before or None) for before, sentence in sentences]
    lengths = [len(found) for found in nats]
    beyond = [found.sum().item() - usual * n for found, n in zip(nats, lengths, strict=True)]
    return row(measure, beyond, target, of=lengths, most=True)


def instructions(model: sk.Model) -> list[dict[str, object]]:
    """How many stories have all that was asked for, and how many have it unasked."""
    asked = [storybook.instruction(SEED * 1000 + i, split="held_out") for i in range(REQUESTS)]
    answers = tell(model, [messages[:1] for messages, _ in asked])
    unasked = tell(model, [[model.tokenizer.bos_token_id]] * REQUESTS)
    follows, by_chance = (
        [float(set(told.about) <= storybook.expressed(text)) for text, (_, told) in zip(texts, asked, strict=True)]
        for texts in (answers, unasked)
    )
    return [
        row("instructed stories with all that was asked", follows, 0.9),
        row("the same without the instruction", by_chance),
    ]


def halves(model: sk.Model, features: Dictionary) -> tuple[torch.Tensor, Sentences]:
    """How well features tell concepts on one half of the stories, held-out lexemes left out; and the other half.

    Returns:
        (n_features, n_concepts) AUROC, and sentences.
    """
    stories = list(storybook.corpus(SEED, STORIES, split="held_out"))
    chosen_on = read_stories(model, features, stories[::2]).shown()
    return auroc(chosen_on.activations, chosen_on.expressed), read_stories(model, features, stories[1::2])


def detection(scores: torch.Tensor, tested_on: Sentences) -> pd.DataFrame:
    """The feature that tells each concept best, and how well it does on the other half."""
    rows = []
    names = storybook.concepts()
    for i, name in enumerate(names):
        feature = int(scores[:, i].argmax())
        family = next(members for members in storybook.families().values() if name in members)
        near = tested_on.expressed[:, [names.index(member) for member in family]].any(1)
        low, high = resampled(tested_on, feature, i)
        rows.append(
            {
                "concept": name,
                "feature": feature,
                "chosen": scores[feature, i].item(),
                "auroc": one_auroc(tested_on, feature, i),
                "low": low,
                "high": high,
                "in_family": one_auroc(tested_on, feature, i, near),
                "unseen_words": one_auroc(tested_on, feature, i, tested_on.unseen[:, i] | ~tested_on.expressed[:, i]),
            }
        )
    return pd.DataFrame(rows)


def one_auroc(sentences: Sentences, feature: int, concept: int, among: torch.Tensor | None = None) -> float:
    """AUROC of one feature for one concept, among some sentences."""
    kept = slice(None) if among is None else among
    return auroc(sentences.activations[kept, feature, None], sentences.expressed[kept, concept, None]).item()


def resampled(sentences: Sentences, feature: int, concept: int) -> tuple[float, float]:
    """A 95% bootstrap interval of an AUROC."""
    generator = torch.Generator().manual_seed(0)
    values, expressed = sentences.activations[:, feature], sentences.expressed[:, concept]
    n = len(values)
    found = []
    for _ in range(RESAMPLES):
        drawn = torch.randint(n, (n,), generator=generator)
        found.append(auroc(values[drawn, None], expressed[drawn, None]).item())
    low, high = torch.tensor(found).nanquantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def start() -> list[dict[str, object]]:
    """Seconds from `import steerkit` to the first steered token, and mebibytes: each round is a process of its own."""
    found = storybook_start.measure(rounds=3)
    return [
        count("seconds to the first steered token, offline", found.seconds.median(), 2.5, most=True),
        count("peak memory of that process, MiB", found.megabytes.max(), 800, most=True),
    ]


def explained(model: sk.Model, features: Dictionary) -> list[dict[str, object]]:
    """How much of the model the dictionary keeps."""
    texts = [told.text for told in storybook.corpus(SEED + 2, 200, split="held_out")]
    found = features.self_test(model, texts)
    more = [told.text for told in storybook.corpus(SEED + 3, 1000, split="held_out")]
    dead = (features.calibrate(model, more).density == 0).float()
    return [
        count("dead features", dead.mean().item(), 0.01, most=True),
        count("explained variance", found.explained_variance, 0.9),
        count("features active at a token", found.l0, 24, most=True),
        count("loss recovered", found.loss_recovered, 0.97),
    ]


def main() -> None:
    """Print the table, and write it and its details as CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="storybook", help="the embedded model, or a folder")
    parser.add_argument("--second", help="folder of the second model")
    parser.add_argument(
        "--output", type=Path, default=Path("storybook_quality"), help="beginning of the CSV files' names"
    )
    parser.add_argument("--parts", default="start fluency instructions explained detection steering")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that steer")
    options = parser.parse_args()
    model = sk.load(options.model)
    names = storybook.concepts()
    parts, table = options.parts.split(), []
    if "start" in parts:
        table += start()
    if "fluency" in parts:
        table += fluency(model, sk.load(options.second) if options.second else None)
    if "instructions" in parts:
        table += instructions(model)
    if "explained" in parts:
        table += explained(model, model.dictionary())
    if "detection" in parts or "steering" in parts:
        scores, tested_on = halves(model, model.dictionary())
        found = detection(scores, tested_on)
        found.to_csv(f"{options.output}_detection.csv", index=False)
        scores[: len(names)] = 0.0  # anchored to the key; the others were found without it
        free = detection(scores, tested_on)
        free.to_csv(f"{options.output}_detection_free.csv", index=False)
        print("\nHow the best feature tells each concept, with 95% intervals of the AUROC:")
        print(found.to_string(index=False, float_format="{:.3f}".format), end="\n\n")
        table += [
            count("concepts told by one feature, AUROC 0.95", int((found.auroc >= 0.95).sum()), 56),
            count("the same within the family, AUROC 0.9", int((found.in_family >= 0.9).sum()), 40),
            {"measure": "concepts told by one free feature, AUROC 0.95", "value": int((free.auroc >= 0.95).sum())},
            {"measure": "mean AUROC of the best free features", "value": free.auroc.mean()},
        ]
    if "steering" in parts:
        # The anchored feature, then the one that tells the concept best, where that is another.
        candidates = {
            name: list(dict.fromkeys([i, feature]))
            for i, (name, feature) in enumerate(zip(found.concept, found.feature, strict=True))
        }
        rows, curve = steering(options.model, candidates, options.workers)
        rows.to_csv(f"{options.output}_steering.csv", index=False)
        curve.to_csv(f"{options.output}_curve.csv", index=False)
        print("\nMeans over the concepts for which a strength was tried, on the prompts that choose:")
        tried = curve.groupby(["way", "strength"])[["share", "nats", "repetition"]]
        print(tried.mean().assign(concepts=tried.size()).to_string(float_format="{:.3f}".format), end="\n\n")
        table += [
            count("concepts steered to 80% at 1.0 nats", int((rows.steers & (rows.nats <= NATS)).sum()), 48),
            {"measure": "at 0.6 nats", "value": int((rows.steers & (rows.nats <= 0.6)).sum())},
        ]
    frame = pd.DataFrame(table)
    frame.to_csv(f"{options.output}.csv", index=False)
    print(frame.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
