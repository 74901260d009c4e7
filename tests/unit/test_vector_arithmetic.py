"""Sums, projections and angles of vectors; their labels, offsets and provenance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steerkit as sk
from steerkit.errors import SiteError, VectorError
from steerkit.vectors.provenance import Provenance

Z = sk.Site(0, "z")


def vector(label: str, directions: dict[str, list[float]], offsets: dict[str, float] | None = None) -> sk.Vector:
    return sk.Vector({site: torch.tensor(row) for site, row in directions.items()}, label, offsets)


JOY = vector("joy", {"1.resid_post": [3.0, 4.0], "0.mlp_out": [1.0, 2.0, 2.0]}, {"1.resid_post": 50.0})


def learned(model: str, revision: str | None = None, label: str = "joy") -> sk.Vector:
    return sk.Vector({"0.z": torch.tensor([1.0, 0.0])}, label, None, Provenance("probe", model, revision, seed=3))


def random(*labels: str, sites: tuple[str, ...] = ("0.z",)) -> list[sk.Vector]:
    draw = torch.Generator().manual_seed(1)
    return [sk.Vector({site: torch.randn(16, generator=draw) for site in sites}, label) for label in labels]


def test_offsets_are_for_reading(drawn):
    site, plain = drawn.site, drawn.vector()
    threshold = 1.5 * plain.norm(site) ** 2
    shifted = sk.Vector({site: plain[site]}, "shifted", {site: threshold})
    assert (shifted.offset(site), plain.offset(site)) == (threshold, 0.0)
    reading = drawn.model.read(drawn.prompt, [plain, shifted])
    torch.testing.assert_close(reading.coefficients[:, 1], reading.coefficients[:, 0] - 1.5)
    torch.testing.assert_close(reading.activations(shifted), reading.coefficients[:, 1])
    steered = drawn.model.read(drawn.prompt, shifted, edits=[shifted.set(4.0, where=sk.Where(special=True))])
    assert steered.coefficients[:, 0].tolist() == pytest.approx([2.5] * len(steered.tokens), abs=1e-4)


def test_edits_and_conditions_take_no_notice_of_offsets(drawn):
    site, plain = drawn.site, drawn.vector()
    shifted = sk.Vector({site: plain[site]}, "v0", {site: 3.0 * plain.norm(site) ** 2})
    for edit in (lambda v: v.ablate(), lambda v: v.add(1, when=v > 0), lambda v: v.at_least(0.5)):
        one, other = (drawn.model.generate(drawn.prompt, [edit(v)], max_new_tokens=5) for v in (plain, shifted))
        assert one.token_ids == other.token_ids
        assert one.coefficients.equal(other.coefficients)


def test_what_is_read_along_a_sum_is_the_sum(drawn):
    """Of `x·v − t`: a reading divides it by the squared length of its own vector."""
    site = drawn.site
    a, b = (sk.Vector({site: drawn.vector(seed)[site]}, "v", {site: t}) for seed, t in ((1, 3.0), (2, -7.0)))
    vectors = (2 * a - b / 4, a, b)
    readings = [drawn.model.read(drawn.prompt, v).activations(v) for v in vectors]
    whole, first, second = (r * v[site].square().sum() for r, v in zip(readings, vectors, strict=True))
    torch.testing.assert_close(whole, 2 * first - second / 4, rtol=1e-4, atol=1e-2)


def test_offsets_go_with_their_directions():
    calm = vector("calm", {"1.resid_post": [1.0, 0.0], "2.z": [1.0]}, {"1.resid_post": 2.0, "2.z": -1.0})
    assert JOY.midpoint("1.resid_post") == 2.0
    assert JOY.midpoint("0.mlp_out") == 0.0
    total = 2 * JOY - calm / 2
    assert [total.offset(site) for site in total] == [0.0, 99.0, 0.5]
    assert (-JOY).offset("1.resid_post") == -50.0
    assert JOY.at("1.resid_post").offset("1.resid_post") == 50.0
    assert sk.Vector.mean([JOY, calm]).offset("1.resid_post") == 26.0
    assert JOY.project(calm)["1.resid_post"].tolist() == [3.0, 0.0]
    assert JOY.project(calm).offset("1.resid_post") == 6.0
    assert JOY.orthogonalise(calm).offset("1.resid_post") == 44.0
    with pytest.raises(VectorError, match=r"'joy - joy' has length 0 at '1\.resid_post', so nothing can be read"):
        (JOY - vector("joy", {"1.resid_post": [3.0, 4.0]})).midpoint("1.resid_post")
    without_offsets = sk.Vector({site: JOY[site] for site in JOY}, "joy")
    assert without_offsets != JOY


@pytest.mark.parametrize(
    ("offsets", "error", "message"),
    [
        ({"2.z": 1.0}, SiteError, r"no direction at '2\.z'"),
        ({"here": 1.0}, SiteError, "'here' is no site"),
        ({"0.z": float("nan")}, VectorError, r"The offset at '0\.z' is nan; it must be a finite number"),
        ({"0.z": "a lot"}, VectorError, "is 'a lot'; it must be a finite number"),
    ],
)
def test_offsets_that_mean_nothing(offsets, error, message, unchecked):
    with pytest.raises(error, match=message):
        vector("joy", {"0.z": [1.0]}, offsets)


def test_mean_counts_a_missing_direction_as_zero():
    other = vector("b", {"1.resid_post": [1.0, 2.0]})
    mean = sk.Vector.mean([JOY, other])
    assert mean == (JOY + other) / 2
    assert mean["0.mlp_out"].tolist() == [0.5, 1.0, 1.0]
    assert mean.label == "mean of joy, b"
    assert mean.provenance.method == "mean"
    with pytest.raises(VectorError, match="needs at least one vector"):
        sk.Vector.mean([])


def test_projection_and_what_is_left_make_up_the_whole():
    a, b = random("a", "b", sites=("0.z", "1.z"))
    along, without = a.project(b), a.orthogonalise(b)
    for site in a:
        torch.testing.assert_close((along + without)[site], a[site])
        torch.testing.assert_close(along[site], a.cosine(b)[site] * a.norm(site) * b[site] / b.norm(site))
        assert abs(without[site] @ b[site]) < 1e-5
    assert [abs(cosine) for cosine in along.cosine(b).values()] == pytest.approx([1.0, 1.0])
    assert (along.label, without.label) == ("a along b", "a without b")


def test_orthogonal_to_all_of_several_that_depend_on_each_other():
    a, b, c = random("a", "b", "c")
    left = a.orthogonalise(b, c, 2 * b - c)
    torch.testing.assert_close(left["0.z"], a.orthogonalise(b, c)["0.z"])
    for other in (b, c):
        assert left.cosine(other)[Z] == pytest.approx(0, abs=1e-6)
    assert left.label == "a without b, c, 2*b - c"
    with pytest.raises(VectorError, match=r"At '0\.z' 'b \+ c' lies in what b, c span, so nothing of it"):
        (b + c).orthogonalise(b, c)


def test_sites_that_only_one_has():
    other = vector("b", {"1.resid_post": [0.0, 2.0], "2.z": [5.0]})
    assert JOY.project(other).sites == (sk.Site(1, "resid_post"),)
    assert JOY.orthogonalise(other)["0.mlp_out"].equal(JOY["0.mlp_out"])
    assert JOY.orthogonalise(other)["1.resid_post"].tolist() == [3.0, 0.0]
    assert JOY.cosine(other) == {sk.Site(1, "resid_post"): pytest.approx(0.8)}
    assert ("1.resid_post" in other, sk.Site(0, "mlp_out") in other) == (True, False)
    alone = vector("c", {"3.z": [1.0]})
    for use in (JOY.cosine, JOY.project):
        with pytest.raises(VectorError, match=r"'joy' and 'c' share no site: they have 0\.mlp_out, 1\.resid_post, and"):
            use(alone)
    for others in ((), (alone,)):
        with pytest.raises(VectorError, match="none of the others has one of them"):
            JOY.orthogonalise(*others)


def test_a_cosine_is_a_number_a_site():
    assert (-2 * JOY).cosine(JOY) == pytest.approx(dict.fromkeys(JOY, -1.0))
    with pytest.raises(VectorError, match=r"'0\*joy' has length 0 at '0\.mlp_out', so it points nowhere"):
        JOY.cosine(0 * JOY)
    with pytest.raises(VectorError, match=r"differ in width at '1\.resid_post': 2 and 3"):
        JOY.cosine(vector("b", {"1.resid_post": [1.0, 1.0, 1.0]}))


def test_labels_of_long_sums_stay_readable():
    moods = [vector(f"mood {i}", {"0.z": [1.0]}) for i in range(12)]
    total = sum(moods[1:], start=moods[0])
    assert total.label == "(mood 0) + (mood 1) + (mood 2) + (mood 3) + … (12 terms)"
    assert [part.label for part in total.provenance.parts] == [mood.label for mood in moods]
    assert sk.Vector.mean(moods).label == "mean of mood 0, mood 1, mood 2, mood 3, … (12 vectors)"
    assert (total.named("moods") - moods[0]).label == "moods - (mood 0)"


def test_a_sum_says_what_it_was_made_of():
    joy, anger = learned("gpt2", "607a30d"), learned("gpt2", label="anger")
    mixed = (joy - 0.5 * anger) * 2
    assert mixed.label == "2*joy - anger"
    made = mixed.provenance
    assert (made.method, made.model, made.revision) == ("sum", "gpt2", "607a30d")
    assert [(part.factor, part.label) for part in made.parts] == [(2.0, "joy"), (-1.0, "anger")]
    assert made.parts[0].provenance == joy.provenance
    assert made.describe() == "sum · gpt2 (607a30d) · 2 joy, -1 anger"
    assert "sum · gpt2" in mixed._repr_html_()
    assert (mixed - mixed.named("mixed")).label == "2*joy - anger - mixed"
    assert (2 * (joy / 2)).provenance == joy.provenance


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (learned("gpt2"), learned("pythia", label="anger"), "'joy' is of the model 'gpt2' and 'anger' of 'pythia'"),
        (learned("gpt2", "a"), learned("gpt2", "b"), "'joy' is of the revision 'a' and 'joy' of 'b': .* mixed models"),
        (learned("gpt2") * 2, -learned("pythia"), r"'2\*joy' is of the model 'gpt2' and '-joy' of 'pythia'"),
    ],
)
def test_mixed_models_are_refused(one, other, message):
    uses = (one.__add__, one.__sub__, one.project, one.orthogonalise, one.cosine, lambda v: sk.Vector.mean([one, v]))
    for use in uses:
        with pytest.raises(VectorError, match=message):
            use(other)
    unknown = vector("b", {"0.z": [1.0, 1.0]})
    assert (one + unknown).provenance.model == "gpt2"


@pytest.mark.parametrize("numbers", ["quality", "weights"])
def test_measures_and_weights_are_finite(numbers):
    with pytest.raises(VectorError, match=r"'b' of 'a' is nan; measures and weights are finite numbers"):
        Provenance("probe", **{numbers: {"a": {"b": float("nan")}}})


def test_numbers_of_numpy_are_numbers():
    factor = np.float64(2)
    vector = sk.Vector({"0.resid_post": torch.tensor([1.0, 2.0])})
    assert torch.equal((factor * vector)["0.resid_post"], (vector * 2)["0.resid_post"])
    assert torch.equal((vector / factor)["0.resid_post"], (vector / 2)["0.resid_post"])
