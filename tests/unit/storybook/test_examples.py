"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

from steerkit import storybook

# Importing `__main__` would be running it.
MODULES = [
    module.name
    for module in pkgutil.walk_packages(storybook.__path__, f"{storybook.__name__}.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
