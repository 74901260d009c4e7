"""Bad input gets one clear error that names the value, what is valid, and what to do; nothing runs."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tiny
import torch
from torch import nn

import steerkit as sk
from steerkit.errors import EditError, EngineError, ModelError, PromptError, SettingError, SiteError, VectorError
from steerkit.runs import Settings

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def model(gpt2):
    """The model, which gives the same logits afterwards as before."""
    ids = gpt2.ids()
    before = gpt2.model.score(ids)
    yield gpt2.model
    assert torch.equal(gpt2.model.score(ids), before)
    assert gpt2.model.nnsight._edits == []


@pytest.fixture
def vector():
    return sk.Vector({"1.resid_post": torch.ones(32)}, "joy")


def verbs(model, prompt, edits):
    return {
        "generate": lambda: model.generate(prompt, edits, max_new_tokens=2),
        "generate_many": lambda: model.generate_many([prompt, prompt], edits, max_new_tokens=2),
        "compare": lambda: model.compare(prompt, edits, max_new_tokens=2),
        "stream": lambda: model.stream(prompt, edits, max_new_tokens=2),
        "score": lambda: model.score(prompt, edits),
        "read": lambda: model.read(prompt, sk.Vector({"0.resid_post": torch.ones(32)}), edits),
    }


VERBS = ["generate", "generate_many", "compare", "stream", "score", "read"]

VECTORS = {
    "9.resid_post": (torch.ones(32), SiteError, r"has no site '9.resid_post': its layers are 0 to 2.*'2.resid_post'"),
    "1.resid_post": (torch.ones(31), VectorError, r"'joy' is 31 wide at '1.resid_post', where GPT2.* has 32"),
    "1.mlp_post": (torch.ones(32), VectorError, r"'joy' is 32 wide at '1.mlp_post', where GPT2.* has 128"),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("site", VECTORS)
def test_vectors_that_do_not_fit_the_model(model, verb, site):
    values, error, message = VECTORS[site]
    bad = sk.Vector({site: values}, "joy")
    with pytest.raises(error, match=message):
        verbs(model, "a", [bad.add(1)])[verb]()
    with pytest.raises(error, match=message), model.steer([bad.add(1)]):
        pass


@pytest.mark.parametrize("kind", ["resid", "hook_resid_post", "RESID_POST", ""])
def test_unknown_kinds_of_site(kind):
    with pytest.raises(SiteError, match=rf"'1.{kind}' is no site.*'3.resid_post'.*kinds are resid_pre, z, attn_out"):
        sk.Vector({f"1.{kind}": torch.ones(3)})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, math.nan, math.inf], r"'1.resid_post' has 2 values that are NaN or infinite; all must be finite"),
        (torch.tensor([1e300], dtype=torch.float64), "1 values that are NaN or infinite"),
        (torch.ones(2, 3), r"has the shape \(2, 3\); it must be one row of numbers"),
        (torch.tensor(1.0), r"has the shape \(\)"),
        ([], r"has the shape \(0,\)"),
        ("abc", r"'abc'.*row of numbers"),
        (None, r"None.*row of numbers"),
        ([[1.0], [1.0, 2.0]], "row of numbers"),
    ],
)
def test_directions_that_are_no_row_of_finite_numbers(values, message):
    with pytest.raises(VectorError, match=message):
        sk.Vector({"1.resid_post": values})


@pytest.mark.parametrize("directions", [{}, torch.ones(3), np.ones(3)], ids=repr)
def test_a_vector_without_sites(directions):
    with pytest.raises(VectorError, match="needs a direction for at least one site"):
        sk.Vector(directions)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("prompt", ["", [], ()], ids=repr)
def test_empty_prompts(model, verb, prompt):
    with pytest.raises(PromptError, match=r"The prompt is empty. Give"):
        verbs(model, prompt, [])[verb]()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([0, 9999], "Token id 9999 is out of range: this vocabulary has the ids 0 to 257"),
        ([-1], "Token id -1 is out of range"),
        ([1.5], r"list of token ids.*got an item 1.5"),
        (["a", "b"], r"list of token ids.*got an item 'a'"),
        ([{"role": "user", "content": "x"}], "no chat template, so chat messages cannot be used. Give text instead"),
        ([{"role": "user", "content": "x"}, 3], "got an item {'role'"),
        (5, "A prompt is text, a list of token ids, or a list of chat messages; got 5"),
        (None, "A prompt is text, .*; got None"),
        (b"abc", "A prompt is text, .*; got b'abc'"),
    ],
    ids=repr,
)
def test_prompts_of_another_form(model, prompt, message):
    with pytest.raises(PromptError, match=message):
        model.generate(prompt, max_new_tokens=1)


@pytest.mark.parametrize(
    "message",
    [{}, {"role": "user"}, {"content": "x"}, {"role": "user", "content": 3}, {"role": None, "content": "x"}],
    ids=repr,
)
def test_malformed_messages(gpt2, message):
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(PromptError, match=r"is no chat message: a message is \{'role': …, 'content': …\}"):
        sk.load(gpt2.plain, tokenizer=tokenizer).encode([message])


def test_messages_that_the_template_refuses(gpt2):
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{{ raise_exception('Only user, please.') }}"
    with pytest.raises(PromptError, match=r"The chat template refuses these messages: Only user, please\."):
        sk.load(gpt2.plain, tokenizer=tokenizer).encode([{"role": "system", "content": "x"}])


@pytest.mark.parametrize("verb", VERBS)
def test_prompts_longer_than_the_context(model, verb):
    with pytest.raises(PromptError, match=r"do not fit the context of 96 tokens. Shorten the prompt"):
        verbs(model, "a" * 100, [])[verb]()


def test_room_for_the_new_tokens(model):
    with pytest.raises(PromptError, match=r"4 tokens and 93 new tokens do not fit.*lower max_new_tokens"):
        model.generate("abc", max_new_tokens=93)
    with pytest.raises(PromptError, match="do not fit the context of 96"):
        model.last_activations(["a" * 100], ["0.resid_post"])


@pytest.mark.parametrize("strength", ["2", "x", None, math.nan, math.inf, -math.inf, [1, 2], 1j], ids=repr)
def test_strengths_that_are_no_finite_number(model, vector, strength):
    message = r"strength .* is not a (finite )?number. Give"
    for make in (vector.add, vector.set, vector.scale, vector.add(1).with_strength):
        with pytest.raises(EditError, match=message):
            make(strength)
    with pytest.raises(EditError, match=message):
        model.sweep("a", vector.add(1), [0, strength])


def test_operators_and_units(vector):
    with pytest.raises(EditError, match="'multiply' is no operator; operators are add, set, at_least"):
        sk.Edit(vector, "multiply")
    with pytest.raises(EditError, match="'sigma' is no unit of strength; units are raw, max, residual, norm"):
        vector.add(1, unit="sigma")
    with pytest.raises(EditError, match="'scale' has no unit; leave unit='norm' away"):
        sk.Edit(vector, "scale", 2, "norm")
    with pytest.raises(EditError, match=r"leaves no token. Set one of them"):
        sk.Where(prompt=False, generated=False)


@pytest.mark.parametrize("edits", [["joy"], "joy", [None], 3, [sk.Vector({"0.z": torch.ones(1)})]], ids=repr)
def test_what_is_no_edit(model, edits):
    with pytest.raises(EditError, match=r"is no edit. Make one from a vector, such as vector.add\(2\)"):
        model.generate("a", edits, max_new_tokens=1)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("make", ["set", "ablate", "scale", "add residual", "add norm"])
def test_vectors_without_length(model, verb, make):
    zero = sk.Vector({"1.resid_post": torch.zeros(32)}, "nothing")
    edit = {
        "set": lambda: zero.set(1),
        "ablate": zero.ablate,
        "scale": lambda: zero.scale(2),
        "add residual": lambda: zero.add(1, "residual"),
        "add norm": lambda: zero.add(1, "norm"),
    }[make]()
    with pytest.raises(VectorError, match=r"'nothing' has length 0 at '1.resid_post', so '.*nothing.*' means nothing"):
        verbs(model, "a", [edit])[verb]()


SETTINGS = {
    "max_new_tokens": ([0, -1, 1.5, "3", None, True], r"is no length. Give a whole number"),
    "temperature": ([-0.1, math.nan, math.inf, "hot", None], "is out of range. Give 0 "),
    "top_p": ([0, -1, 1.01, math.nan, "x", None], "is out of range. Give a share above 0"),
    "seed": ([-1, 1.5, "s", 2**63, None], r"is no seed. Give a whole number from 0 to 2\*\*63 - 1"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in SETTINGS for value in SETTINGS[name][0]])
def test_settings_out_of_range(model, vector, name, value):
    changed = {"max_new_tokens": 2, name: value}
    many = {"seeds" if key == "seed" else key: [each] if key == "seed" else each for key, each in changed.items()}
    for call in (
        lambda: model.generate("a", **changed),
        lambda: model.generate_many(["a"], **many),
        lambda: model.compare("a", [vector.add(1)], **changed),
        lambda: model.sweep("a", vector.add(1), [1], **changed),
        lambda: model.stream("a", **changed),
    ):
        with pytest.raises(SettingError, match=f"{name}={value!r} {SETTINGS[name][1]}"):
            call()


def test_settings_that_are_numbers_of_numpy(model):
    run = model.generate("a", max_new_tokens=np.int64(2), temperature=np.float32(0.5), top_p=np.float64(0.5))
    assert run.settings == Settings(2, 0.5, 0.5, 0)
    assert type(run.settings.temperature) is float


def test_sweeps_and_batches(model, vector):
    with pytest.raises(EditError, match="a list of at least one strength"):
        model.sweep("a", vector.add(1), [])
    with pytest.raises(EditError, match="strengths=3: give a list"):
        model.sweep("a", vector.add(1), strengths=3)
    with pytest.raises(EditError, match=r"strengths of one edit, such as vector.add\(1\); got"):
        model.sweep("a", vector.ablate(), [1])
    with pytest.raises(EditError, match="strengths of one edit"):
        model.sweep("a", [vector.add(1)], [1])
    with pytest.raises(SettingError, match="There are 1 seeds for 2 prompts"):
        model.generate_many(["a", "b"], seeds=[1])
    assert model.generate_many([]) == []


@pytest.mark.parametrize("texts", ["ab", ["ab"]], ids=repr)
def test_lists_of_texts(model, texts):
    """A text where a list of texts belongs would be read letter by letter."""
    if isinstance(texts, str):
        with pytest.raises(PromptError, match=r"'ab'.*a list of"):
            model.generate_many(texts, max_new_tokens=1)
        with pytest.raises(PromptError, match=r"'ab'.*a list of"):
            model.last_activations(texts, ["0.resid_post"])
        with pytest.raises(PromptError, match=r"'ab'.*a list of"):
            sk.learn.mean_difference(model, texts, texts, ["0.resid_post"])
    else:
        assert len(model.generate_many(texts, max_new_tokens=1)) == 1


def test_texts_that_nothing_predicts(model):
    with pytest.raises(PromptError, match="no token that something predicts"):
        model.score([0])
    with pytest.raises(PromptError, match="no token that something predicts"):
        model.score("", prompt="a")


@pytest.mark.parametrize("along", ["joy", ["joy"], sk.Plan(), 3, None], ids=repr)
def test_what_cannot_be_read(model, vector, along):
    along = [vector.add(1)] if along == sk.Plan() else along
    with pytest.raises(EditError, match=r"cannot be read\. Give a vector, a feature"):
        model.read("ab", along)


def test_a_run_is_no_list_of_runs(model):
    with pytest.raises(SettingError, match=r"is no list of runs\. Put it into brackets"):
        model.rescore(model.generate("a", max_new_tokens=1))


def test_reading_along_nothing(model):
    reading = model.read("ab", [])
    assert reading.coefficients.shape == (3, 0)
    assert model.last_activations(["ab"], []) == {}


@pytest.fixture
def no_network(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_folders_and_files_that_are_no_model(tmp_path, no_network):
    (tmp_path / "config.txt").write_text("x")
    with pytest.raises(ModelError, match=r"holds no model: there is no config.json in it"):
        sk.load(tmp_path)
    with pytest.raises(ModelError, match=r"config.txt' is a file. Give the folder that holds config.json"):
        sk.load(tmp_path / "config.txt")
    with pytest.raises(ModelError, match=r"There is no folder '.*missing'. Give an existing folder"):
        sk.load(tmp_path / "missing")
    with pytest.raises(ModelError, match=r"could not be loaded.*Give the name of a causal language model"):
        sk.load("no-such-organisation/no-such-model")
    with pytest.raises(ModelError, match=r"The folder '' holds no model"):
        sk.load("")


@pytest.mark.parametrize(
    "config",
    ["not json", "{}", json.dumps({"model_type": "no-such-type"}), json.dumps({"model_type": "clip"})],
    ids=["not json", "empty", "unknown type", "no language model"],
)
def test_configurations_that_are_no_language_model(tmp_path, config, no_network):
    (tmp_path / "config.json").write_text(config)
    tiny.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"could not be loaded: .*Give the name of a causal language model"):
        sk.load(tmp_path)


@pytest.mark.parametrize("damage", ["weights missing", "weights cut short", "weights are text", "no tokenizer"])
def test_damaged_folders(tmp_path, gpt2, damage, no_network):
    gpt2.plain.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    if damage != "no tokenizer":
        tiny.tokenizer().save_pretrained(tmp_path)
    if damage == "weights missing":
        weights.unlink()
    elif damage == "weights cut short":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "weights are text":
        weights.write_text("no weights at all, only words")
    with pytest.raises(ModelError, match="could not be loaded"):
        sk.load(tmp_path)


def test_a_folder_loads_as_its_model_does(tmp_path, gpt2):
    gpt2.plain.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    loaded = sk.load(tmp_path)
    assert torch.equal(loaded.score(gpt2.ids()), gpt2.model.score(gpt2.ids()))
    assert loaded.name == str(tmp_path)


def test_models_in_memory(gpt2):
    with pytest.raises(ModelError, match=r"needs its tokenizer: load\(model, tokenizer=tokenizer\)"):
        sk.load(gpt2.plain)
    with pytest.raises(ModelError, match="Linear"):
        sk.load(nn.Linear(2, 2), tokenizer=tiny.tokenizer())
    with pytest.raises(ModelError, match="GPT2Model"):
        sk.load(gpt2.plain.transformer, tokenizer=tiny.tokenizer())
    with pytest.raises(ModelError, match="tokenizer"):
        sk.load(gpt2.plain, tokenizer="gpt2")


@pytest.mark.parametrize("what", [None, 3, ["a"]], ids=repr)
def test_what_is_no_model_at_all(what):
    with pytest.raises(ModelError, match="model"):
        sk.load(what)


def test_a_folder_is_one_model_however_it_is_written(tinystories_folder, monkeypatch):
    monkeypatch.chdir(tinystories_folder.parent)
    ways = (tinystories_folder, f"{tinystories_folder}/", tinystories_folder.name)
    assert {sk.load(way).name for way in ways} == {str(tinystories_folder.resolve())}


def test_a_model_in_memory_stays_where_and_as_it_is(gpt2):
    for options in ({"device": "cpu"}, {"dtype": "float32"}, {"revision": "main"}):
        with pytest.raises(ModelError, match=r"stays where and as it is. Move it first"):
            sk.load(gpt2.plain, tokenizer=tiny.tokenizer(), **options)


def test_devices_types_and_places(gpt2, tinystories_folder):
    with pytest.raises(ModelError, match=r"'gpu' is no device. Devices are 'auto', 'cpu', 'cuda'"):
        sk.load(tinystories_folder, device="gpu")
    for device in ("meta", *(["cuda"] if not torch.cuda.is_available() else [])):
        with pytest.raises(ModelError, match=rf"'{device}' is not to be had here: .*Give 'cpu'"):
            sk.load(tinystories_folder, device=device)
    with pytest.raises(ModelError, match=r"'float' is no dtype|'half' is no dtype|'fp32' is no dtype"):
        sk.load(tinystories_folder, dtype="fp32")
    with pytest.raises(ModelError, match=r"remote='ndif' is not known; it is False, True \(NDIF\) or 'local'"):
        sk.load(gpt2.plain, tokenizer=tiny.tokenizer(), remote="ndif")
    with pytest.raises(ModelError, match="given by its name on the hub"):
        sk.load(gpt2.plain, tokenizer=tiny.tokenizer(), remote=True)


def test_what_runs_remotely_cannot_stream_or_steer(gpt2, vector):
    model = sk.load(gpt2.plain, tokenizer=tiny.tokenizer(), remote="local")
    with pytest.raises(EngineError, match=r"stream needs the model here; it runs remotely. Use generate, compare"):
        model.stream("a", [vector.add(1)])
    with pytest.raises(EngineError, match="steer needs the model here"), model.steer([vector.add(1)]):
        pass


def test_errors_form_one_tree():
    for error in (ModelError, SiteError, PromptError, VectorError, EditError, SettingError):
        assert issubclass(error, sk.errors.SteerkitError)
        assert issubclass(error, ValueError)
    assert issubclass(EngineError, sk.errors.SteerkitError)
    assert issubclass(EngineError, RuntimeError)
