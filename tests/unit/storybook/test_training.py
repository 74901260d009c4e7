"""A miniature of the whole chain, from the language to labelled features: each step does better than chance."""

from collections import Counter
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import steerkit as sk
from steerkit import storybook
from steerkit.dictionaries.formats import axbench
from steerkit.errors import SettingError
from steerkit.ranks import auroc
from steerkit.storybook.measures import read_stories
from steerkit.storybook.train import dictionary as dictionary_training
from steerkit.storybook.train import labels, supervised, writing
from steerkit.storybook.train import model as model_training
from steerkit.storybook.train.batches import Tokens
from steerkit.storybook.train.documents import NATURAL, documents
from steerkit.storybook.train.followers import Followers
from steerkit.storybook.train.log import read
from steerkit.storybook.train.tokenizer import train_tokenizer

STEPS = 120
SHAPE = {"layers": 2, "width": 96}


@dataclass
class Chain:
    """What the miniature leaves behind."""

    folder: Path
    tokens: Tokens
    held_out: Tokens
    model: sk.Model
    features: sk.Dictionary


def _supervised(model: sk.Model, folder: Path) -> None:
    learned, means = supervised.train(model, sk.Site(0, "resid_post"), stories=120, examples=12, epochs=1)
    axbench.write(learned.parts, folder / "model" / "dictionaries" / "reft_l0")
    axbench.write(means.parts, folder / "means_l0")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("storybook")
    tokenizer = train_tokenizer((document.text for document in documents(0, 1500, "train", [])), vocabulary=1024)
    tokens = Tokens.of(documents(0, 2500, "train", []), tokenizer)
    held_out = Tokens.of(documents(0, 20, "held_out", []), tokenizer)
    settings = model_training.Settings(steps=STEPS, batch=2048, every=STEPS // 2)
    trained = model_training.train(tokenizer, tokens, held_out, folder, settings, **SHAPE)
    model_training.save(trained, tokenizer, folder / "model")
    model = sk.load(folder / "model")
    learned = dictionary_training.train(
        trained.float(),
        tokenizer,
        dictionary_training.Shape(layer=0, n_features=512, k=16.0),
        steps=150,
        stories=1500,
        writing_steps=30,
        batch=2048,
    )
    place = folder / "model" / "dictionaries" / "0.resid_post"
    dictionary_training.save(learned, place, "storybook")
    _supervised(model, folder)
    rows = labels.measure(model, sk.load_dictionary(place), list(storybook.corpus(1, 150, split="held_out")))
    labels.write(rows, place / "labels.csv")
    return Chain(folder, tokens, held_out, model, model.dictionary())


@pytest.mark.slow
def test_the_model_learns(chain: Chain) -> None:
    logged = [float(row["held_out_loss"]) for row in read(chain.folder / "log.csv")]
    seen, unseen = (Counter(tokens.ids.tolist()) for tokens in (chain.tokens, chain.held_out))
    n, total = chain.held_out.ids.size, chain.tokens.ids.size
    by_frequency = -sum(times * log((seen[index] + 1) / (total + 1024)) for index, times in unseen.items()) / n
    assert logged[-1] < logged[0] < by_frequency
    assert logged[-1] < 0.7 * by_frequency


@pytest.mark.slow
def test_a_resumed_training_is_the_same_training(chain: Chain, tmp_path: Path) -> None:
    settings = model_training.Settings(steps=6, batch=512, every=3)

    def trained(name: str, **changed: int) -> dict[str, torch.Tensor]:
        folder, own = tmp_path / name, replace(settings, **changed)
        return model_training.train(
            chain.model.tokenizer, chain.tokens, chain.held_out, folder, own, **SHAPE
        ).state_dict()

    def logged(name: str) -> list[dict[str, str]]:
        return [{**row, "tokens_per_second": ""} for row in read(tmp_path / name / model_training.LOG)]

    whole, half = trained("whole"), trained("halves", until=3)
    assert len(logged("halves")) == 1
    resumed = trained("halves")
    assert logged("halves") == logged("whole")
    assert any(not torch.equal(half[name], whole[name]) for name in whole)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    with pytest.raises(SettingError, match=r"'seed': 0.*'seed': 1.*delete it to begin anew"):
        trained("halves", seed=1)


def test_followers_are_those_that_stand_behind_two_tokens_in_stories() -> None:
    """Two stories, `1 2 3` and `1 2 4`, and another document, `1 9 5`."""
    ids, starts = np.array([1, 2, 3, 1, 2, 4, 1, 9, 5], np.uint16), np.array([0, 3, 6, 9])
    followers = Followers(Tokens(ids, starts, ids > 9, ids > 9), vocabulary=10, other=9)
    never = followers.never(torch.tensor([[1, 2, 3], [2, 2, 0], [1, 9, 5]]))
    everything = set(range(10))
    may = [[everything - set(row.nonzero()[:, 0].tolist()) for row in rows] for rows in never]
    assert may[0] == [{2}, {3, 4}, everything]  # nothing is known of what follows `2 3`
    assert may[1] == may[2] == [everything] * 3  # what no story has, and a document of the other kind


@pytest.mark.slow
def test_a_weight_on_slips_makes_them_rarer(chain: Chain, tmp_path: Path) -> None:
    tokenizer = chain.model.tokenizer
    followers = Followers(chain.tokens, len(tokenizer), tokenizer.convert_tokens_to_ids(NATURAL))
    rows = chain.held_out.rows(range(4), tokenizer.pad_token_id)
    told = (rows != tokenizer.pad_token_id)[..., None]

    def slips(weight: float) -> float:
        settings = model_training.Settings(steps=60, batch=1024, slips=weight)
        model = model_training.train(tokenizer, chain.tokens, chain.held_out, tmp_path / str(weight), settings, **SHAPE)
        with torch.no_grad():
            return (model(input_ids=rows).logits.softmax(-1) * (followers.never(rows) & told)).sum().item()

    assert slips(20) < 0.8 * slips(0)


@pytest.mark.slow
def test_a_shorter_residual_stream_predicts_the_same(chain: Chain) -> None:
    model = model_training.build(chain.model.tokenizer, 0, **SHAPE).eval()
    ids = torch.tensor([chain.model.encode("One day, Mia").ids])
    with torch.no_grad():
        before = model(ids, output_hidden_states=True)
        model_training.shorten(model, 32)
        after = model(ids, output_hidden_states=True)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.hidden_states[1] * 32, before.hidden_states[1])


@pytest.mark.slow
def test_the_dictionary_explains(chain: Chain) -> None:
    site = chain.features.reads_at()
    texts = [story.text for story in storybook.corpus(2, 20, split="held_out")]
    x = torch.cat([found[site][1:] for _, found in chain.model.activations(texts, [site])])
    codes = chain.features.encode(x)
    left = (x - chain.features.decode(codes)).square().sum() / (x - x.mean(0)).square().sum()
    assert left < 0.4
    assert len(codes.values) / len(x) < 24


@pytest.mark.slow
def test_features_tell_concepts(chain: Chain) -> None:
    halves = [list(storybook.corpus(seed, 120, split="held_out")) for seed in (3, 4)]
    chosen, tested = (read_stories(chain.model, chain.features, stories) for stories in halves)
    scores = auroc(chosen.shown().activations, chosen.shown().expressed).nan_to_num(0.5)
    again = auroc(tested.activations, tested.expressed)
    found = again[scores.argmax(0), range(scores.shape[1])]
    assert found.nanmean() > 0.6


@pytest.mark.slow
def test_a_concept_names_its_best_feature_alone(chain: Chain) -> None:
    rows = read(chain.folder / "model" / "dictionaries" / "0.resid_post" / "labels.csv")
    named = {row["label"]: row for row in rows if row["label"] in storybook.concepts()}
    assert len(named) > 3
    for name, row in named.items():
        feature = chain.features[name]
        assert feature.index == int(row["index"]) == chain.features.search(name)[0].index
        assert feature.max_activation == pytest.approx(float(row["maximum"]))
        assert float(row["score"]) == max(float(other["score"]) for other in rows if other["concept"] == name)


@pytest.mark.slow
def test_a_feature_steers(chain: Chain) -> None:
    """A feature that tells a concept makes stories about it likelier than others."""
    rows = read(chain.folder / "model" / "dictionaries" / "0.resid_post" / "labels.csv")
    names = [row["label"] for row in rows if row["label"] in storybook.concepts()]
    gains = []
    for name in names[:20]:
        edit = chain.features[name].add(0.5, unit="max")
        for seed in range(3):
            own, other = (storybook.story(seed, about, split="held_out").text for about in ([name], []))
            gained = [(chain.model.score(text, [edit]) - chain.model.score(text)).mean() for text in (own, other)]
            gains.append(gained[0] - gained[1])
    assert sum(gains) > 0


@pytest.mark.slow
def test_directions_that_write_raise_the_words_of_their_concept(chain: Chain) -> None:
    """Each anchored feature's direction, beside that of another concept, on stories that it has not seen."""
    model = AutoModelForCausalLM.from_pretrained(chain.folder / "model", dtype=torch.float32).requires_grad_(False)
    reader = writing.Reader(model, 0, chain.model.tokenizer.pad_token_id)
    told = writing.stories(9, 2, chain.model.tokenizer)
    every = list(range(len(told.plain)))
    directions = torch.stack([chain.features[i].direction for i in range(len(storybook.concepts()))])[told.concept]
    coming = torch.from_numpy(told.weights[told.plain.stressed] == writing.COMING)
    own, other = (
        reader.nats(told.plain, every, 0.4 * added)[coming].mean()
        for added in (directions, directions.roll(len(every) // 2, 0))
    )
    assert own < other


@pytest.mark.slow
def test_the_supervised_dictionary_tells_concepts(chain: Chain) -> None:
    learned, means = chain.model.dictionary("reft_l0"), sk.load_dictionary(chain.folder / "means_l0")
    assert [feature.label for feature in learned] == storybook.concepts()
    assert str(learned.reads_at()) == str(means.reads_at()) == "0.resid_post"
    assert str(chain.features.reads_at()) == "0.resid_post"
    stories = list(storybook.corpus(5, 60, split="held_out"))
    told = [read_stories(chain.model, one, stories) for one in (learned, means)]
    scores = [auroc(found.activations, found.expressed).diagonal().nanmean() for found in told]
    assert scores[0] > 0.7
    assert scores[0] > scores[1] - 0.02
