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


@pytest.mark.parametrize("name", ["steerkit.loading._check_folder", "steerkit.dictionaries.load.read_parts"])
def test_it_waits_while_files_are_loaded_and_goes_on_after_an_error(
    wanted: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    collects: list[bool] = []

    def fail(*_: object, **__: object) -> None:
        collects.append(gc.isenabled())
        raise sk.errors.ModelError("as this test wants it")

    monkeypatch.setattr(name, fail)
    load = sk.load if "loading" in name else sk.load_dictionary
    with pytest.raises(sk.errors.ModelError):
        load("storybook" if load is sk.load else "storybook/3.resid_post")
    assert collects == [False]
    assert gc.isenabled() == wanted
