"""Strengths converted from unit to unit."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from test_steering import make, streams

import steerkit as sk
from steerkit.errors import EditError
from steerkit.units import UNITS

SITE = "1.resid_post"


@pytest.fixture
def feature(tinystories):
    dictionary = make(tinystories.model)
    dictionary.calibrate(tinystories.model, ["Once upon a time, there was a dog.", "She was happy."])
    return dictionary[5]


def test_worked_by_hand(feature):
    maximum, length, mean = feature.max_activation, feature.decoder_norm, feature.mean_norm
    assert feature.add(1.5, "max").in_unit("raw").strength == pytest.approx(1.5 * maximum)
    assert feature.add(1.5, "max").in_unit("residual").strength == pytest.approx(1.5 * maximum * length)
    assert feature.set(0.1, "norm").in_unit("residual").strength == pytest.approx(0.1 * mean)
    assert feature.set(6, "residual").in_unit("raw").strength == pytest.approx(6 / length)
    assert feature.add(2, "max").in_unit("norm").strength == pytest.approx(2 * maximum * length / mean)


@pytest.mark.parametrize(("unit", "other"), list(product(UNITS, repeat=2)))
def test_there_and_back(feature, unit, other):
    where = sk.Where(prompt=False)
    edit = feature.set(0.7, unit, where)
    there = edit.in_unit(other)
    assert (there.unit, there.operator, there.where) == (other, "set", where)
    assert there.in_unit(unit).strength == pytest.approx(0.7)


@pytest.mark.parametrize("unit", ["raw", "max"])
def test_a_converted_edit_does_the_same(tinystories, feature, unit):
    edit = feature.add(0.5, "residual")
    found = streams(tinystories, [edit.in_unit(unit)], SITE)
    torch.testing.assert_close(found, streams(tinystories, [edit], SITE), rtol=1e-4, atol=1e-4)


def test_vectors_convert_by_their_length(tinystories):
    vector = sk.Vector({SITE: torch.tensor([3.0, 4.0])})
    assert vector.add(2).in_unit("residual").strength == pytest.approx(10)
    two = sk.Vector({SITE: torch.ones(2), "0.resid_post": torch.ones(2)})
    with pytest.raises(EditError, match="written at 2 sites"):
        two.add(1).in_unit("residual")
    with pytest.raises(EditError, match="vectors have none"):
        vector.add(1).in_unit("norm")
    with pytest.raises(EditError, match="has no length"):
        (0 * vector).add(1).in_unit("residual")


def test_without_a_calibration_it_is_refused(tinystories):
    dictionary = make(tinystories.model)
    assert dictionary[5].add(1).in_unit("max").strength == 0.5  # the maximum that is published
    with pytest.raises(EditError, match="needs the mean norm"):
        dictionary[5].add(1).in_unit("norm")
    dictionary.published_maxima = None
    with pytest.raises(EditError, match="needs the maximum of"):
        dictionary[5].add(1).in_unit("max")


def test_what_has_no_fixed_relation_is_refused(tinystories, feature):
    normalising = make(tinystories.model, "relu unit_rms")
    with pytest.raises(EditError, match="each token's own scale"):
        normalising[5].add(1).in_unit("residual")
    assert normalising[5].add(1).in_unit("max").strength == 0.5
    with pytest.raises(EditError, match="'scale' has no unit"):
        feature.scale(2).in_unit("max")
    with pytest.raises(EditError, match="'metres' is no unit"):
        feature.add(2).in_unit("metres")
