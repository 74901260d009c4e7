"""Garbage collection waits, and goes on."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import steerkit as sk
from steerkit.collection import postponed


@pytest.fixture(params=[True, False], ids=["on", "off"])
def wanted(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether garbage is collected before."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_it_waits_and_goes_on(wanted: bool) -> None:
    with postponed():
        with postponed():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == wanted


def test_it_goes_on_after_an_error(wanted: bool) -> None:
    with pytest.raises(sk.errors.ModelError):
        sk.load("./no/such/folder")
    assert gc.isenabled() == wanted
