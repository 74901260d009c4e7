"""Recipes: the same text again, in another process too, and what is said where it is not the same."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import tiny
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import steerkit as sk
from steerkit.dictionaries.activations import JumpReLU, ReLU, TopK
from steerkit.dictionaries.dictionary import Dictionary
from steerkit.dictionaries.matrix import InMemory
from steerkit.dictionaries.parts import Parts
from steerkit.errors import PlanError, PromptError

N = 20
PROMPT = "One day, it's \"Mia's\""


@pytest.fixture(scope="module")
def vector(tinystories) -> sk.Vector:
    return tinystories.vector(norm=0.6)


@pytest.fixture(scope="module")
def recipe(tinystories, vector) -> sk.Recipe:
    plan = sk.Plan([vector.add(1, where=sk.Where(prompt=False)), sk.StopText(vector > 1e6)])
    return sk.Recipe(tinystories.model, plan, prompt=PROMPT, max_new_tokens=12, seed=3)


@pytest.fixture
def saved(recipe, tmp_path):
    recipe.save(tmp_path / "rainy.json")
    return tmp_path / "rainy.json"


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def changed(saved, **fields) -> str:
    data = json.loads(saved.read_text())
    for name, value in fields.items():
        data[name] = value
    saved.write_text(json.dumps(data))
    return str(saved)


def test_it_keeps_what_the_model_wrote(recipe, tinystories):
    run = tinystories.model.generate(PROMPT, recipe.plan, max_new_tokens=12, seed=3)
    assert recipe.text == run.text
    assert recipe.tokens == run.tokens
    assert recipe.token_ids == run.token_ids
    assert recipe.prompt_ids == list(run.prompt.ids)
    assert run.token_ids != tinystories.model.generate(PROMPT, max_new_tokens=12, seed=3).token_ids


def test_saving_and_loading_keeps_all(recipe, saved, tmp_path):
    again = sk.Recipe.load(saved)
    assert again.plan == recipe.plan
    assert again.settings == recipe.settings
    assert again.made_with == recipe.made_with
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == saved.read_text()


def test_another_process_writes_the_same_text(recipe, saved):
    code = (
        f"import torch, steerkit; torch.set_num_threads(1); replay = steerkit.Recipe.load({str(saved)!r}).run(); "
        "print([replay.same, replay.differences, replay.text])"
    )
    assert run_python(code).strip() == repr([True, (), recipe.text])


def test_the_script_prints_the_same_text(recipe):
    script = recipe.to_script()
    assert run_python(script) == recipe.text + "\n"
    assert script.splitlines()[1] == f"# {recipe.plan[0].describe()}"


def test_a_script_runs_nothing_that_labels_or_prompts_say(tinystories, vector):
    evil = sk.Vector({site: vector[site] for site in vector}, "'''\nraise SystemExit(3)\n'''\\")
    recipe = sk.Recipe(tinystories.model, evil.add(1), prompt="One ''' \\day\n", max_new_tokens=3)
    assert run_python(recipe.to_script()) == recipe.text + "\n"


def test_a_replay_is_a_run_that_says_what_differs(saved, recipe, tinystories):
    replay = sk.Recipe.load(saved).run(tinystories.model)
    assert isinstance(replay, sk.Run)
    assert (replay.same, replay.differences) == (True, ())
    assert "the same text as in the recipe" in replay.describe()
    assert repr(replay) == f"Replay({replay.text!r}, {replay.plan}, same=True)"
    ids, tokens = list(recipe.token_ids), list(recipe.tokens)
    ids[4], tokens[4] = ids[4] + 1, " moon"
    made_with = dataclasses.asdict(recipe.made_with) | {"torch": "1.0", "dictionaries": ["old (abc)"]}
    path = changed(saved, token_ids=ids, tokens=tokens, made_with=made_with, prompt_ids=recipe.prompt_ids[:-1])
    replay = sk.Recipe.load(path).run(tinystories.model)
    assert not replay.same
    assert replay.differences == (
        f"prompt, from token {len(recipe.prompt_ids) - 1} on: {replay.prompt.tokens[-1]!r} here, the end in the recipe",
        f"new text, from token 4 on: {recipe.tokens[4]!r} here, ' moon' in the recipe",
        "dictionaries: [] here, ['old (abc)'] in the recipe",
        f"torch: {torch.__version__} here, 1.0 in the recipe",
    )
    assert "torch: " in replay._repr_html_()


def test_another_precision_is_named(saved, tinystories_folder):
    replay = sk.Recipe.load(saved).run(sk.load(tinystories_folder, dtype="bfloat16"))
    assert "dtype: bfloat16 here, float32 in the recipe" in replay.differences


def test_a_file_is_whole_or_as_it_was(recipe, saved, monkeypatch):
    before = saved.read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PlanError, match=r"cannot be saved as .*: No space left on device"):
        recipe.save(saved)
    assert saved.read_text() == before
    assert os.listdir(saved.parent) == [saved.name]
    with pytest.raises(PlanError, match="No such file or directory"):
        recipe.save(saved.parent / "nowhere" / "rainy.json")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 9}, "of version 9; this steerkit reads version 1"),
        ({"format": "steerkit plan"}, "is a 'steerkit plan', where a 'steerkit recipe' belongs"),
        ({"plan": {}}, "'plan' of the recipe .* has no 'format'"),
        ({"settings": {"seed": 0}}, "'settings' of the recipe .* has no 'max_new_tokens'"),
        ({"prompt": "One day"}, "'prompt' of the recipe .* is 'One day', where an object belongs"),
        ({"prompt": {"ids": ["1"]}}, "an id of 'prompt' .* is '1', where a whole number belongs"),
        ({"prompt": {"messages": [{"role": 1}]}}, "a message of 'prompt' .* is 1, where a text belongs"),
        ({"made_with": {}}, "'made_with' of the recipe .* has no 'threads'"),
        ({"more": 1}, "has 'more', which is not known here"),
    ],
)
def test_damaged_recipes_get_one_clear_error(saved, fields, message):
    with pytest.raises(PlanError, match=message):
        sk.Recipe.load(changed(saved, **fields))


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(PlanError, match=r"There is no recipe .*: No such file or directory"):
        sk.Recipe.load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="is no recipe: it is no text"):
        sk.Recipe.load(tmp_path / "binary.json")


def test_it_shows_itself(recipe):
    assert recipe.plan[0].describe() in recipe.describe()
    page = recipe._repr_html_()
    assert "Recipe" in page
    assert "tinystories656K" in page
    assert repr(recipe.text) in repr(recipe)


CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def chat() -> sk.Model:
    config = GPT2Config(**tiny.VOCABULARY, n_embd=16, n_layer=3, n_head=2, n_positions=96, initializer_range=0.3)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = CHAT
    return sk.load(tiny.build(GPT2LMHeadModel, config), tokenizer=tokenizer)


def dictionary(name: str, activation=None, normalisation: str = "none", kind: str = "resid_post") -> Dictionary:
    noise = torch.Generator().manual_seed(0)
    site = sk.Site(1, kind)
    parts = Parts(
        format="random",
        W_dec=InMemory(torch.randn(N, 16, generator=noise)),
        b_dec=torch.randn(16, generator=noise),
        W_enc=InMemory(torch.randn(16, N, generator=noise)),
        b_enc=torch.randn(N, generator=noise),
        activation=activation or JumpReLU(torch.linspace(0, 1, N)),
        normalisation=normalisation,
        site_in=site,
        site_out=site,
        max_activations=torch.full((N,), 2.0),
    )
    return Dictionary(parts, name)


GEMMA = "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71"
MESSAGES = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes?"},
    {"role": "user", "content": "go"},
]


@pytest.mark.parametrize("prompt", [MESSAGES, [0, 72, 105]])
def test_chats_and_token_ids(chat, tmp_path, prompt):
    vector = sk.Vector({"0.resid_post": 5 * torch.ones(16)}, "joy")
    where = sk.Where(roles=["user"]) if prompt is MESSAGES else sk.Where()
    recipe = sk.Recipe(chat, vector.add(1, where=where), prompt=prompt, max_new_tokens=5)
    recipe.save(tmp_path / "chat.json")
    loaded = sk.Recipe.load(tmp_path / "chat.json")
    assert loaded.prompt == prompt
    assert loaded.run(chat).same
    with pytest.raises(PlanError, match=r"The recipe's model is not to be had: .*Give it yourself: run\(model\)"):
        loaded.run()


def test_an_encoded_chat_is_refused(chat):
    with pytest.raises(PromptError, match="Give the messages that the prompt was made of"):
        sk.Recipe(chat, prompt=chat.encode(MESSAGES))
    assert sk.Recipe(chat, prompt=chat.encode("hi"), max_new_tokens=1).prompt == list(chat.encode("hi").ids)


def test_features_come_back_from_the_dictionaries_given(chat, tmp_path):
    features = dictionary("somebody's")
    recipe = sk.Recipe(chat, features[3].set(4), prompt="hi", max_new_tokens=5)
    assert recipe.made_with.dictionaries == ["somebody's (no revision)"]
    recipe.save(tmp_path / "recipe.json")
    loaded = sk.Recipe.load(tmp_path / "recipe.json", dictionaries=[features])
    assert loaded.run(chat).differences == ()
    with pytest.raises(PlanError, match='needs the dictionary "somebody\'s", which cannot be loaded'):
        sk.Recipe.load(tmp_path / "recipe.json")


def test_operators_of_ones_own_are_named_not_written(chat):
    sk.register_operator("halve", lambda coefficient, strength: coefficient / 2)
    vector = sk.Vector({"0.resid_post": torch.ones(16)}, "joy")
    recipe = sk.Recipe(chat, vector.apply("halve"), prompt="hi", max_new_tokens=2)
    with pytest.raises(PlanError, match="the code of the operator 'halve'"):
        recipe.to_script()


def test_neuronpedias_request_for_a_text(chat):
    features = dictionary(GEMMA)
    off = dataclasses.replace(features[9].add(1), enabled=False)
    plan = sk.Plan([features[3].add(2), features[4].add(1.5, "max"), features[5].add(-7, "residual"), off])
    body = sk.Recipe(chat, plan, prompt="hi", max_new_tokens=5, temperature=0.5, seed=16).to_neuronpedia()
    strengths = [feature.pop("strength") for feature in body["features"]]
    norms = [features[i].decoder_norm for i in (3, 4)]
    assert strengths == pytest.approx([2 * norms[0], 1.5 * 2 * norms[1], -7], rel=1e-6)
    assert body == {
        "prompt": "hi",
        "modelId": "gemma-2-2b",
        "features": [
            {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": index} for index in (3, 4, 5)
        ],
        "temperature": 0.5,
        "n_tokens": 5,
        "freq_penalty": 0.0,
        "seed": 16,
        "strength_multiplier": 1.0,
        "steer_method": "SIMPLE_ADDITIVE",
    }
    json.dumps(body)


def test_neuronpedias_request_for_a_chat(chat):
    features = dictionary(GEMMA, TopK(3))
    edits = [features[3].add(2, where=sk.Where(special=True)), features[4].add(2, "residual", sk.Where(special=True))]
    body = sk.Recipe(chat, edits, prompt=MESSAGES, max_new_tokens=2).to_neuronpedia()
    assert body["defaultChatMessages"] == body["steeredChatMessages"] == MESSAGES
    assert body["steer_special_tokens"] is True
    assert "prompt" not in body
    # the rows of top-k dictionaries keep their length there
    assert [feature["strength"] for feature in body["features"]] == pytest.approx([2, 2 / features[4].decoder_norm])


VECTOR = sk.Vector({"0.resid_post": torch.ones(16)}, "joy")
FEATURES = dictionary(GEMMA)
RAIN = FEATURES[3]
SCALED = dictionary(GEMMA, ReLU(), "layer_norm")


@pytest.mark.parametrize(
    ("edits", "settings", "message"),
    [
        ([], {}, "it cannot do .*nothing"),
        ([RAIN.set(2)], {}, r"cannot do 'set feature 3 \+2': it can only add features"),
        ([RAIN.add(1), VECTOR.add(2)], {}, r"cannot do 'add joy \+2': it can only add features"),
        ([RAIN.add(1, where=sk.Where(prompt=False))], {}, r"cannot do 'add feature 3 \+1': it steers every token"),
        ([RAIN.add(1, when=RAIN > 2)], {}, "it steers every token, always"),
        ([RAIN.add(1, direct=False)], {}, "leaves what it adds"),
        ([RAIN.add(1, "norm")], {}, "knows no fraction of a token's norm"),
        ([RAIN.add(-400, "residual")], {}, "would be -400 there, where -300 is the lowest"),
        ([dictionary("unheard of")[3].add(1)], {}, "the catalog knows no dictionary of Neuronpedia's"),
        ([dictionary(GEMMA, kind="mlp_out")[3].add(1)], {}, "writes features at resid_pre, resid_post, z alone"),
        ([SCALED[3].add(1)], {}, "scales what it writes by each token"),
        ([RAIN.add(1), sk.StopText(RAIN > 3)], {}, "it cannot do .*stop the text when feature 3 > 3"),
        (sk.Plan(RAIN.add(1), preserve_norm=True), {}, "it cannot do .*preserving the norm"),
        ([RAIN.add(1)], {"top_p": 0.9}, "has no top_p"),
        ([RAIN.add(1)], {"temperature": 3}, "temperatures end at 2"),
        ([RAIN.add(1)], {"seed": 2 * 10**8}, "seeds end at"),
        ([RAIN.add(1)], {"prompt": [0, 72]}, "takes text or chat messages, no token ids"),
    ],
)
def test_what_neuronpedia_cannot_do_is_refused(chat, edits, settings, message):
    recipe = sk.Recipe(chat, edits, **({"prompt": "hi", "max_new_tokens": 1} | settings))
    with pytest.raises(PlanError, match=message):
        recipe.to_neuronpedia()


def test_neuronpedia_runs_the_model_that_the_features_belong_to(chat, monkeypatch):
    for name, fits in (("google/gemma-2-2b", True), ("google/gemma-2-2b-it", False)):
        monkeypatch.setattr(chat, "name", name)
        recipe = sk.Recipe(chat, RAIN.add(1), prompt="hi", max_new_tokens=1)
        if fits:
            assert recipe.to_neuronpedia()["modelId"] == "gemma-2-2b"
        else:
            with pytest.raises(PlanError, match="it steers google/gemma-2-2b with this feature, and the recipe steers"):
                recipe.to_neuronpedia()


def test_a_text_that_is_written_already_needs_no_second_writing(tinystories, recipe):
    run = tinystories.model.generate(PROMPT, recipe.plan, max_new_tokens=12, seed=3)
    again = sk.Recipe.from_json(sk.Recipe.of(tinystories.model, run, PROMPT).to_json())
    assert again.to_json() == recipe.to_json()
    with pytest.raises(PromptError, match="another prompt"):
        sk.Recipe.of(tinystories.model, run, "Another")
