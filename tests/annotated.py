"""Imports steerkit so that the shapes in its annotations can be checked.

They are written with names that are imported for type checkers only, because what travels to a remote model must not
drag the package of annotations along.
"""

from __future__ import annotations

import builtins
import importlib
import pkgutil
import types
import typing

# first, while TYPE_CHECKING is false: others' imports for type checkers go in circles
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import rich.console
import rich.table  # noqa: F401
from nnsight import TransformersModel  # noqa: F401
from transformers import (  # noqa: F401
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    TopPLogitsWarper,
)

import steerkit  # its own list of imports for type checkers would set their order


def lenient(name, globals=None, locals=None, fromlist=(), level=0):
    """Import for which a class that a circle has not reached yet is of any type."""
    module = strict(name, globals, locals, fromlist, level)
    missing = [item for item in fromlist or () if not hasattr(module, item)]
    if not missing or not name.startswith("steerkit"):
        return module
    return types.SimpleNamespace(**vars(module) | dict.fromkeys(missing, typing.Any))


strict, builtins.__import__ = builtins.__import__, lenient
typing.TYPE_CHECKING = True
try:
    # from the top, as imports for type checkers alone go up; edits make instances of conditions, so they come first
    for name in ("steerkit.edits", "steerkit.model"):
        importlib.import_module(name)
    for module in pkgutil.walk_packages(steerkit.__path__, "steerkit."):
        importlib.import_module(module.name)
finally:
    typing.TYPE_CHECKING = False
    builtins.__import__ = strict
