"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

from steerkit.storybook import language

MODULES = [f"{language.__name__}.{module.name}" for module in pkgutil.iter_modules(language.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
