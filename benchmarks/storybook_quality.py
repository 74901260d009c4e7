"""What the embedded model, its dictionary and its labels can do, measured by the language's own answer key.

Everything is measured on held-out stories with fixed seeds. A table is printed and written as CSV, and beside it one
row a concept (detection, steering) and the curve of every strength that was tried.

    python benchmarks/storybook_quality.py --second build/second/model

`--second` is a model of the same recipe, of another seed and split, that judges the sentences which the language itself
does not recognise; without it they are not judged. How to train it is in steerkit/storybook/files/README.md.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import storybook_start
import torch

import steerkit as sk
from steerkit import storybook
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.ranks import auroc
from steerkit.storybook.measures import Sentences, read_stories

SEED = 7  # of the held-out stories; labels were measured on others
SAMPLES, LENGTH, TEMPERATURE = 60, 350, 0.8
REQUESTS = 128
STORIES = 800  # for detection, in two halves
RESAMPLES = 200
BATCH = 32


def interval(values: torch.Tensor) -> tuple[float, float]:
    """A 95% bootstrap interval of a mean."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(values), (RESAMPLES * 5, len(values)), generator=generator)
    low, high = values.float()[draws].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def row(measure: str, values: Sequence[float] | torch.Tensor, target: float) -> dict[str, object]:
    """A line of the table: a mean with its interval."""
    values = torch.as_tensor(values, dtype=torch.float)
    low, high = interval(values)
    mean = values.mean().item()
    return {"measure": measure, "value": mean, "low": low, "high": high, "target": target, "met": mean >= target}


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
    """How many sentences of stories from nothing are well formed, and how the second model finds the others."""
    stories = tell(model, [[model.tokenizer.bos_token_id]] * SAMPLES)
    judged = [storybook.judge(text) for text in stories]
    shares = [sum(s.well_formed for s in found) / len(found) for found in judged if found]
    sentences = [text[s.start : s.end] for text, found in zip(stories, judged, strict=True) for s in found]
    good = sum(s.well_formed for found in judged for s in found) / len(sentences)
    repeated = max(
        max(Counter(text[s.start : s.end] for s in found).values()) for text, found in zip(stories, judged, strict=True)
    )
    rows = [
        {**row("sentences well formed", shares, 0.85), "value": good, "met": good >= 0.85},
        count("most repetitions of a sentence in a story", repeated, 2, most=True),
    ]
    if second is not None:
        rows.append(judged_by(second, stories, judged))
    return rows


def judged_by(second: sk.Model, stories: Sequence[str], judged: Sequence) -> dict[str, object]:
    """Nats a token that the second model gives the ill-formed sentences beyond held-out text."""
    held_out = [told.text for told in storybook.corpus(SEED, SAMPLES, split="held_out")]
    usual = torch.cat([second.score(text) for text in held_out]).mean()
    strange = []
    for text, found in zip(stories, judged, strict=True):
        for sentence in found:
            if not sentence.well_formed and sentence.start:
                before, itself = text[: sentence.start].rstrip(), " " + text[sentence.start : sentence.end]
                strange.append((usual - second.score(itself, prompt=before).mean()).item())
    return {
        **count("nats a token of the others beyond held-out text", sum(strange) / max(len(strange), 1), 0.5, most=True)
    }


def instructions(model: sk.Model) -> list[dict[str, object]]:
    """How many stories have all that was asked for, and how many have it unasked."""
    asked = [storybook.instruction(SEED * 1000 + i, split="held_out") for i in range(REQUESTS)]
    answers = tell(model, [messages[:1] for messages, _ in asked])
    unasked = tell(model, [[model.tokenizer.bos_token_id]] * REQUESTS)
    follows, by_chance = (
        [float(set(told.about) <= storybook.expressed(text)) for text, (_, told) in zip(texts, asked, strict=True)]
        for texts in (answers, unasked)
    )
    chance = row("the same without the instruction", by_chance, 0.0)
    return [row("instructed stories with all that was asked", follows, 0.9), {**chance, "target": None, "met": None}]


def detection(model: sk.Model, features: Dictionary) -> tuple[pd.DataFrame, torch.Tensor]:
    """The feature that tells each concept best on one half of the stories, and how well it does on the other."""
    stories = list(storybook.corpus(SEED, STORIES, split="held_out"))
    chosen_on = read_stories(model, features, stories[::2]).shown()
    scores = auroc(chosen_on.activations, chosen_on.expressed)
    tested_on = read_stories(model, features, stories[1::2])
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
                "unseen_words": one_auroc(tested_on, feature, i, tested_on.held_out | ~tested_on.expressed[:, i]),
            }
        )
    return pd.DataFrame(rows), scores


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


PROMPTS, SEEDS, TOKENS = 32, 4, 250  # of the stories that are steered
CANDIDATES = 1  # features tried for a concept, the best at telling it first
STRENGTHS = (0.3, 0.34, 0.38, 0.42)  # in the unit `norm`: shares of each token's activation norm
SHARE, PLENTY, MARGIN, NATS, REPETITION = 0.8, 0.95, 0.4, 1.0, 0.02
NEW_TOKENS = sk.Where(prompt=False)


def beginnings() -> list[str]:
    """First sentences of held-out stories."""
    stories = storybook.corpus(SEED + 1, PROMPTS, split="held_out")
    return [told.text[: told.sentences[0].end] for told in stories]


class Steered:
    """Stories from some prompts, under the same edits.

    Args:
        model: The model.
        prompts: The prompts.
        seeds: How many stories a prompt.
        edits: The edits.
    """

    def __init__(self, model: sk.Model, prompts: Sequence[str], seeds: int, edits: Sequence = ()) -> None:
        rows = [(prompt, seed) for seed in range(seeds) for prompt in prompts]
        runs = model.generate_many(
            [prompt for prompt, _ in rows],
            edits,
            seeds=[seed for _, seed in rows],
            max_new_tokens=TOKENS,
            temperature=TEMPERATURE,
        )
        runs = model.rescore(runs)
        self.found = [storybook.expressed(run.text) for run in runs]
        self.nats = sum(run.nats or 0.0 for run in runs) / len(runs)
        self.repetition = sum(run.repetition for run in runs) / len(runs)

    def share(self, concept: str) -> float:
        """The share of the stories that express a concept."""
        return sum(concept in found for found in self.found) / len(self.found)


class Try(NamedTuple):
    """What a feature and a strength did on the prompts that choose; nats and repetition beyond the baseline."""

    concept: str
    feature: int
    strength: float
    share: float
    nats: float
    repetition: float

    def good(self) -> bool:
        """Whether it would do."""
        return self.share >= SHARE and self.nats <= NATS and self.repetition <= REPETITION

    def plenty(self) -> bool:
        """Whether more strength has little to add."""
        return self.good() and self.share >= PLENTY

    def worth(self) -> tuple[bool, float, float]:
        """Which of several is best: within bounds, then the most stories, then the likeliest text."""
        return self.nats <= NATS and self.repetition <= REPETITION, self.share, -self.nats


def steering(model: sk.Model, features: Dictionary, scores: torch.Tensor) -> tuple[pd.DataFrame, pd.DataFrame]:
    """For each concept the feature and the strength that steer best on one half of the prompts, on the other half.

    Returns:
        One row a concept; and one row for everything that was tried.
    """
    prompts = beginnings()
    choosing, testing = prompts[::2], prompts[1::2]
    before, after = Steered(model, choosing, 1), Steered(model, testing, SEEDS)
    direction = torch.randn(features.d_out, generator=torch.Generator().manual_seed(SEED))
    random = sk.Vector({str(features.writes_at()): direction}, "random")
    chance: dict[float, Steered] = {}  # by strength: the same texts show how often any concept comes by chance
    rows, curve = [], []
    for i, name in enumerate(storybook.concepts()):
        tried: list[Try] = []
        for feature in scores[:, i].topk(CANDIDATES).indices.tolist():
            if any(one.good() for one in tried):
                break
            for strength in STRENGTHS:
                run = Steered(model, choosing, 1, [features[feature].add(strength, unit="norm", where=NEW_TOKENS)])
                nats, repetition = run.nats - before.nats, run.repetition - before.repetition
                tried.append(Try(name, feature, strength, run.share(name), nats, repetition))
                if nats > NATS or tried[-1].plenty():
                    break
        curve += [one._asdict() for one in tried]
        chosen = max(tried, key=Try.worth)
        feature, strength = chosen.feature, chosen.strength
        run = Steered(model, testing, SEEDS, [features[feature].add(strength, unit="norm", where=NEW_TOKENS)])
        if strength not in chance:
            chance[strength] = Steered(model, testing, SEEDS, [random.add(strength, unit="norm", where=NEW_TOKENS)])
        found = {
            "concept": name,
            "feature": feature,
            "strength": strength,
            "share": run.share(name),
            "baseline": after.share(name),
            "random": chance[strength].share(name),
            "nats": run.nats - after.nats,
            "repetition": run.repetition - after.repetition,
        }
        above = found["share"] - max(found["baseline"], found["random"])
        found["steers"] = found["share"] >= SHARE and above >= MARGIN and found["repetition"] <= REPETITION
        rows.append(found)
        print(json.dumps(found), flush=True)
    return pd.DataFrame(rows), pd.DataFrame(curve)


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
    dead = (features.calibrate(model, [told.text for told in storybook.corpus(SEED + 3, 1000)]).density == 0).float()
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
    options = parser.parse_args()
    model = sk.load(options.model)
    features = model.dictionary()
    parts, table = options.parts.split(), []
    if "start" in parts:
        table += start()
    if "fluency" in parts:
        table += fluency(model, sk.load(options.second) if options.second else None)
    if "instructions" in parts:
        table += instructions(model)
    if "explained" in parts:
        table += explained(model, features)
    if "detection" in parts or "steering" in parts:
        found, scores = detection(model, features)
        found.to_csv(f"{options.output}_detection.csv", index=False)
        table += [
            count("concepts told by one feature, AUROC 0.95", int((found.auroc >= 0.95).sum()), 56),
            count("the same within the family, AUROC 0.9", int((found.in_family >= 0.9).sum()), 40),
        ]
    if "steering" in parts:
        rows, curve = steering(model, features, scores)
        rows.to_csv(f"{options.output}_steering.csv", index=False)
        curve.to_csv(f"{options.output}_curve.csv", index=False)
        table += [
            count("concepts steered to 80% at 1.0 nats", int((rows.steers & (rows.nats <= NATS)).sum()), 48),
            {"measure": "at 0.6 nats", "value": int((rows.steers & (rows.nats <= 0.6)).sum())},
        ]
    frame = pd.DataFrame(table)
    frame.to_csv(f"{options.output}.csv", index=False)
    print(frame.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()
