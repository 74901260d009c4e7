"""The model that comes with steerkit: loads offline, tells stories, reads and obeys its features."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import steerkit as sk
from steerkit import embedded, storybook
from steerkit.errors import DictionaryError
from steerkit.storybook.measures import read_stories

OFFLINE = """
import json, socket
def refuse(*_): raise OSError("the network is refused")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import steerkit as sk
model = sk.load()
features = model.dictionary()
rain = features["rain"]
run = model.generate("One day, Mia", [rain.add(0.3, unit="norm")], max_new_tokens=5)
print(json.dumps([model.name, features.name, rain.index, run.text]))
"""


@pytest.fixture(scope="module")
def model() -> sk.Model:
    return sk.load()


@pytest.fixture(scope="module")
def features(model: sk.Model) -> sk.Dictionary:
    return model.dictionary()


def test_it_loads_without_a_network() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, check=True, text=True)
    name, dictionary, index, text = json.loads(done.stdout.splitlines()[-1])
    assert (name, dictionary) == ("storybook", "storybook/4.resid_post")
    assert index == sk.load_dictionary(dictionary)["rain"].index
    assert text


def test_it_is_small(model: sk.Model) -> None:
    files = [path for path in embedded.find("storybook").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20 * 2**20
    assert model.n_parameters < 10_000_000


def test_it_tells_stories(model: sk.Model) -> None:
    runs = model.generate_many([[model.tokenizer.bos_token_id]] * 12, seeds=range(12), max_new_tokens=80)
    sentences = [sentence for run in runs for sentence in storybook.judge(run.text)[:-1]]
    assert sum(sentence.well_formed for sentence in sentences) / len(sentences) > 0.85
    assert not any("<|" in run.text for run in runs)


def test_it_listens(model: sk.Model) -> None:
    asked = [storybook.instruction(seed, [name]) for seed, name in enumerate(storybook.concepts()[::5])]
    runs = model.generate_many([messages[:1] for messages, _ in asked], max_new_tokens=200)
    heard = [set(told.about) <= storybook.expressed(run.text) for run, (_, told) in zip(runs, asked, strict=True)]
    assert sum(heard) > len(heard) / 2


def test_every_concept_names_one_feature(features: sk.Dictionary) -> None:
    found = {name: features[name] for name in storybook.concepts()}
    assert len({feature.index for feature in found.values()}) == len(found)
    assert all(features.search(name)[0] == feature for name, feature in found.items())
    assert all(feature.max_activation > 0 for feature in found.values())


def test_a_feature_reads_its_concept(model: sk.Model, features: sk.Dictionary) -> None:
    told = storybook.story(0, ["rain"], split="held_out")
    reading = model.read(told.text, [features["rain"], features["fox"]])
    rain, fox = (reading.activations(features[name])[1:].max() for name in ("rain", "fox"))  # after the beginning
    assert rain > 0.2 * features["rain"].max_activation
    assert fox < rain / 4


def test_a_feature_steers(model: sk.Model, features: sk.Dictionary) -> None:
    prompts = ["One day, Mia"] * 8
    edit = features["rain"].add(0.33, unit="norm", where=sk.Where(prompt=False))
    told = [model.generate_many(prompts, edits, seeds=range(8), max_new_tokens=120) for edits in ([], [edit])]
    plain, rainy = (sum("rain" in storybook.expressed(run.text) for run in runs) for runs in told)
    assert rainy >= plain + 3


def test_a_dictionary_that_there_is_not(model: sk.Model) -> None:
    with pytest.raises(DictionaryError, match=r"no dictionary at 1\.resid_post.*3\.resid_post"):
        model.dictionary("1.resid_post")


def test_sentences_say_which_concepts_are_told_in_unseen_words_alone(model: sk.Model) -> None:
    stories = list(storybook.corpus(1, 20, split="held_out"))
    told = read_stories(model, model.dictionary("reft_l4"), stories)
    of_each = {(frozenset(s.concepts), s.unseen) for told in stories for s in told.sentences}
    names = storybook.concepts()
    found = {
        tuple(frozenset(names[i] for i in row.nonzero()[:, 0].tolist()) for row in rows)
        for rows in zip(told.expressed, told.unseen, strict=True)
    }
    assert found == of_each
    assert 0 < told.unseen.sum() < told.expressed[told.held_out].sum()


def test_dictionaries_of_a_folder_are_sorted_by_layer(tmp_path) -> None:
    for name in ("10.resid_post", "16k_layer3", "2.resid_post", "of mine"):
        (tmp_path / embedded.DICTIONARIES / name).mkdir(parents=True)
    found = [name.rpartition("/")[2] for name in embedded.dictionaries(str(tmp_path))]
    assert found == ["16k_layer3", "of mine", "2.resid_post", "10.resid_post"]


def test_features_are_found_by_any_whole_number(model: sk.Model, features: sk.Dictionary) -> None:
    found = features[np.int64(3)]
    assert type(found.index) is int
    assert features.nearest(np.int64(3), 2) == features.nearest(3, 2)
    assert "feature" in sk.Plan([found.add(1)]).to_json()


def test_a_scored_text_keeps_the_roles_of_the_chat_before_it(model: sk.Model, features: sk.Dictionary) -> None:
    chat = [{"role": "user", "content": "Tell me a story."}]
    edit = features["rain"].add(0.5, unit="norm", where=sk.Where(roles=["user"]))
    assert not torch.equal(model.score(" One day", [edit], prompt=chat), model.score(" One day", prompt=chat))
