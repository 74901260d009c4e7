"""Imports steerkit so that the shapes in its annotations can be checked.

They are written with names that are imported for type checkers only, because what travels to a remote model must not
drag the package of annotations along.
"""

from __future__ import annotations

import builtins
import importlib
import linecache
import pkgutil
import sys
import tomllib
import types
import typing
from pathlib import Path

# first, while TYPE_CHECKING is false: others' imports for type checkers go in circles
import jaxtyping  # noqa: F401
import matplotlib.figure  # noqa: F401
import pandas  # noqa: F401
import rich.console
import rich.table  # noqa: F401
from nnsight import TransformersModel  # noqa: F401
from transformers import (  # noqa: F401
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TopPLogitsWarper,
)

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
FLOORS = {name.strip(): floor for floor, names in enumerate(reversed(CONTRACT["layers"])) for name in names.split("|")}


def floor(module: str) -> int:
    """On which floor a module stands; the package itself is above all."""
    return FLOORS.get(module.removeprefix("steerkit").removeprefix(".").partition(".")[0], len(FLOORS))


def lenient(name, globals=None, locals=None, fromlist=(), level=0):
    """Import for which a class that type checkers alone need is of any type where it has not been reached yet."""
    if not name.startswith("steerkit.") or not (globals or {}).get("__name__", "").startswith("steerkit"):
        return strict(name, globals, locals, fromlist, level)
    caller = sys._getframe(1)
    for_types = linecache.getline(caller.f_code.co_filename, caller.f_lineno).startswith(" ")
    module = sys.modules.get(name) if for_types else strict(name, globals, locals, fromlist, level)
    missing = [item for item in fromlist or () if not hasattr(module, item)]
    if module is not None and not missing:
        return module
    return types.SimpleNamespace(**vars(module) if module else {}, **dict.fromkeys(missing, typing.Any))


import steerkit  # noqa: E402  # by itself it imports nothing

strict, builtins.__import__ = builtins.__import__, lenient
typing.TYPE_CHECKING = True
try:
    modules = [module.name for module in pkgutil.walk_packages(steerkit.__path__, "steerkit.")]
    for module in sorted(modules, key=floor):  # from the ground up
        importlib.import_module(module)
finally:
    typing.TYPE_CHECKING = False
    builtins.__import__ = strict
