from __future__ import annotations

import pytest
import torch

import steerkit as sk

pytestmark = pytest.mark.usefixtures("unchecked")  # rows of numbers that are no tensors do too


@pytest.fixture
def joy():
    return sk.Vector({"1.resid_post": [3.0, 4.0], "0.mlp_out": [1.0, 2.0, 2.0]}, "joy")


def test_a_direction_a_site_in_the_order_of_depth(joy):
    assert [str(site) for site in joy] == ["0.mlp_out", "1.resid_post"]
    assert len(joy) == 2
    assert joy["1.resid_post"].tolist() == [3.0, 4.0]
    assert joy[sk.Site(0, "mlp_out")].tolist() == [1.0, 2.0, 2.0]
    assert (joy.norm("1.resid_post"), joy.norm("0.mlp_out")) == (5.0, 3.0)
    with pytest.raises(sk.errors.SiteError, match=r"'joy' has no direction at '2.z'; it has: 0.mlp_out, 1.resid_post"):
        joy["2.z"]


@pytest.mark.parametrize(
    "values", [torch.tensor([1, 2]), torch.tensor([1, 2], dtype=torch.bfloat16), [1, 2], torch.tensor([1, 2]).numpy()]
)
def test_directions_are_kept_in_float32(values, unchecked):
    direction = sk.Vector({"0.z": values})["0.z"]
    assert direction.dtype == torch.float32
    assert direction.tolist() == [1.0, 2.0]


def test_a_vector_keeps_its_own_copy():
    values = torch.ones(2, requires_grad=True)
    vector = sk.Vector({"0.z": values})
    with torch.no_grad():
        values.fill_(7)
    assert vector["0.z"].tolist() == [1.0, 1.0]
    assert not vector["0.z"].requires_grad


def test_arithmetic(joy):
    other = sk.Vector({"1.resid_post": [1.0, 1.0], "2.z": [5.0]}, "b")
    total = joy + other
    assert [str(site) for site in total] == ["0.mlp_out", "1.resid_post", "2.z"]
    assert total["1.resid_post"].tolist() == [4.0, 5.0]
    assert total["0.mlp_out"].tolist() == [1.0, 2.0, 2.0]
    assert (joy - other)["2.z"].tolist() == [-5.0]
    assert (-joy)["1.resid_post"].tolist() == [-3.0, -4.0]
    assert (joy * 2)["1.resid_post"].tolist() == (2 * joy)["1.resid_post"].tolist() == [6.0, 8.0]
    assert (joy / 2)["1.resid_post"].tolist() == [1.5, 2.0]
    assert (-joy + other / 2)["1.resid_post"].tolist() == [-2.5, -3.5]
    assert joy - joy == joy * 0


def test_labels_say_how_a_vector_was_made(joy):
    other = sk.Vector({"1.resid_post": [1.0, 1.0]}, "b")
    assert (joy / 2).label == "0.5*joy"
    assert (joy - 0.5 * other).label == "joy - 0.5*b"
    assert (joy + -0.5 * other).label == "joy - 0.5*b"
    assert (-(joy + other)).label == "-joy - b"
    assert (joy - (joy - other)).label == "joy - joy + b"
    assert (2 * (joy / 2)).label == "joy"


@pytest.mark.parametrize("width", [1, 3])
def test_vectors_for_different_models_do_not_add(joy, width):
    with pytest.raises(sk.errors.VectorError, match=f"'joy' and 'b' differ in width at '1.resid_post': 2 and {width}"):
        joy + sk.Vector({"1.resid_post": torch.ones(width)}, "b")


def test_arithmetic_that_means_nothing(joy, unchecked):
    with pytest.raises(sk.errors.VectorError, match="cannot be divided by 0"):
        joy / 0
    with pytest.raises(sk.errors.EditError, match="is not a finite number"):
        joy * float("nan")
    with pytest.raises(sk.errors.VectorError, match="NaN or infinite"):
        joy * 1e38 * 1e38
    with pytest.raises(TypeError):
        joy + 1


def test_equality_is_of_directions(joy):
    same = sk.Vector({sk.Site(0, "mlp_out"): [1.0, 2.0, 2.0], "1.resid_post": [3.0, 4.0]}, "another name")
    assert joy == same
    assert hash(joy) == hash(same)
    assert joy != -joy
    assert joy != sk.Vector({"1.resid_post": [3.0, 4.0]})
    assert joy != "joy"


def test_as_a_frame(joy):
    frame = joy.to_frame()
    assert frame.to_dict("list") == {
        "site": ["0.mlp_out", "1.resid_post"],
        "width": [3, 2],
        "norm": [3.0, 5.0],
        "offset": [0.0, 0.0],
    }
    assert repr(joy) == "Vector('joy', 0.mlp_out, 1.resid_post)"
