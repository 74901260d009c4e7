"""Makes storybook's files: `python -m steerkit.storybook.train STEP --help`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from steerkit.dictionaries.formats import axbench
from steerkit.dictionaries.load import TABLE, load_dictionary
from steerkit.embedded import DICTIONARIES
from steerkit.model import load
from steerkit.sites import Site
from steerkit.storybook.train import dictionary as dictionary_training
from steerkit.storybook.train import labels, supervised
from steerkit.storybook.train import model as model_training
from steerkit.storybook.train.batches import Tokens
from steerkit.storybook.train.credits import credits
from steerkit.storybook.train.dictionary import Shape
from steerkit.storybook.train.documents import documents, passages
from steerkit.storybook.train.log import draw
from steerkit.storybook.train.tokenizer import train_tokenizer

TOKENIZER_STORIES = 20_000
HELD_OUT_STORIES = 200


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="python -m steerkit.storybook.train", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    step = steps.add_parser("tokens", help="the tokenizer, unless there is one, and the corpus as token ids")
    step.add_argument("folder", type=Path, help="where the files go")
    step.add_argument("--text", type=Path, nargs="*", default=[], help="natural text: .txt, .jsonl, or folders of them")
    step.add_argument("--stories", type=int, default=75_000)
    step.add_argument("--split", default="train", help="train, or second for a second model")
    step.add_argument("--seed", type=int, default=0)
    step.set_defaults(run=_tokens)
    step = steps.add_parser("credits", help="who wrote the natural text, as Markdown")
    step.add_argument("text", type=Path, nargs="+", help="the files that `tokens` was given")
    step.set_defaults(run=_credits)
    step = steps.add_parser("model", help="the model; goes on where it stopped")
    step.add_argument("folder", type=Path, help="what `tokens` wrote; the model goes to its folder `model`")
    step.add_argument("--steps", type=int, default=5000)
    step.add_argument("--until", type=int, metavar="STEP", help="stop after a step; the next call goes on")
    step.add_argument("--batch", type=int, default=4096, help="tokens in a batch")
    step.add_argument("--seed", type=int, default=0)
    step.add_argument("--threads", type=int, default=torch.get_num_threads())
    step.add_argument("--slips", type=float, default=0, help="weight on tokens that never follow the two before them")
    step.add_argument("--compile", action="store_true", help="shorter steps; takes a C++ compiler")
    step.set_defaults(run=_model)
    step = steps.add_parser("dictionary", help="a sparse autoencoder at one layer")
    step.add_argument("folder", type=Path, help="what `tokens` and `model` wrote")
    step.add_argument("layer", type=int, help="the layer whose output is read")
    step.add_argument("--k", type=float, default=Shape.k, help="features active at a token, on average")
    step.add_argument("--features", type=int, default=Shape.n_features)
    step.add_argument("--stories", type=int, default=20_000)
    step.add_argument("--steps", type=int, default=1200)
    step.add_argument("--writing-steps", type=int, default=400, help="of the directions that write")
    step.add_argument("--seed", type=int, default=0)
    step.add_argument("--threads", type=int, default=torch.get_num_threads())
    step.set_defaults(run=_dictionary)
    step = steps.add_parser("supervised", help="a supervised dictionary of all concepts at one layer, with labels")
    step.add_argument("folder", type=Path, help="what `model` wrote")
    step.add_argument("layer", type=int, help="the layer whose output is read")
    step.add_argument("--stories", type=int, default=500)
    step.add_argument("--examples", type=int, default=96, help="sentences with a concept, and as many without")
    step.add_argument("--epochs", type=int, default=1)
    step.add_argument("--seed", type=int, default=0)
    step.add_argument("--threads", type=int, default=torch.get_num_threads())
    step.set_defaults(run=_supervised)
    step = steps.add_parser("labels", help="labels of the dictionary at one layer, by the answer key")
    step.add_argument("folder", type=Path, help="what `model` and `dictionary` wrote")
    step.add_argument("layer", type=int)
    step.set_defaults(run=_labels)
    options = parser.parse_args()
    options.run(options)


def _tokens(options: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    texts = passages(options.text)
    options.folder.mkdir(parents=True, exist_ok=True)
    place = options.folder / "model"
    if not (place / "tokenizer.json").exists():
        read = (document.text for document in documents(options.seed, TOKENIZER_STORIES, options.split, texts))
        train_tokenizer(read).save_pretrained(place)
    tokenizer = AutoTokenizer.from_pretrained(place)
    found = documents(options.seed, options.stories, options.split, texts)
    tokens = Tokens.of(found, tokenizer)
    tokens.save(options.folder / "tokens.npz")
    held_out = Tokens.of(documents(options.seed, HELD_OUT_STORIES, "held_out", []), tokenizer)
    held_out.save(options.folder / "held_out.npz")
    print(f"{len(tokens.ids):,} tokens in {len(tokens):,} documents; {len(tokenizer):,} in the vocabulary")


def _credits(options: argparse.Namespace) -> None:
    for line in credits(options.text):
        print(line)


def _model(options: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    torch.set_num_threads(options.threads)
    folder = options.folder / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens, held_out = (Tokens.load(options.folder / f"{name}.npz") for name in ("tokens", "held_out"))
    settings = model_training.Settings(
        options.steps, options.batch, options.seed, until=options.until, compiled=options.compile, slips=options.slips
    )
    trained = model_training.train(tokenizer, tokens, held_out, options.folder, settings)
    draw(options.folder / model_training.LOG, options.folder / "loss.png", ["loss", "held_out_loss"])
    model_training.save(trained, tokenizer, folder)
    print(f"{sum(p.numel() for p in trained.parameters()):,} parameters in {folder}")


def _dictionary(options: argparse.Namespace) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(options.threads)
    source = options.folder / "model"
    learned = dictionary_training.train(
        AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).to(
            "cuda" if torch.cuda.is_available() else "cpu"
        ),
        AutoTokenizer.from_pretrained(source),
        Shape(options.layer, options.features, options.k),
        steps=options.steps,
        stories=options.stories,
        writing_steps=options.writing_steps,
        seed=options.seed,
        log=options.folder / f"dictionary_{options.layer}.csv",
    )
    dictionary_training.save(learned, _place(options), "storybook")


def _supervised(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    model = load(options.folder / "model")
    learned, means = supervised.train(
        model,
        Site(options.layer, "resid_post"),
        stories=options.stories,
        examples=options.examples,
        epochs=options.epochs,
        seed=options.seed,
        checkpoint=options.folder / f"supervised_{options.layer}.pt",
    )
    place = options.folder / "model" / DICTIONARIES / f"reft_l{options.layer}"
    axbench.write(learned.parts, place)
    axbench.write(means.parts, options.folder / f"means_l{options.layer}")
    labels.write(labels.measure_concepts(model, learned), place / TABLE)


def _labels(options: argparse.Namespace) -> None:
    model, place = load(options.folder / "model"), _place(options)
    labels.write(labels.measure(model, load_dictionary(place)), place / TABLE)


def _place(options: argparse.Namespace) -> Path:
    return options.folder / "model" / DICTIONARIES / f"{options.layer}.resid_post"


if __name__ == "__main__":
    main()
