"""Plans as JSON: what is written is read back exactly, and what is damaged or belongs elsewhere is refused."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import steerkit as sk
from steerkit.conditions import Comparison, Condition
from steerkit.errors import DictionaryError, EditError, FeatureError, PlanError, SiteError, SteerkitError, VectorError
from steerkit.operators import OPERATORS, PAIRED, WITHOUT_UNIT
from steerkit.units import UNITS
from steerkit.vectors.provenance import Provenance

WIDTH, N = 32, 40


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def write(path, seed: int = 0) -> str:
    """A dictionary in a file, of the format `plain`, which has to be told what it is."""
    tensors = {
        "W_enc": numbers(WIDTH, N, seed=seed),
        "W_dec": numbers(N, WIDTH, seed=seed + 1),
        "b_enc": numbers(N, seed=seed + 2),
        "b_dec": numbers(WIDTH, seed=seed + 3),
    }
    save_file(tensors, path)
    return str(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("dictionary") / "ours.safetensors")


def load(file: str, **hints) -> sk.Dictionary:
    told = {"format": "plain", "kind": "relu", "site": "1.resid_post"} | hints
    return sk.load_dictionary(file, **told)


@pytest.fixture(scope="module")
def features(file) -> sk.Dictionary:
    dictionary = load(file, model="somebody/somemodel-2b")
    dictionary.set_label(3, "rain")
    return dictionary


MADE = Provenance("mean_difference", "somebody/somemodel-2b", quality={"held-out AUROC": {"0.mlp_out": 0.75}})
ROWS = {"1.resid_post": numbers(WIDTH, seed=7), "0.mlp_out": numbers(WIDTH, seed=8)}
JOY = sk.Vector(ROWS, "joy", {"0.mlp_out": 0.1 + 0.2}, MADE)
NIGHT = sk.Vector({"1.resid_post": torch.tensor([1e-45, -0.0, 3.4e38, math.pi] * 8)}, "Nacht\n\"'\\ 夜")
CALM = sk.Vector({"2.mlp_post": numbers(4 * WIDTH, seed=9)}, "calm")
sk.register_operator("dampen", lambda coefficient, strength: coefficient / (1 + strength))

finite = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)  # no -0.0
edges = st.one_of(st.none(), st.integers(-9, 9))
spans = st.tuples(edges, edges).filter(lambda span: len(range(20)[slice(*span)]) or span[1] == 0 > (span[0] or 0))
windows = st.lists(st.one_of(st.integers(-9, 9), spans), min_size=1, max_size=3)
forward = st.lists(st.integers(0, 9), min_size=1, max_size=3)


def maybe(strategy):
    return st.one_of(st.none(), strategy)


wheres = st.builds(
    sk.Where,
    prompt=st.booleans(),
    generated=st.just(True),
    last_prompt=maybe(st.booleans()),
    positions=maybe(windows),
    new_positions=maybe(forward),
    roles=maybe(st.lists(st.text(), min_size=1, max_size=2)),
    messages=maybe(st.lists(st.integers(), min_size=1, max_size=2)),
    tokens=maybe(st.lists(st.integers(0), min_size=1, max_size=2)),
    not_tokens=st.lists(st.integers(0), max_size=2),
    special=st.booleans(),
    decay=st.floats(0, 1, exclude_min=True),
)


@st.composite
def conditions(draw, targets) -> Condition:
    relations, readings = st.sampled_from([">", ">=", "<", "<="]), st.sampled_from(["coefficient", "cast"])
    compared = st.builds(Comparison, targets, relations, finite, readings)

    def combined(parts):
        return st.one_of(
            st.builds(lambda a, b: a & b, parts, parts),
            st.builds(lambda a, b: a | b, parts, parts),
            st.builds(lambda a: ~a, parts),
        )

    plain = st.recursive(compared, combined, max_leaves=4)
    over = st.one_of(plain, plain.map(lambda a: a.in_prompt()), plain.map(lambda a: a.so_far()))
    return draw(st.recursive(over, combined, max_leaves=3))


@st.composite
def edits(draw, targets) -> sk.Edit:
    operator = draw(st.sampled_from([*OPERATORS, "dampen"]))
    target, other = draw(st.lists(targets, min_size=2, max_size=2, unique_by=id))
    low, high = sorted(draw(st.tuples(finite, finite)))
    return sk.Edit(
        target,
        operator,
        high,
        "raw" if operator in WITHOUT_UNIT else draw(st.sampled_from(UNITS)),
        where=draw(wheres),
        when=draw(maybe(conditions(targets))),
        enabled=draw(st.booleans()),
        direct=draw(st.booleans()),
        low=low if operator == "cap" else None,
        other=other if operator in PAIRED else None,
    )


def same_bits(plan: sk.Plan, other: sk.Plan) -> bool:
    return all(
        one.target[site].view(torch.int32).equal(two.target[site].view(torch.int32))
        for one, two in zip(plan, other, strict=True)
        if isinstance(one.target, sk.Vector)
        for site in one.target
    )


@pytest.mark.usefixtures("unchecked")  # beartype draws at random, which strategies may not
@given(data=st.data(), preserve_norm=st.booleans())
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_plan_is_read_as_it_was_written(features, data, preserve_norm):
    targets = st.sampled_from([JOY, NIGHT, CALM, features[3], features[39]])
    members = data.draw(st.lists(st.one_of(edits(targets), st.builds(sk.StopText, conditions(targets))), max_size=4))
    plan = sk.Plan(members, preserve_norm=preserve_norm)
    text = plan.to_json()
    again = sk.Plan.from_json(text, dictionaries=[features])
    assert again == plan
    assert same_bits(again, plan)
    assert str(again) == str(plan)  # labels are no part of vectors' equality
    assert again.to_json() == text
    assert again.describe() == plan.describe()


def test_vectors_and_dictionaries_are_written_once(features):
    plan = sk.Plan([JOY.add(1, when=features[3] > 0), JOY.add(2, when=features[4] > 0), features[3].ablate()])
    data = json.loads(plan.to_json())
    assert [vector["label"] for vector in data["vectors"]] == ["joy"]
    assert [dictionary["name"] for dictionary in data["dictionaries"]] == [features.name]
    assert (data["format"], data["version"], data["steerkit"]) == ("steerkit plan", 1, sk.__version__)
    assert data["edits"][2] == {"target": {"dictionary": 0, "feature": 3, "label": "rain"}, "operator": "ablate"}


def test_dictionaries_are_loaded_by_name_and_what_they_were_told(file):
    features = load(file, kind="topk", k=5)
    edit = sk.Plan.from_json(sk.Plan(features[3].set(2)).to_json())[0]
    loaded = edit.target.dictionary
    assert loaded is not features
    assert (loaded.name, loaded.checksum, str(loaded.reads_at())) == (file, features.checksum, "1.resid_post")
    x = numbers(6, WIDTH)
    assert loaded.encode_features(x, [3, 4]).equal(features.encode_features(x, [3, 4]))


def test_other_weights_are_refused(file, features, tmp_path):
    text = sk.Plan(features[3].set(2)).to_json()
    others = load(write(tmp_path / "others.safetensors", seed=50))
    others.name = features.name
    with pytest.raises(PlanError, match=r"its weights are others\. Load the one that the plan was made with"):
        sk.Plan.from_json(text, dictionaries=[others])
    moved = load(file, site="0.resid_post")
    with pytest.raises(PlanError, match=r"reads '.*' at 1\.resid_post .*Load it with site='1\.resid_post'"):
        sk.Plan.from_json(text, dictionaries=[moved])
    changed = json.loads(text)
    changed["dictionaries"][0]["name"] = "no/where"
    elsewhere = json.dumps(changed)
    assert sk.Plan.from_json(elsewhere, dictionaries=[features])[0].target == features[3]  # by checksum
    changed["dictionaries"][0]["name"] = "./nowhere"
    with pytest.raises(PlanError, match=r"needs the dictionary './nowhere', which cannot be loaded: .*dictionaries="):
        sk.Plan.from_json(json.dumps(changed))
    changed["dictionaries"][0] |= {"name": file, "hints": {"labels": str(tmp_path / "made.db")}}
    with pytest.raises(PlanError, match="the hint 'labels', which is not known"):
        sk.Plan.from_json(json.dumps(changed))
    assert not (tmp_path / "made.db").exists()


def test_checksums_tell_small_dictionaries_apart_by_any_number(file, features, tmp_path):
    assert load(file).checksum == features.checksum
    for name in ("W_enc", "W_dec", "b_dec"):
        changed = load_file(file)
        changed[name].view(-1)[-1] += 1
        save_file(changed, tmp_path / f"{name}.safetensors")
        assert load(str(tmp_path / f"{name}.safetensors")).checksum != features.checksum


def test_a_maximum_that_is_another_here_becomes_raw_units(features, file):
    calibrated = load(file)
    calibrated.published_maxima = torch.full((N,), 4.0)
    plan = sk.Plan([calibrated[3].set(1.5, "max"), calibrated[3].cap(-1, 2, "max")])
    assert sk.Plan.from_json(plan.to_json(), dictionaries=[calibrated]) == plan
    here = sk.Plan.from_json(plan.to_json(), dictionaries=[features])
    assert here == sk.Plan([features[3].set(6.0), features[3].cap(-4.0, 8.0)])


def test_functions_are_not_written():
    def ring(row: int, position: int) -> None: ...

    with pytest.raises(PlanError, match=r"'call ring when joy > 1' cannot be written: a function is code"):
        sk.Plan([JOY.add(1), sk.Call(ring, JOY > 1)]).to_json()


GOOD = sk.Plan([JOY.add(1, where=sk.Where(positions=[1]), when=(JOY > 1) & (NIGHT < 2)), sk.StopText(JOY > 3)])


def changed(*path, to) -> str:
    """The good plan with one field changed; `...` takes it away."""
    data = json.loads(GOOD.to_json())
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", PlanError, "the plan is no readable JSON"),
        ("[" * 100_000, PlanError, "the plan is no readable JSON"),
        ("[]", PlanError, r"the plan is \[\], where an object belongs"),
        (GOOD.to_json()[:-20], PlanError, "the plan is no readable JSON"),
        (changed("version", to=2), PlanError, "of version 2; this steerkit reads version 1. Update steerkit"),
        (changed("version", to="1"), PlanError, "'version' of the plan is '1', where a whole number belongs"),
        (changed("format", to="steerkit recipe"), PlanError, "is a 'steerkit recipe', where a 'steerkit plan' belongs"),
        (changed("steerkit", to=...), PlanError, "the plan has no 'steerkit'"),
        (changed("preserve_norm", to=1), PlanError, "'preserve_norm' of the plan is 1, where true or false belongs"),
        (changed("more", to=1), PlanError, "the plan has 'more', which is not known here"),
        (changed("edits", to={}), PlanError, r"'edits' of the plan is \{\}, where a list belongs"),
        (changed("edits", 0, to="add"), PlanError, r"edits\[0\] of the plan is 'add', where an object belongs"),
        (changed("edits", 0, "target", to=...), PlanError, r"edits\[0\] of the plan has no 'target'"),
        (changed("edits", 0, "operator", to=...), PlanError, r"edits\[0\] of the plan has no 'operator'"),
        (changed("edits", 0, "operator", to="sing"), EditError, "'sing' is no operator; .* sk.register_operator"),
        (changed("edits", 0, "strength", to="1"), PlanError, r"'strength' of edits\[0\] of the plan is '1'"),
        (changed("edits", 0, "strength", to=True), PlanError, r"'strength' of edits\[0\] of the plan is True"),
        (changed("edits", 0, "strength", to=math.nan), PlanError, "no readable JSON: NaN is no number"),
        (changed("edits", 0, "unit", to="miles"), EditError, "'miles' is no unit"),
        (
            changed("edits", 0, "target", to={"vector": 2}),
            PlanError,
            "'vector' of .* is 2; there are 2, counted from 0",
        ),
        (changed("edits", 0, "target", to={"vector": -1}), PlanError, "'vector' of .* is -1"),
        (changed("edits", 0, "where", "positions", to=3), PlanError, "'positions' of 'where' of .* a list belongs"),
        (changed("edits", 0, "where", "positions", 0, to=[1]), EditError, "which is no position"),
        (changed("edits", 0, "where", "decay", to=2), EditError, "decay=2 is no factor"),
        (changed("edits", 0, "where", "moon", to=2), PlanError, "'where' of .* has 'moon', which is not known"),
        (changed("edits", 0, "when", "and", to=[]), PlanError, "'and' of 'when' .* has 0 conditions, where 2 belong"),
        (changed("edits", 0, "when", "and", 0, "relation", to="="), EditError, "compares by >"),
        (changed("actions", 0, "action", to="explode"), PlanError, "'explode', where 'stop_text' belongs"),
        (changed("vectors", 0, "label", to=3), PlanError, r"'label' of vectors\[0\] of the plan is 3"),
        (changed("vectors", 0, "directions", to={}), VectorError, "at least one site"),
        (changed("vectors", 0, "offsets", "0.mlp_out", to="1"), PlanError, "The offset at 0.mlp_out is '1', where a"),
        (
            changed("vectors", 0, "provenance", "seed", to=0.5),
            PlanError,
            "'seed' of 'provenance' of .* is 0.5, where a",
        ),
        (changed("vectors", 0, "directions", "here", to=""), SiteError, "'here' is no site"),
        (changed("vectors", 0, "directions", "0.mlp_out", to="§"), PlanError, "is no base64 of float32 numbers"),
        (changed("vectors", 0, "directions", "0.mlp_out", to="AAAA"), PlanError, "is no base64 of float32 numbers"),
        (changed("vectors", 0, "directions", "0.mlp_out", to="AADAfw=="), VectorError, "NaN or infinite"),
        (changed("vectors", 0, "directions", "0.mlp_out", to=[1]), PlanError, "where a text belongs"),
    ],
)
def test_damaged_plans_get_one_clear_error(text, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        sk.Plan.from_json(text)


def test_conditions_may_not_be_nested_without_end():
    data = json.loads(GOOD.to_json())
    inner = data["edits"][0]["when"]["and"][0]
    for _ in range(400):
        inner = {"not": inner}
    data["edits"][0]["when"] = inner
    text = json.dumps(data)

    def deep(frames: int) -> None:
        if frames:
            deep(frames - 1)
        else:
            sk.Plan.from_json(text)

    with pytest.raises(PlanError, match=r"nested too deep|no readable JSON"):
        deep(300)


def test_features_that_are_not_there(features):
    data = json.loads(sk.Plan(features[3].set(2)).to_json())
    data["edits"][0]["target"]["feature"] = N
    with pytest.raises(FeatureError, match=f"has no feature {N}"):
        sk.Plan.from_json(json.dumps(data), dictionaries=[features])


def test_a_dictionary_of_unknown_site_is_not_written(file, unchecked):
    with pytest.raises(DictionaryError, match="Load it with site="):
        sk.Plan(load(file, site=None)[3].set(2)).to_json()


def test_a_plan_has_to_fit_the_model(gpt2, gemma2, features):
    plan = sk.Plan([JOY.add(1), features[3].set(2, when=features[4] > 0.5)])
    assert sk.Plan.from_json(plan.to_json(), model=gpt2.model, dictionaries=[features]) == plan
    with pytest.raises(VectorError, match=r"is 32 wide at '0\.mlp_out'"):
        sk.Plan.from_json(sk.Plan(JOY.add(1)).to_json(), model=gemma2.model)
    with pytest.raises(SteerkitError, match="32"):
        sk.Plan.from_json(sk.Plan(features[3].set(1)).to_json(), model=gemma2.model, dictionaries=[features])
    away = sk.Vector({"7.resid_post": torch.ones(WIDTH)}, "away")
    with pytest.raises(SiteError, match=r"7\.resid_post"):
        sk.Plan.from_json(sk.Plan(away.add(1)).to_json(), model=gpt2.model)
    with pytest.raises(EditError, match=r"set joy \+1; set joy \+2"):
        sk.Plan.from_json(sk.Plan([JOY.set(1), JOY.set(2)]).to_json(), model=gpt2.model)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("others/somemodel-2b", True),
        ("others/somemodel-2b-it", True),
        ("others/somemodel-9b", False),
        ("others/another", False),
        ("unknown", True),
    ],
)
def test_the_model_a_dictionary_declares(gpt2, features, monkeypatch, name, fits):
    monkeypatch.setattr(gpt2.model, "name", name)
    text = sk.Plan(features[3].set(2)).to_json()
    if fits:
        sk.Plan.from_json(text, model=gpt2.model, dictionaries=[features])
        return
    with pytest.raises(PlanError, match=f"belongs to somebody/somemodel-2b; this model is {name}"):
        sk.Plan.from_json(text, model=gpt2.model, dictionaries=[features])
    sk.Plan.from_json(text, dictionaries=[features])


def test_a_dictionary_that_is_loaded_twice_is_one(gpt2, file):
    one, other = load(file), load(file)
    plan = sk.Plan(one[3].set(5))
    assert sk.Plan.from_json(plan.to_json()) == plan
    assert len({one[3], other[3], one[4]}) == 2
    with pytest.raises(EditError, match="two edits ask for different values of one feature"):
        gpt2.model.check([*plan, other[3].set(9)])
    reading = gpt2.model.read("ab", one)
    assert torch.equal(reading.activations(other[3]), reading.activations(one[3]))


def test_another_dictionary_is_not_the_same(tmp_path, file):
    one, renamed = load(file), load(write(tmp_path / "theirs.safetensors"))
    assert renamed != one
    renamed.name = one.name
    assert renamed == one
    others = load(write(tmp_path / "others.safetensors", seed=5))
    others.name = one.name
    assert others != one
    assert load(file, site="0.resid_post") != one


def test_a_reading_says_what_it_has(gpt2, features):
    reading = gpt2.model.read("ab", [JOY.at("1.resid_post"), features])
    assert torch.equal(reading.activations("joy"), reading.activations(JOY.at("1.resid_post")))
    with pytest.raises(SiteError, match=r"'rain' .* has: joy at 1\.resid_post, the features of .*ours\.safetensors\."):
        reading.activations("rain")
