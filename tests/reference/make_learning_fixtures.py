"""Learns directions with the peers' own packages, and keeps them and what is written under them.

Each peer in an environment of its own, naming it (repeng needs numpy<2, steering-vectors needs transformers<5); the
models come from the folder that is named second:

    pip install torch safetensors repeng==0.4.0 && \
        python tests/reference/make_learning_fixtures.py repeng ../shared/data/models
    pip install torch safetensors steering-vectors==0.12.2 && \
        python tests/reference/make_learning_fixtures.py steering-vectors ../shared/data/models

scikit-learn comes with either; its classifiers are kept with those of steering-vectors. Everything goes to
`tests/fixtures/learning/`: `<peer>.safetensors` has a tensor for each model, method and layer, `<peer>.json` the
versions, and the token ids of steered texts. `tests/reference/test_learning_peers.py` reads them.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "learning"
MODELS = ("tinystories656K", "stories260K")
PROMPT, NEW_TOKENS, STRENGTHS = (
    "Once upon a time, there was a dog. One day, he",
    24,
    {"tinystories656K": (0.0, 20.0, -20.0), "stories260K": (0.0, 2.0, -2.0)},
)
HAPPY = ("happy", "glad", "cheerful", "delighted")
SAD = ("sad", "gloomy", "miserable", "upset")
STARTS = ("One day, the girl was very", "The old man felt", "Mom saw that Tom was", "All day long the dog was so")
ENDINGS = (".", " because of the rain", " and went to the big park")


def pairs() -> list[tuple[str, str]]:
    """Pairs of sentences of different lengths that differ in one word."""
    return [
        (f"{start} {happy}{ending}", f"{start} {sad}{ending}")
        for happy, sad in zip(HAPPY, SAD, strict=True)
        for start in STARTS
        for ending in ENDINGS
    ]


def load(folder: Path):
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    eos = settings["eos_token"]  # transformers 4 does not know the class that the settings name
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), eos_token=eos, pad_token=eos)
    # transformers 4 does not find tied weights that are stored under the name of the unembedding alone
    config = AutoConfig.from_pretrained(folder, attn_implementation="eager")
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, _ = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert set(missing) <= {"model.embed_tokens.weight", "lm_head.weight"}, missing
    model.tie_weights()
    return model.eval(), tokenizer


def run_repeng(models: Path) -> tuple[dict[str, Tensor], dict]:
    from repeng import ControlModel, ControlVector, DatasetEntry

    directions, texts = {}, {}
    entries = [DatasetEntry(positive=positive, negative=negative) for positive, negative in pairs()]
    for name in MODELS:
        model, tokenizer = load(models / name)
        for method in ("pca_diff", "pca_center"):
            everywhere = list(range(model.config.num_hidden_layers))  # it leaves layer 0 out if not told
            vector = ControlVector.train(model, tokenizer, entries, method=method, hidden_layers=everywhere)
            for layer, direction in vector.directions.items():
                directions[f"{name}.{method}.{layer}"] = torch.from_numpy(direction)
            control = ControlModel(model, everywhere[:-1])  # the last is read elsewhere than it is written
            ids = tokenizer(PROMPT, return_tensors="pt").input_ids
            for strength in STRENGTHS[name]:
                control.set_control(vector, strength)
                written = control.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=False,
                    max_new_tokens=NEW_TOKENS,
                    pad_token_id=tokenizer.pad_token_id,
                )
                texts[f"{name}.{method}.{strength}"] = written[0, ids.shape[1] :].tolist()
            control.reset()
            model = control.unwrap()
    return directions, {"texts": texts}


def run_steering_vectors(models: Path) -> tuple[dict[str, Tensor], dict]:
    import numpy as np
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from steering_vectors import SteeringVectorTrainingSample, aggregate_activations, extract_activations
    from steering_vectors.aggregators import mean_aggregator, pca_aggregator

    directions = {}
    samples = [SteeringVectorTrainingSample(positive, negative) for positive, negative in pairs()]
    for name in MODELS:
        model, tokenizer = load(models / name)
        read = extract_activations(model, tokenizer, samples, batch_size=1)
        for method, aggregator in (("mean", mean_aggregator()), ("pca", pca_aggregator())):
            for layer, direction in aggregate_activations(*read, aggregator).items():
                directions[f"{name}.{method}.{layer}"] = direction.float()
        for layer, positives in read[0].items():
            x = torch.cat([*positives, *read[1][layer]]).reshape(2 * len(samples), -1).double().numpy()
            y = np.repeat([1.0, -1.0], len(samples))
            logistic = LogisticRegression(tol=1e-10, max_iter=100_000).fit(x, y)
            directions[f"{name}.logistic.{layer}"] = torch.from_numpy(logistic.coef_[0]).float()
            directions[f"{name}.squared.{layer}"] = torch.from_numpy(LinearRegression().fit(x, y).coef_).float()
    return directions, {}


def main() -> None:
    peer, models = sys.argv[1], Path(sys.argv[2])
    torch.manual_seed(0)
    directions, others = {"repeng": run_repeng, "steering-vectors": run_steering_vectors}[peer](models)
    packages = (peer, "torch", "transformers", "numpy", "scikit-learn")
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in directions.items()}, FOLDER / f"{peer}.safetensors")
    record = {"versions": {package: version(package) for package in packages}, **others}
    (FOLDER / f"{peer}.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
