"""Scores that IBM's published code gives features for a target, from the same activations and embeddings.

Run it in the environment of `make_steering_fixtures.py sae-steering`, after that:

    python tests/reference/make_alignment_fixtures.py

Each case is one file of `tests/fixtures/alignment/`, for a reference of `texts` texts with `tokens` tokens in all:

    latents               (tokens, features)  activations of all reference texts, one after another
    lengths               (texts,)            tokens of each, its first included
    reference_embeddings  (texts, width)      of length 1
    target_embeddings     (targets, width)    of length 1
    summaries             (texts, features)   what `summarized_latents` makes of the activations
    coverage              ()                  the share of features that fired, of the same function
    scores                (features,)         `D_align_scoring` of the features that fired and the texts of two tokens
                                              or more, 0 for the other features
    as_published          (features,)         `D_align_scoring` of all: one feature that never fired, or one text of a
                                              single token, makes every score 0

The published scores (`Storage/medical_scores.csv`) have numbers beside features that never fired, so they were not
made with the code as published, but with the meaning that `scores` has here.

`model` is the whole way, `process_D_ref` on the tiny GPT-2 and autoencoder of `tests/fixtures/steering/`, with its
texts in `made.json`; embeddings are drawn at random in all cases, and so are the activations of the others.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import sparse_autoencoder
import steering_utils
import torch
from make_steering_fixtures import OPENAI, N, hooked_gpt2, ibm_commits, storage
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "alignment"
FEATURES, WIDTH, LAYER = 12, 8, 1
TEXTS = ("w5 w9 w33 w12", "w40 w3 w22 w22 w51 w18 w9", "w60 w61 w8", "w7 w7", "w11 w50 w44 w31 w5")


def tokens(*lengths: int) -> list[Tensor]:
    """Random activations of texts in which every feature fires."""
    latents = [torch.relu(torch.randn(length, FEATURES)) for length in lengths]
    latents[-1][-1] += 0.1
    return latents


def embeddings(n: int) -> Tensor:
    return normalize(torch.randn(n, WIDTH), dim=1)


def summarise(latents: list[Tensor]) -> tuple[pd.DataFrame, float]:
    """Their function, given activations in place of a model."""
    steering_utils.gather_residual_activationsgpt = lambda model, layer, index: latents[index.item()]
    tokenizer = SimpleNamespace(encode=lambda index, return_tensors: torch.tensor([index]))
    sae = SimpleNamespace(encode=lambda x: (x, {}))
    return steering_utils.summarized_latents(range(len(latents)), tokenizer, "cpu", None, LAYER, sae)


def score(summaries: pd.DataFrame, references: Tensor, targets: Tensor) -> Tensor:
    """Their function, given embeddings in place of texts."""
    summaries.to_csv(f"Storage/dref_latents_{LAYER}.csv")
    steering_utils.sentence_embeddings_maps = lambda texts: targets
    return torch.tensor(steering_utils.D_align_scoring([], pd.DataFrame(references.numpy()), LAYER)[0])


def case(latents: list[Tensor], references: Tensor, targets: Tensor) -> dict[str, Tensor]:
    summaries, coverage = summarise(latents)
    summaries.index = range(len(latents))
    fired = (summaries > 0).any(axis=0).to_numpy()
    long = summaries.notna().all(axis=1).to_numpy()
    meant = torch.zeros(len(fired), dtype=torch.float64)
    if fired.any():
        meant[fired] = score(summaries.loc[long, fired].reset_index(drop=True), references[long], targets)
    return {
        "latents": torch.cat(latents),
        "lengths": torch.tensor([len(text) for text in latents]),
        "reference_embeddings": references,
        "target_embeddings": targets,
        "summaries": torch.tensor(summaries.to_numpy()),
        "coverage": torch.tensor(coverage, dtype=torch.float64),
        "scores": meant,
        "as_published": score(summaries, references, targets),
    }


def ties() -> dict[str, Tensor]:
    """Features and texts that are alike, a target given twice, and a reference text that is a target."""
    latents = tokens(4, 6, 5, 5)
    for text in latents:
        text[:, 3] = text[:, 2]
    latents[3] = latents[2].clone()
    targets, references = embeddings(3), embeddings(4)
    targets[2], references[3], references[0] = targets[1], references[2], targets[1]
    return case(latents, references, targets)


def never_fired() -> dict[str, Tensor]:
    latents = tokens(4, 6, 3, 5)
    for text in latents:
        text[:, [0, 7]] = 0
        text[1:, 9] = 0  # fires at first tokens alone, which do not count
        text[0, 9] = 2
    return case(latents, embeddings(4), embeddings(3))


def whole_way() -> dict[str, Tensor]:
    """`process_D_ref` of texts: model, autoencoder and all."""
    references, latents = embeddings(len(TEXTS)), []
    model = hooked_gpt2()
    steering_utils.sentence_embeddings_maps = lambda texts: references
    sparse_autoencoder.paths.v5_32k = lambda location, layer: str(OPENAI)
    _, autoencoder, summaries, coverage = steering_utils.process_D_ref(TEXTS, model.tokenizer, "cpu", model, LAYER)
    for text in TEXTS:
        ids = model.tokenizer.encode(text, return_tensors="pt")
        latents.append(autoencoder.encode(steering_utils.gather_residual_activationsgpt(model, LAYER, ids))[0])
    made = case(latents, references, embeddings(3))
    assert made["coverage"] == coverage
    assert torch.equal(made["summaries"], torch.tensor(summaries.to_numpy()))
    assert made["latents"].shape[1] == N
    return made


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with storage():
        cases = {
            "model": whole_way(),
            "all_fired": case(tokens(4, 6, 3, 5), embeddings(4), embeddings(3)),
            "never_fired": never_fired(),
            "nothing_fired": case([0 * text for text in tokens(4, 6)], embeddings(2), embeddings(3)),
            "ties": ties(),
            "short_texts": case(tokens(4, 1, 3, 0, 5), embeddings(5), embeddings(3)),
        }
    for name, tensors in cases.items():
        save_file({key: value.contiguous() for key, value in tensors.items()}, FOLDER / f"{name}.safetensors")
    packages = ("torch", "transformers", "transformer-lens", "pandas", "numpy", "scikit-learn")
    versions = {package: version(package) for package in packages} | ibm_commits()
    (FOLDER / "made.json").write_text(json.dumps({"texts": TEXTS, "versions": versions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
